"""What quantisers have in common that learn a step: a unit for each slice, the slot's arguments, the grid.

No technique of its own; how a step follows from the unit is what techniques differ in.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from tfcompress.axes import as_axes, slice_shape
from tfcompress.grid import Grid
from tfcompress.measured import Measured
from tfcompress.transform import require_calibrated


class Stepped(Measured):
    """Base class: ``unit``, which is measured, and the grid of ``bits`` bits and of ``step``.

    Subclasses set ``bits`` or define ``width``, define ``step`` and ``measure``, and call ``build`` of this class.

    Args:
        axis: Axis, or axes, with their own steps; None is decided by the slot.
        signed: Whether there are negative codes; None is decided by the slot.
        narrow_range: Drops the lowest signed code; None is decided by the slot.
        learned: Whether training moves anything; None is decided by the slot.

    Raises:
        ValueError: (When built) an axis with its own steps is missing or has no fixed size.
    """

    bits: int

    def __init__(
        self,
        axis: int | Sequence[int] | None,
        signed: bool | None,
        narrow_range: bool | None,
        learned: bool | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis, self.signed, self.narrow_range, self.learned = as_axes(axis), signed, narrow_range, learned

    def build(self, input_shape: Any) -> None:
        """Creates ``unit``, one value per slice (NaN until measured)."""
        self.slice_shape = slice_shape(input_shape, self.axis, self.name)
        self.unit = self.add_measured("unit", self.slice_shape)
        self.elements = math.prod(size or 1 for size in input_shape) / math.prod(self.slice_shape)

    @property
    def step(self) -> Any:
        """The distance between levels at inference, one per slice."""
        raise NotImplementedError(f"{type(self).__name__} must define `step`.")

    @property
    def is_signed(self) -> bool:
        """Whether there are negative codes."""
        return self.signed is not False

    @property
    def is_learned(self) -> bool:
        """Whether training moves anything."""
        return self.learned is not False

    @property
    def width(self) -> int:
        """The bits of a code at inference."""
        return self.bits

    @property
    def codes(self) -> Grid:
        """The codes at inference, as a grid of step 1."""
        return Grid(1.0, self.width, signed=self.is_signed, narrow_range=bool(self.narrow_range))

    def grid(self, x: Any) -> Grid:
        """The grid of the steps that inference has.

        Raises:
            ValueError: Neither ``calibrate`` nor a training batch has set the unit.
        """
        scale = ops.convert_to_numpy(self.step)
        require_calibrated(self, scale)
        return dataclasses.replace(self.codes, scale=scale)

    def get_config(self) -> dict[str, Any]:
        """Configuration; None stays None, for the slot to decide."""
        slot = ("axis", "signed", "narrow_range", "learned")
        return {**super().get_config(), **{name: getattr(self, name) for name in slot}}
