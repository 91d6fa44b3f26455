r"""Quantisation to the range that a tensor is seen to have (quantisation-aware training by moving ranges).

    low  <- momentum * low  + (1 - momentum) * min(0, min(x))       high likewise, the first batch sets both
    s    =  (high - low) / (highest code - lowest code)
    z    =  round(lowest code - low / s)                            so that 0.0 is a level
    y    =  clip(round(x / s), lowest code - z, highest code - z) * s

A symmetric grid has ``z = 0`` and ``s = max(high, -low) / highest code``. Gradients of ``x`` pass straight through
inside the range and are zero outside; the range gets none.

``momentum=0`` keeps no range: that of ``x`` itself counts, in training and at inference. Weights are quantised so,
since their range is known without having been watched.

A range is not a number until ``calibrate`` or the first training batch sets it. An uncalibrated MinMax therefore
delivers nothing but NaN at inference, rather than something that no chip computes.

Reference: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, https://arxiv.org/abs/1712.05877. Differs from the source in that weights are symmetric with
one scale per output channel, as TFLite int8 kernels require, and in that ranges are watched from the first step on.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress import gradients
from tfcompress.axes import as_axes, other_axes, slice_shape
from tfcompress.grid import Grid
from tfcompress.transform import Transform, require_calibrated


def symmetric_grid(low: Any, high: Any, codes: Grid) -> tuple[Any, Any]:
    """Step and zero point of the grid that is the same on both sides of 0.0. Ranges of any shape; 1 for an empty one.

    Multiplies by a constant instead of dividing by one, which compilers would do behind our back, and not bit for bit.
    """
    reach = ops.maximum(high, -low) if codes.signed else high
    step = reach * np.float32(1 / codes.high)
    return ops.where(step == 0, 1.0, step), ops.zeros_like(step)


def affine_grid(low: Any, high: Any, codes: Grid) -> tuple[Any, Any]:
    """Step and zero point of the grid from ``low`` (at most 0) to ``high`` (at least 0), moved until 0.0 is on it."""
    step = (high - low) * np.float32(1 / (codes.high - codes.low))
    step = ops.where(step == 0, 1.0, step)
    return step, ops.clip(ops.round(codes.low - low / step), codes.low, codes.high)


@keras.saving.register_keras_serializable("tfcompress")
class MinMax(Transform):
    """Quantises to ``bits`` bits over the range of the values.

    Arguments left at None are decided by the slot; the values for weights and for feature maps are given below.

    Args:
        bits: Width of the stored integer, 2 to 16. Default 8.
        axis: Axis, or axes, with their own ranges; ``()`` is one range for the whole tensor. None: the output channels
            of a weight; ``()`` for a feature map.
        signed: Whether there are negative codes. None: True; False for a feature map behind a ReLU, softmax or sigmoid.
        symmetric: Whether code 0 stands for 0.0. None: True for a weight, False for a feature map.
        narrow_range: Drops the lowest signed code. None: True for a weight, False for a feature map.
        momentum: Weight of the old range against that of one more batch, 0 to below 1. None: 0 for a weight, which is
            the current range; 0.99 for a feature map.

    Raises:
        ValueError: ``bits`` or ``momentum`` is out of range, an axis with its own ranges is missing or has no fixed
            size, or slices would have zero points of their own, for which a Grid, and TFLite, has no room.
    """

    def __init__(
        self,
        bits: int = 8,
        axis: int | Sequence[int] | None = None,
        signed: bool | None = None,
        symmetric: bool | None = None,
        narrow_range: bool | None = None,
        momentum: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if bits not in range(2, 17):
            raise ValueError(f"`bits` must be a whole number from 2 to 16. Received: bits={bits}")
        if momentum is not None and not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be at least 0 and below 1. Received: momentum={momentum}")
        self.bits, self.signed, self.symmetric, self.narrow_range = bits, signed, symmetric, narrow_range
        self.axis, self.momentum = as_axes(axis), momentum
        if self.axis and symmetric is False:
            raise ValueError(
                f"`symmetric` must be True where slices have their own ranges: there is one zero point per tensor. "
                f"Received: axis={axis}, symmetric=False. Use axis=() or symmetric=True."
            )

    def build(self, input_shape: Any) -> None:
        """Creates the range, ``low`` and ``high`` (not trained, NaN until calibrated), one value per slice."""
        shape = slice_shape(input_shape, self.axis, self.name)
        if self._moves:
            state = {"initializer": keras.initializers.Constant(np.nan), "trainable": False, "aggregation": "mean"}
            self.low = self.add_weight(shape=shape, name="low", **state)
            self.high = self.add_weight(shape=shape, name="high", **state)

    @property
    def _moves(self) -> bool:
        return self.momentum is None or self.momentum > 0

    @property
    def _codes(self) -> Grid:
        return Grid(1.0, self.bits, signed=self.signed is not False, narrow_range=bool(self.narrow_range))

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Rounds ``x``; a training call moves the range first."""
        if training and self._moves:
            self._move(x)
        step, zero_point = self._grid(x)
        return gradients.multiples(x, step, self._codes.low - zero_point, self._codes.high - zero_point)

    def _move(self, x: Any) -> None:
        momentum = 0.99 if self.momentum is None else self.momentum
        for variable, seen in zip((self.low, self.high), self._range(x), strict=True):
            old = ops.convert_to_tensor(variable)
            variable.assign(ops.where(ops.isnan(old), seen, momentum * old + (1 - momentum) * seen))

    def _range(self, x: Any) -> tuple[Any, Any]:
        """Smallest and largest value of each slice, and 0.0."""
        x, others = ops.stop_gradient(x), other_axes(len(x.shape), self.axis)
        low, high = (extreme(x, axis=others, keepdims=True) for extreme in (ops.min, ops.max))
        return ops.minimum(low, 0.0), ops.maximum(high, 0.0)

    def _grid(self, x: Any) -> tuple[Any, Any]:
        """Step and zero point."""
        low, high = map(ops.convert_to_tensor, (self.low, self.high)) if self._moves else self._range(x)
        make = symmetric_grid if self.symmetric or self.axis else affine_grid
        return make(low, high, self._codes)

    def calibrate(self, x: Any) -> None:
        """Sets the range to that of ``x``."""
        if self._moves:
            low, high = self._range(ops.convert_to_tensor(x, "float32"))
            self.low.assign(low)
            self.high.assign(high)

    def grid(self, x: Any) -> Grid:
        """The grid over the range; of ``x`` itself if ``momentum`` is 0.

        Raises:
            ValueError: Neither ``calibrate`` nor a training batch has set the range.
        """
        step, zero_point = (ops.convert_to_numpy(v) for v in self._grid(ops.convert_to_tensor(x, "float32")))
        require_calibrated(self, step)
        codes = self._codes
        return Grid(step, self.bits, int(zero_point.flat[0]), signed=codes.signed, narrow_range=codes.narrow_range)

    def get_config(self) -> dict[str, Any]:
        """Configuration; None stays None, for the slot to decide."""
        names = ("bits", "axis", "signed", "symmetric", "narrow_range", "momentum")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
