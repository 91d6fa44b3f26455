"""From the grid of a Transform to the quantisation of a TFLite tensor, or why there is none.

TFLite weights: ``value = code * scale``, int8 codes, one scale per tensor or per output channel. TFLite feature
maps: ``value = (code - zero_point) * scale``, int8 codes, one scale. A narrower feature map occupies the top of
int8, so that the upper end saturates by itself.
"""

from collections.abc import Callable

import numpy as np

from tfcompress.grid import Grid
from tflite_export.ir import Quantization
from tflite_export.passes.linear import signed_bits

LOW, HIGH = -128, 127
WIDE_HIGH = 2**15 - 1


class Unsupported(ValueError):
    """Why a layer cannot be exported, and what can; the walk over the model adds the layer's path and type."""


def weight_grid(
    grid: Grid, data: np.ndarray, slot: str, channel_axis: int, layout: Callable[[np.ndarray], np.ndarray]
) -> Quantization:
    """The quantisation of a weight ``data`` that lies on ``grid``; both in Keras' axes.

    Raises:
        Unsupported: int8 with one scale per output channel cannot hold these numbers exactly.
    """
    if grid.values is not None:
        scale = _codebook_scales(grid.values, slot)
        codes = np.rint(data / scale)
    else:
        scale, codes = np.asarray(grid.scale, np.float32), grid.encode(data) - grid.zero_point
    if not np.array_equal((codes * scale).astype(np.float32), data):
        raise Unsupported(f"the weight '{slot}' does not lie on the grid that its transform reports")
    if codes.min(initial=0) < LOW or codes.max(initial=0) > HIGH:
        raise Unsupported(
            f"the codes of '{slot}' run from {codes.min():.0f} to {codes.max():.0f} ({grid.bits} bits), but int8 "
            f"holds {LOW} to {HIGH}: quantise it to 8 bits or fewer"
        )
    per_channel = _per_channel(np.broadcast_to(scale, data.shape), slot, channel_axis, layout)
    uniform = scale.size == 1
    bits = signed_bits(codes) if grid.values is not None else min(8, max(grid.bits, signed_bits(codes)))
    scales = per_channel[:1] if uniform else per_channel
    zero = np.zeros(len(scales), np.int64)
    return Quantization(scales, zero, axis=0 if uniform else channel_axis, bits=bits)


def _per_channel(
    scale: np.ndarray, slot: str, channel_axis: int, layout: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    laid_out = np.moveaxis(layout(scale), channel_axis, 0)
    rows = laid_out.reshape(len(laid_out), -1)
    if not np.array_equal(rows, np.broadcast_to(rows[:, :1], rows.shape)):
        raise Unsupported(
            f"the scale of '{slot}' varies along other axes than the output channels, and TFLite has one scale per "
            "output channel: leave the transform's `axis` at its default, or use axis=() for one scale in all"
        )
    return np.ascontiguousarray(rows[:, 0], np.float32)


def _codebook_scales(values: np.ndarray, slot: str) -> np.ndarray:
    """The scale of each codebook, in the shape of the slices."""
    rows = np.reshape(values, (-1, np.shape(values)[-1]))
    return np.array([codebook_scale(row, slot) for row in rows], np.float32).reshape(np.shape(values)[:-1])


def codebook_scale(values: np.ndarray, slot: str) -> float:
    """The largest scale on which all ``values`` are whole numbers of int8, exactly.

    Raises:
        Unsupported: There is none.
    """
    values = np.asarray(values, np.float32)
    sizes = np.abs(values[values != 0])
    if not sizes.size:
        return 1.0
    for code_of_smallest in range(1, HIGH + 1):
        scale = np.float32(sizes.min() / code_of_smallest)
        codes = np.rint(values / scale)
        if codes.max() > HIGH or codes.min() < LOW:
            break
        if np.array_equal((codes * scale).astype(np.float32), values):
            return float(scale)
    raise Unsupported(
        f"the {len(values)} values of the codebook of '{slot}' are not whole multiples of one scale within int8 "
        f"({LOW} to {HIGH}): use powers of two, or values on an 8-bit grid"
    )


def activation_grid(grid: Grid) -> Quantization:
    """The quantisation of a feature map that lies on ``grid``: its codes at the top of int8, or of int16 beyond 8 bits.

    Raises:
        Unsupported: The grid is not affine with one scale, or its codes cannot lie at the top.
    """
    if grid.values is not None or np.size(grid.scale) != 1:
        raise Unsupported("a feature map needs an affine grid with one scale: use a transform with axis=()")
    top = HIGH if grid.bits <= 8 else WIDE_HIGH
    shift = top - grid.high
    if top == WIDE_HIGH and (shift or grid.zero_point):
        raise Unsupported(
            f"a feature map of {grid.bits} bits from code {grid.low} to {grid.high}, where int16 has no zero point and "
            "saturates at 32767 only: use 16 bits signed, 15 bits unsigned, or 8 bits or fewer"
        )
    low, zero_point = grid.low + shift, grid.zero_point + shift
    if not low <= zero_point <= top:
        raise Unsupported(f"the zero point {grid.zero_point} lies outside of the codes {grid.low} to {grid.high}")
    return Quantization(
        np.float32(grid.scale).reshape(1),
        np.array([zero_point], np.int64),
        bits=grid.bits,
        low=None if low == -top - 1 else low,
    )
