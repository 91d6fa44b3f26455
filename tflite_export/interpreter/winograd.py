r"""Convolutions of stride 1 through a generated algorithm, in integers, to the same bits as the direct ones.

    y = A (sum over c of (G g G') * (B d B')) A' / S      for each tile of m x m outputs; matrices as in `Algorithm`

``d`` are codes, padded with the zero point, so int8; tiles that reach beyond the map read padding and are cut. All
matrices are whole numbers, and so is ``y``: the sum is ``S`` times the direct one, and to divide what is divisible by
``S = 2**a * odd`` it is multiplied with the inverse of ``odd`` modulo 2**64 and shifted by ``a``. Rounding, bias and
clipping are those of the direct kernel.

The products are one matrix product for each of the n * n positions of a tile: in float64, exact while the sums stay
below 2**53, else in int64. Sums may wrap around on the way, as only the last must fit:

    S * 128 * sum(|w|) < 2**31     an accumulator of 32 bits would do
    S * 128 * sum(|w|) < 2**63     64 bits
    otherwise                      the op is refused

Convolutions that the algorithm is not for, or for which it saves nothing, are computed directly;
`Convolution.note` says why.

Reference: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
https://arxiv.org/abs/1509.09308. Differs from the source in: integers, any m, r and points, exact division at the end.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from tflite_export.interpreter import fused, tiles
from tflite_export.interpreter.kernels import KERNELS
from tflite_export.interpreter.operands import Kernel, affine, output, refuse, required
from tflite_export.interpreter.weighted import rescale
from tflite_export.interpreter.windows import Windows, windows
from tflite_export.ir import Op, Tensor

BLOCK = 2**18
"""Elements of transformed input at a time."""

EXACT = 2**53
"""Up to here float64 holds all whole numbers."""


class Algorithm(Protocol):
    """m outputs of a correlation with r weights by ``n = m + r - 1`` products, ``scale`` times too large.

    ``tfcompress.toom_cook.Tiles`` makes them.
    """

    @property
    def m(self) -> int:
        """Outputs at a time."""

    @property
    def outputs(self) -> np.ndarray:
        """A, int64 (m, n)."""

    @property
    def kernel(self) -> np.ndarray:
        """G, int64 (n, r)."""

    @property
    def inputs(self) -> np.ndarray:
        """B, int64 (n, n)."""

    @property
    def scale(self) -> int:
        """How many times the result is too large."""


Choice = Callable[[int], Algorithm]
"""From the length of a kernel to the algorithm that serves it."""

Pair = tuple[Algorithm, Algorithm]
"""One for height, one for width."""


class Convolution(NamedTuple):
    """How an op is computed, and what that saves.

    Attributes:
        tensor: Name of the op's output.
        kernel: Height and width of the kernel.
        tile: Outputs at a time, height and width; (1, 1) if computed directly.
        direct: Multiplications for one sample without the algorithm.
        generated: Multiplications for one sample as computed; those of the transforms with constants not included.
        accumulator_bits: Width that the last sum needs, 32 or 64.
        note: Why the op is computed directly; empty if it is not.
    """

    tensor: str
    kernel: tuple[int, int]
    tile: tuple[int, int]
    direct: int
    generated: int
    accumulator_bits: int
    note: str = ""


class Generated:
    """Kernels for stride-1 convolutions, to take the place of the direct ones.

    Args:
        choose: From the length of a kernel to an algorithm.

    Attributes:
        kernels: By op, as ``KERNELS``.
        made: One entry a convolution, in the order of preparation.

    Raises:
        ValueError: ``choose`` is not a function.
    """

    def __init__(self, choose: Choice):
        if not callable(choose):
            expected = "a function from the length of a kernel to its algorithm, such as tfcompress.toom_cook.Tiles(2)"
            raise ValueError(f"`convolution` must be {expected}. Received: {choose!r}")
        self.choose = choose
        self.kernels = {**KERNELS, "CONV_2D": self.conv_2d, "DEPTHWISE_CONV_2D": self.depthwise_conv_2d}
        self.made: list[Convolution] = []

    def conv_2d(self, op: Op, tensors: Sequence[Tensor]) -> Kernel:
        """Filters (O, kh, kw, C / groups)."""
        direct, x = KERNELS["CONV_2D"](op, tensors), required(op, tensors, 0)
        filters = required(op, tensors, 1)
        groups = x.shape[3] // filters.shape[3]
        split = _data(filters).reshape(groups, -1, *filters.shape[1:])
        return self._prepare(op, tensors, direct, split.transpose(0, 2, 3, 4, 1))

    def depthwise_conv_2d(self, op: Op, tensors: Sequence[Tensor]) -> Kernel:
        """Filters (1, kh, kw, C * multiplier): a group for each channel."""
        direct, x = KERNELS["DEPTHWISE_CONV_2D"](op, tensors), required(op, tensors, 0)
        filters = _data(required(op, tensors, 1))[0]
        split = filters.reshape(*filters.shape[:2], x.shape[3], 1, -1)
        return self._prepare(op, tensors, direct, split.transpose(2, 0, 1, 3, 4))

    def _prepare(self, op: Op, tensors: Sequence[Tensor], direct: Kernel, weights: np.ndarray) -> Kernel:
        """``weights`` are (groups, kh, kw, channels of a group, filters of a group)."""
        x, size = required(op, tensors, 0), (weights.shape[1], weights.shape[2])
        slide = windows(op, x, size)
        name, taken = output(op, tensors).name, math.prod(slide.out) * weights.size
        reason = _unsuitable(x, slide)
        pair = (self.choose(size[0]), self.choose(size[1])) if not reason else None
        needed = _multiplications(slide, pair, weights) if pair else taken
        if pair is None or needed >= taken:
            self.made.append(Convolution(name, size, (1, 1), taken, taken, 32, reason or "no fewer multiplications"))
            return direct
        bits = _accumulator_bits(op, tensors, pair, weights)
        self.made.append(Convolution(name, size, (pair[0].m, pair[1].m), taken, needed, bits))
        rule = rescale(op, tensors, weights.sum((1, 2, 3), dtype=np.int64).reshape(-1))
        return _kernel(slide, pair, weights.astype(np.int64), affine(op, x)[1], rule)


def _data(filters: Tensor) -> np.ndarray:
    return np.asarray(filters.data)


def _unsuitable(x: Tensor, slide: Windows) -> str:
    if x.dtype != "int8":
        return f"{x.dtype}, not int8"
    if {*slide.stride, *slide.dilation} != {1}:
        return f"stride {slide.stride}, dilation {slide.dilation}"
    return ""


def _counts(slide: Windows, pair: Pair) -> tuple[int, int]:
    """Tiles down and across."""
    return -(-slide.out[0] // pair[0].m), -(-slide.out[1] // pair[1].m)


def _multiplications(slide: Windows, pair: Pair, weights: np.ndarray) -> int:
    """For one sample, without those of the transforms."""
    positions = math.prod(_counts(slide, pair)) * math.prod(len(algorithm.inputs) for algorithm in pair)
    return positions * weights.size // math.prod(slide.size)


def _accumulator_bits(op: Op, tensors: Sequence[Tensor], pair: Pair, weights: np.ndarray) -> int:
    """Width that the last sum needs, from the real weights: ``scale * 128 * sum(|w|)``."""
    largest = int(np.abs(weights.astype(np.int64)).sum((1, 2, 3)).max())
    bits = (pair[0].scale * pair[1].scale * 128 * largest).bit_length() + 1
    if bits > 64:
        refuse(
            op,
            required(op, tensors, 1),
            f"tiles of {pair[0].m} x {pair[1].m} make sums of {bits} bits, and the accumulator has 64. "
            "Use smaller tiles or other points",
        )
    return 32 if bits <= 32 else 64


def _kernel(slide: Windows, pair: Pair, weights: np.ndarray, zero_point: int, rule: fused.Rescale) -> Kernel:
    high, wide = pair
    along = np.tensordot(wide.kernel, np.tensordot(high.kernel, weights, (1, 1)), (1, 2))  # (q, p, groups, c, o)
    positions = len(high.inputs) * len(wide.inputs)
    transformed = along.transpose(2, 1, 0, 3, 4).reshape(len(weights), positions, *weights.shape[3:])
    dtype = np.float64 if _largest_sum(transformed, pair) <= EXACT else np.int64
    matrices = [np.ascontiguousarray(part, dtype) for part in transformed]
    before = high.inputs.astype(dtype), wide.inputs.astype(dtype)
    after = np.ascontiguousarray(high.outputs), np.ascontiguousarray(wide.outputs)
    division, channels = exact_division(high.scale * wide.scale), rule.table.shape[1]

    def run(x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray]:
        y = np.empty((len(x), *slide.out, channels), np.int8)
        for images, rows, part in _blocks(slide, pair, _padded(slide, pair, x, zero_point)):
            across = _counts(slide, pair)[1]
            count = len(part) * -(-(rows.stop - rows.start) // high.m) * across
            inputs = np.empty((positions, count, x.shape[3]), dtype)
            tiles.transform_inputs(part, *before, (high.m, wide.m), inputs)
            total = np.empty(y[images, rows].shape, np.int32)
            tiles.transform_outputs(_products(inputs, matrices), *after, division, total)
            fused.requantize(total.reshape(-1, channels), rule, y[images, rows].reshape(-1, channels))
        return (y,)

    return run


def _largest_sum(transformed: np.ndarray, pair: Pair) -> int:
    """Of the products, whatever the codes."""
    growth = [int(np.abs(algorithm.inputs).sum(1).max()) for algorithm in pair]
    return int(np.abs(transformed).sum(2).max()) * growth[0] * growth[1] * 128


def exact_division(scale: int) -> tuple[int, int]:
    """Factor and shift with ``(x * factor) >> shift == x / scale`` for the multiples ``x`` of ``scale``, in int64."""
    shift = (scale & -scale).bit_length() - 1
    inverse = pow(scale >> shift, -1, 2**64)
    return inverse - 2**64 if inverse >= 2**63 else inverse, shift


def _padded(slide: Windows, pair: Pair, x: np.ndarray, value: int) -> np.ndarray:
    """``x`` with its border, and with what the last tiles read beyond it."""
    sizes = [c * a.m + len(a.inputs) - a.m for c, a in zip(_counts(slide, pair), pair)]
    padded = np.full((len(x), *sizes, x.shape[3]), value, np.int8)
    (top, left), (height, width) = slide.before, x.shape[1:3]
    padded[:, top : top + height, left : left + width] = x
    return padded


def _blocks(slide: Windows, pair: Pair, padded: np.ndarray) -> Sequence[tuple[slice, slice, np.ndarray]]:
    """Images, rows of the output and what these read, whole images or part of one at a time."""
    (high, wide), (down, across) = pair, _counts(slide, pair)
    row = across * len(high.inputs) * len(wide.inputs) * padded.shape[3]
    images, step = max(1, BLOCK // (row * down)), min(down, max(1, BLOCK // row))
    overlap = len(high.inputs) - high.m
    found = []
    for first in range(0, len(padded), images):
        for top in range(0, down, step):
            bottom = min(top + step, down) * high.m
            part = padded[first : first + images, top * high.m : bottom + overlap]
            rows = slice(top * high.m, min(bottom, slide.out[0]))
            found.append((slice(first, first + images), rows, np.ascontiguousarray(part)))
    return found


def _products(inputs: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """``inputs`` (positions, tiles, C) times each group's matrix (positions, c, o): (positions, tiles, O)."""
    if len(matrices) == 1:
        return inputs @ matrices[0]
    if matrices[0].shape[1] == 1:
        return np.repeat(inputs, matrices[0].shape[2], axis=2) * np.concatenate(matrices, axis=2)
    parts = np.split(inputs, len(matrices), axis=2)
    return np.concatenate([part @ matrix for part, matrix in zip(parts, matrices)], axis=2)
