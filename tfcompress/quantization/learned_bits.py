"""What transforms that learn their own width have in common; each of them says what its width follows from.

    learned    loss += price * soft_bits,    soft_bits a differentiable width, which inference rounds up
    fixed      width = ``fixed``, nothing is paid

A width is learned against a price, the price of one more bit on the whole tensor. It is either an argument, one for
all of training, or what ``callbacks.Budget`` makes it. The protocol has no method for this: whoever needs to know the
widths of a model reads ``soft_bits``, ``width`` and ``fixed``, which are state, as masks and steps are. ``fixed`` is a
variable of the graph, 0 while the width is learned, so that training which is resumed knows that the choice is made.

What is measured on the first values (their size) is not a number until ``calibrate`` or the first training call sets
it, inside the graph. Without it the transform delivers nothing but NaN, rather than some other network.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress.axes import as_axes, slice_shape
from tfcompress.grid import Grid
from tfcompress.transform import Transform, require_calibrated


class LearnedBits(Transform):
    """Base class: a width that is learned, priced and can be fixed.

    Subclasses define ``soft_bits``, ``step``, ``quantized`` and ``measured``, and call ``build`` of this class.

    Args:
        widths: The widths that inference may have, ascending, 2 to 16.
        price: Price of one more bit on the whole tensor, in units of the loss; at least 0.
        axis: Axis, or axes, with their own steps; None is decided by the slot.
        signed: Whether there are negative codes; None is decided by the slot.
        narrow_range: Drops the lowest signed code; None is decided by the slot.
        learned: Whether training moves anything; None is decided by the slot.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        widths: Sequence[int],
        price: float,
        axis: int | Sequence[int] | None,
        signed: bool | None,
        narrow_range: bool | None,
        learned: bool | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not widths or any(b not in range(2, 17) for b in widths) or list(widths) != sorted(set(widths)):
            raise ValueError(f"`widths` must be ascending whole numbers from 2 to 16. Received: widths={widths}")
        if not price >= 0:
            raise ValueError(f"`price` must be at least 0. Received: price={price}")
        self.widths, self.initial_price = tuple(int(b) for b in widths), price
        self.axis, self.signed, self.narrow_range, self.learned = as_axes(axis), signed, narrow_range, learned
        self._calibrated = False

    def build(self, input_shape: Any) -> None:
        """Creates ``unit`` (NaN until calibrated), ``price``, ``multiplier`` (of Budget) and ``fixed``."""
        self.slice_shape = slice_shape(input_shape, self.axis, self.name)
        self.unit = self.state("unit", np.nan, self.slice_shape)
        self.price, self.multiplier = self.state("price", self.initial_price), self.state("multiplier", 0.0)
        self.fixed = self.state("fixed", 0.0)

    def state(self, name: str, value: float, shape: tuple[int, ...] = ()) -> keras.Variable:
        """A new variable that is not trained."""
        start = keras.initializers.Constant(value)
        return self.add_weight(
            shape=shape, initializer=start, trainable=False, aggregation="only_first_replica", name=name
        )

    @property
    def soft_bits(self) -> Any:
        """The width, differentiable; float32 scalar."""
        raise NotImplementedError(f"{type(self).__name__} must define `soft_bits`.")

    @property
    def step(self) -> Any:
        """The distance between levels at inference, one per slice."""
        raise NotImplementedError(f"{type(self).__name__} must define `step`.")

    def quantized(self, x: Any, training: bool) -> Any:
        """What ``call`` delivers."""
        raise NotImplementedError(f"{type(self).__name__} must define `quantized`.")

    def measured(self, x: Any) -> Any:
        """The sizes of ``x`` (a tensor) that ``unit`` holds, one per slice."""
        raise NotImplementedError(f"{type(self).__name__} must define `measured`.")

    @property
    def is_signed(self) -> bool:
        """Whether there are negative codes."""
        return self.signed is not False

    def lowest(self, high: Any) -> Any:
        """The smallest code at inference, where ``high`` is the largest."""
        return -high - (not self.narrow_range) if self.is_signed else 0.0

    @property
    def is_fixed(self) -> Any:
        """Whether the width is there to stay; bool tensor."""
        return ops.convert_to_tensor(self.fixed) > 0

    def rounded(self) -> int:
        """The width that inference has as long as none is fixed."""
        return rounded_up(float(ops.convert_to_numpy(self.soft_bits)), self.widths)

    @property
    def width(self) -> int:
        """The bits of a code at inference."""
        return int(ops.convert_to_numpy(self.fixed)) or self.rounded()

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Quantises ``x``; in training, the width is paid for, and the first call of all may set the unit."""
        if training:
            if not self._calibrated:
                unit = ops.convert_to_tensor(self.unit)
                measured = lambda: self.measured(ops.stop_gradient(x))  # noqa: E731
                self.unit.assign(ops.cond(ops.any(ops.isnan(unit)), measured, lambda: unit))
            self.add_loss(ops.where(self.is_fixed, 0.0, self.dues()))
        return self.quantized(x, bool(training))

    def dues(self) -> Any:
        """What is paid in one step; scalar."""
        return ops.convert_to_tensor(self.price) * self.soft_bits

    def calibrate(self, x: Any) -> None:
        """Measures ``x``."""
        self.unit.assign(self.measured(ops.convert_to_tensor(x, "float32")))
        self._calibrated = True

    def load_own_variables(self, store: Any) -> None:
        """Restores the state from a file."""
        super().load_own_variables(store)
        self._calibrated = not np.isnan(ops.convert_to_numpy(self.unit)).any()

    def grid(self, x: Any) -> Grid:
        """The grid of the width that inference has.

        Raises:
            ValueError: Neither ``calibrate`` nor a training batch has set the unit.
        """
        scale = ops.convert_to_numpy(self.step)
        require_calibrated(self, scale)
        return Grid(scale, self.width, signed=self.is_signed, narrow_range=bool(self.narrow_range))

    def get_config(self) -> dict[str, Any]:
        """Configuration; None stays None, for the slot to decide."""
        mine = {"widths": self.widths, "price": self.initial_price}
        slot = ("axis", "signed", "narrow_range", "learned")
        return {**super().get_config(), **mine, **{name: getattr(self, name) for name in slot}}


def highest(bits: Any, signed: bool) -> Any:
    """The largest code of a width, which may be a fraction or a tensor: 7 for 4 signed bits, 15 for 4 others."""
    return 2.0 ** (bits - signed) - 1


def rounded_up(bits: float, widths: Sequence[int]) -> int:
    """The narrowest of ``widths`` that holds ``bits``, but for rounding errors; the widest if none does."""
    return next((width for width in widths if width >= bits - 1e-3), widths[-1])
