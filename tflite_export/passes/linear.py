"""What the passes know of linear ops: sums of products with a constant weight and a bias, one row per channel."""

from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Op, Quantization, Tensor

CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}
"""Linear op -> axis of its weight along which the output channels lie."""

PLACES = {"TRANSPOSE_CONV": (2, 1, 3)}
"""Where among its inputs a linear op has x, weight and bias, if not in the first three places."""

TINY = np.finfo(np.float32).tiny


def is_linear(graph: Graph, op: Op) -> bool:
    """Whether ``op`` is linear with a constant weight and a bias."""
    return op.kind in CHANNEL_AXIS and all(graph.tensors[t].data is not None for t in operands(op)[1:])


def operands(op: Op) -> tuple[int, ...]:
    """The tensors x, weight and bias of a linear op."""
    return tuple(op.inputs[place] for place in PLACES.get(op.kind, (0, 1, 2)))


def with_operands(op: Op, x: int, weight: int, bias: int) -> Op:
    """A linear op with other operands."""
    new = dict(zip(PLACES.get(op.kind, (0, 1, 2)), (x, weight, bias), strict=True))
    return replace(op, inputs=tuple(new.get(place, t) for place, t in enumerate(op.inputs)))


def along(values: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """``values`` (channels,) in the shape that broadcasts along ``axis`` of a tensor of ``rank`` dimensions."""
    return values.reshape([-1 if k == axis else 1 for k in range(rank)])


def codes_of(weight: Tensor) -> np.ndarray:
    """The integers (as float64) that the values of a float weight with a grid stand for."""
    grid = _grid(weight)
    return np.rint(_data(weight) / along(grid.scale, len(weight.shape), grid.axis).astype(np.float64))


def scaled(weight: Tensor, factor: np.ndarray, axis: int) -> Tensor:
    """``weight`` times ``factor`` (channels,) along ``axis``; the codes stay, but for their sign.

    A factor goes into the channel's scale, its sign into the codes. A scale that would vanish stays at the smallest
    float32, and the codes of the channel become 0, as they do for the factor 0.

    Raises:
        ValueError: The code -128 would change its sign.
    """
    rank = len(weight.shape)
    if weight.quantization is None:
        return replace(weight, data=(_data(weight) * along(factor, rank, axis)).astype(np.float32))
    grid = _grid(weight)
    scale = (np.broadcast_to(grid.scale, factor.shape) * np.abs(factor)).astype(np.float32)
    sign = np.where(scale >= TINY, np.sign(factor), 0.0)
    scale = np.maximum(scale, TINY)
    codes = codes_of(weight) * along(sign, rank, axis)
    if codes.max(initial=0) > 127:
        raise ValueError(
            f"'{weight.name}': the code -128 becomes 128 where a batch norm with a negative gamma folds into the "
            "weight. Quantise the weight with narrow_range=True."
        )
    grid = replace(with_scale(grid, scale, axis), bits=max(grid.bits, signed_bits(codes)))
    return replace(weight, data=decoded(codes, scale, axis), quantization=grid)


def signed_bits(codes: np.ndarray) -> int:
    """Width of the narrowest signed integer that holds ``codes``."""
    return max(int(codes.max(initial=0)).bit_length(), int(-1 - codes.min(initial=-1)).bit_length()) + 1


def decoded(codes: np.ndarray, scale: np.ndarray, axis: int) -> np.ndarray:
    """``codes * scale`` (float32), with one scale per slice along ``axis``, or one in all."""
    return codes.astype(np.float32) * along(scale, codes.ndim, axis)


def with_scale(grid: Quantization, scale: np.ndarray, axis: int) -> Quantization:
    """``grid`` with other scales, along ``axis``."""
    return replace(grid, scale=scale, zero_point=np.zeros(scale.shape, np.int64), axis=axis)


def _data(tensor: Tensor) -> np.ndarray:
    if tensor.data is None:
        raise ValueError(f"Tensor '{tensor.name}' must be constant.")
    return tensor.data.astype(np.float64)


def _grid(tensor: Tensor) -> Quantization:
    if tensor.quantization is None:
        raise ValueError(f"Tensor '{tensor.name}' must have a grid.")
    return tensor.quantization
