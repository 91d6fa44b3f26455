"""Quantisation to the range that a tensor was seen to have: the quantisation-aware training everyone knows.

    low  <- momentum * low  + (1 - momentum) * min(x),      high likewise; the first batch counts in full
    s    = (high - low) / (levels - 1),   z = round(lowest code - low / s),    low <= 0 <= high
    y    = (clip(round(x / s) + z, codes) - z) * s

Zero is always a level. Symmetric grids have ``z = 0`` and ``s = max(|low|, |high|) / highest code``. Gradients pass
straight through inside the range; the range has none.

Reference: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, https://arxiv.org/abs/1712.05877. Differs from the source in nothing but the choice of ``momentum``.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfcompress.gradients import through
from tfcompress.grid import Grid
from tfcompress.transform import Transform

SMALLEST_RANGE = 1e-6


@keras.saving.register_keras_serializable("tfcompress")
class MinMax(Transform):
    """Quantises to the moving range of what it sees in training.

    Arguments left at None are decided by ``tfcompress.compress``: weights are symmetric, with one range per output
    channel, outputs affine with one.

    Args:
        bits: Width of a code, 2 to 16.
        axis: Axis, or axes, with ranges of their own; () is one range for the whole tensor.
        symmetric: Zero point 0. None: as ``narrow_range``.
        narrow_range: Drops the lowest code.
        momentum: Weight of the old range in each training step, 0 to below 1; weights move slowly enough for 0.

    Raises:
        ValueError: ``bits`` or ``momentum`` is out of range.
    """

    def __init__(
        self,
        bits: int = 8,
        axis: int | Sequence[int] | None = None,
        symmetric: bool | None = None,
        narrow_range: bool | None = None,
        momentum: float = 0.99,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 2 <= bits <= 16:
            raise ValueError(f"`bits` must be between 2 and 16. Received: bits={bits}")
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"`momentum` must be at least 0 and below 1. Received: momentum={momentum}")
        self.bits, self.axis, self.symmetric, self.narrow_range = bits, axis, symmetric, narrow_range
        self.momentum = momentum

    def build(self, shape: Any) -> None:
        """Makes the ranges; ``shape`` is that of the tensor, the batch may be None."""
        axis = () if self.axis is None else self.axis
        rank = len(shape)
        axes = sorted(a % rank for a in ((axis,) if isinstance(axis, int) else axis))
        self.others = [i for i in range(rank) if i not in axes]
        ranges = [shape[i] if i in axes else 1 for i in range(rank)]
        self.low = self.add_weight(ranges, "zeros", name="low", trainable=False, aggregation="mean")
        self.high = self.add_weight(ranges, "zeros", name="high", trainable=False, aggregation="mean")
        self.calibrated = self.add_weight(
            (), "zeros", name="calibrated", trainable=False, aggregation="only_first_replica"
        )

    def calibrate(self, x: Any) -> None:
        """Sets the range to that of ``x``."""
        low, high = self._range(x)
        self.low.assign(low)
        self.high.assign(high)
        self.calibrated.assign(1.0)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """``x`` on the grid of the moving range."""
        if training:
            kept = self.momentum * ops.convert_to_tensor(self.calibrated)
            low, high = self._range(ops.stop_gradient(x))
            low = kept * self.low + (1 - kept) * low
            high = kept * self.high + (1 - kept) * high
            self.low.assign(low)
            self.high.assign(high)
            self.calibrated.assign(ops.ones(()))
        else:
            low, high = ops.convert_to_tensor(self.low), ops.convert_to_tensor(self.high)
        scale, zero_point = self._affine(low, high)
        levels = self._levels
        codes = ops.clip(ops.round(x / scale) + zero_point, levels.low, levels.high) - zero_point
        inside = ops.logical_and(x >= (levels.low - zero_point) * scale, x <= (levels.high - zero_point) * scale)
        return through(x, codes * scale, ops.cast(inside, x.dtype))

    def grid(self, x: Any) -> Grid:
        """The levels.

        Raises:
            ValueError: No range was ever seen.
        """
        if not float(ops.convert_to_numpy(self.calibrated)):
            raise ValueError(
                f"MinMax '{self.name}' must be calibrated. Call tfcompress.calibrate(model, x) or train it."
            )
        scale, zero_point = self._affine(ops.convert_to_tensor(self.low), ops.convert_to_tensor(self.high))
        zero_point = 0 if self._symmetric else int(ops.convert_to_numpy(zero_point).reshape(-1)[0])
        return Grid(ops.convert_to_numpy(scale), self.bits, zero_point, True, bool(self.narrow_range))

    @property
    def _symmetric(self) -> bool:
        return bool(self.narrow_range if self.symmetric is None else self.symmetric)

    @property
    def _levels(self) -> Grid:
        return Grid(1.0, self.bits, 0, True, bool(self.narrow_range))

    def _range(self, x: Any) -> tuple[Any, Any]:
        """Lowest and highest value, widened to hold 0."""
        low = ops.minimum(ops.min(x, self.others, keepdims=True), 0.0)
        return low, ops.maximum(ops.max(x, self.others, keepdims=True), 0.0)

    def _affine(self, low: Any, high: Any) -> tuple[Any, Any]:
        """Scale and zero point of a range."""
        levels = self._levels
        if self._symmetric:
            return ops.maximum(ops.maximum(-low, high), SMALLEST_RANGE) / levels.high, 0.0
        scale = ops.maximum(high - low, SMALLEST_RANGE) / (levels.high - levels.low)
        return scale, ops.clip(ops.round(levels.low - low / scale), levels.low, levels.high)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        names = ("bits", "axis", "symmetric", "narrow_range", "momentum")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
