r"""A Conv2D that computes its sums by a generated algorithm while it trains.

The weights are those of ``Conv2D``, and so is what it computes, up to rounding: for each tile of m x m outputs

    Y = A (sum over channels (G g G') * (B d B')) A'              (see ``toom_cook.py``)

so a network trains with the rounding that the algorithm has in float, and shows it. Gradients flow through the
transforms, and are the true ones. The exported file holds a plain CONV_2D: TFLite has no other, and the interpreter
computes either way (``convolution=tfcompress.toom_cook.Tiles(m)``) to the same bits.

Reference: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
https://arxiv.org/abs/1509.09308. Differs from the source in: any m, r and points; kernels need not be square; it
computes in float32 whatever the dtype policy, since larger tiles lose digits.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfcompress.convolution.toom_cook import Algorithm, Number, generate

AXES = (1, 2)
"""Height and width."""


def winograd(x: Any, kernel: Any, algorithms: Sequence[Algorithm]) -> Any:
    """Correlates ``x`` (N, H, W, C) with ``kernel`` (r_h, r_w, C, O), without padding, one algorithm an axis.

    Args:
        x: float32.
        kernel: float32.
        algorithms: For height and width.
    """
    sizes = [ops.shape(x)[axis] - a.r + 1 for axis, a in zip(AXES, algorithms)]
    counts = [-(-size // a.m) for size, a in zip(sizes, algorithms)]
    missing = [count * a.m - size for count, size, a in zip(counts, sizes, algorithms)]
    x = ops.pad(x, ((0, 0), *((0, more) for more in missing), (0, 0)))
    high, wide = algorithms
    d = _tiles(_tiles(x, 1, counts[0], high), 3, counts[1], wide)  # (n_w, n_h, N, tiles_h, tiles_w, C)
    v = ops.einsum("qj,pi,jinhwc->pqnhwc", _floats(wide.inputs), _floats(high.inputs), d)
    u = ops.einsum("pi,qj,ijco->pqco", _floats(high.kernel), _floats(wide.kernel), kernel)
    products = ops.einsum("pqnhwc,pqco->pqnhwo", v, u)
    y = ops.einsum("ap,bq,pqnhwo->nhawbo", _floats(high.outputs), _floats(wide.outputs), products)
    shape = (-1, counts[0] * high.m, counts[1] * wide.m, kernel.shape[-1])
    return ops.reshape(y, shape)[:, : sizes[0], : sizes[1]]


def _tiles(x: Any, axis: int, count: Any, algorithm: Algorithm) -> Any:
    """The n inputs of each of ``count`` tiles along ``axis``, which becomes shorter: n on a new first axis."""
    index = [slice(None)] * len(x.shape)
    taps = []
    for k in range(algorithm.multiplications):
        index[axis] = slice(k, k + (count - 1) * algorithm.m + 1, algorithm.m)
        taps.append(x[tuple(index)])
    return ops.stack(taps, axis=0)


def _floats(matrix: Any) -> np.ndarray:
    return np.array(matrix, np.float64).astype(np.float32)


@keras.saving.register_keras_serializable("tfcompress")
class WinogradConv2D(layers.Conv2D):
    """``Conv2D`` of stride 1, computed tile by tile with fewer multiplications.

    Args:
        filters: As in ``Conv2D``.
        kernel_size: As in ``Conv2D``.
        tile: Outputs at a time along each axis. 2 (default) rounds about as ``Conv2D`` does; with 4 and more, errors
            grow by a digit and more.
        points: Points of the algorithm, for square kernels; see ``tfcompress.toom_cook.generate``.
        **kwargs: As in ``Conv2D``, but that strides, dilation and groups must be 1 and channels last.

    Raises:
        ValueError: Stride, dilation or groups are not 1, channels come first, or the points do not fit.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        tile: int = 2,
        points: Sequence[Number] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, **kwargs)
        steps = (*self.strides, *self.dilation_rate, self.groups)
        if {*steps} != {1} or self.data_format != "channels_last":
            raise ValueError(
                f"WinogradConv2D '{self.name}' must have strides, dilation_rate and groups of 1 and channels last. "
                f"Received: strides={self.strides}, dilation_rate={self.dilation_rate}, groups={self.groups}, "
                f"data_format={self.data_format!r}. Use Conv2D"
            )
        self.tile = tile
        self.points = None if points is None else [str(point) for point in points]
        self.algorithms = [generate(tile if r > 1 else 1, r, self.points if r > 1 else None) for r in self.kernel_size]

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """The sums, without bias and activation."""
        x, weights = ops.cast(inputs, "float32"), ops.cast(kernel, "float32")
        if self.padding == "same":
            sides = [((a.r - 1) // 2, a.r // 2) for a in self.algorithms]
            x = ops.pad(x, ((0, 0), *sides, (0, 0)))
        return ops.cast(winograd(x, weights, self.algorithms), inputs.dtype)

    def to_conv2d(self) -> layers.Conv2D:
        """A built ``Conv2D`` of the same name and weights."""
        config = {key: value for key, value in self.get_config().items() if key not in ("tile", "points")}
        twin = layers.Conv2D.from_config(config)
        twin.build_from_config(self.get_build_config())
        twin.set_weights(self.get_weights())
        return twin

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        return {**super().get_config(), "tile": self.tile, "points": self.points}
