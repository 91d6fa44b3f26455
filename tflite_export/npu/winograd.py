r"""Convolutions of 3 x 3 and stride 1 by Winograd's algorithm, in integers without an error.

Tiles of m x m outputs need ``t = m + 2`` inputs a side and t**2 products instead of 9 m**2:

    U = G g G'      the weights, once for each kernel       V = B d B'      the inputs, once for each tile
    y = A' (sum over channels of U V) A / scale

so t**2 matrix products of P = ceil(OH / m) ceil(OW / m) rows, Cin taps and Cout filters, each at the widths to which
the operands have grown: those of U from the weights really there, those of V at their worst. The vector unit does the
sums of the transforms, before and after. Weights travel and are stored as usual, and are transformed on the chip; a
zero weight is rarely a zero of U. Sums that need more than 32 bits are not computed in this way.

Reference: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
https://arxiv.org/abs/1509.09308. Differs from the source in G and A, multiplied until they are whole numbers (m = 2: by
2, m = 4: by 24), so that nothing is rounded.
"""

from dataclasses import dataclass, replace

import numpy as np

from tflite_export.measures import true_bits
from tflite_export.npu.loops import Loops, ceil_div

ACCUMULATOR_BITS = 32


@dataclass(frozen=True)
class Tile:
    """An algorithm: its kernel transform, growth of the inputs, and sums for each transform of a whole tile.

    Attributes:
        kernel: G, int64 (t, 3).
        growth: By how much the largest input grows.
        input_sums: Additions for one V.
        output_sums: Additions for one y, all m x m of it.
        kernel_sums: Additions for one U.
    """

    kernel: np.ndarray
    growth: int
    input_sums: int
    output_sums: int
    kernel_sums: int


TILES = {
    2: Tile(np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]), 4, 32, 24, 21),
    4: Tile(np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]), 100, 144, 100, 72),
}


@dataclass(frozen=True, eq=False)
class Products:
    """What is left for the array and for the vector unit.

    Attributes:
        loops: The t**2 matrix products, as groups of one convolution of 1 x 1.
        codes: U, (t**2 * filters, channels).
        sums: Additions of all transforms.
        input_bytes: The input feature map.
        output_bytes: The output feature map.
        accumulator_bits: Width that no sum exceeds.
    """

    loops: Loops
    codes: np.ndarray
    sums: int
    input_bytes: int
    output_bytes: int
    accumulator_bits: int


def products(loops: Loops, codes: np.ndarray, m: int) -> Products | None:
    """The convolution with weights ``codes`` (filters, taps) by tiles of m x m; None if the algorithm is not for it."""
    kernel = loops.kernel_h, loops.kernel_w, loops.stride_h, loops.stride_w, loops.dilation_h, loops.dilation_w
    if kernel != (3, 3, 1, 1, 1, 1) or loops.groups > 1:
        return None
    tile, side = TILES[m], m + 2
    g = codes.reshape(loops.n, 3, 3, loops.in_channels).astype(np.int64)
    transformed = np.einsum("ia,jb,nabc->ijnc", tile.kernel, tile.kernel, g, optimize=True)
    largest = tile.growth << (loops.widths[1] - 1)
    sums = int(np.abs(transformed).sum(-1).max()) * largest
    if 1 + sums.bit_length() > ACCUMULATOR_BITS:
        return None
    high, wide = ceil_div(loops.out_h, m), ceil_div(loops.out_w, m)
    width, in_width = true_bits(transformed), 1 + largest.bit_length()
    grown = replace(
        loops, in_h=high, in_w=wide, out_h=high, out_w=wide, kernel_h=1, kernel_w=1, groups=side**2,
        weight_bits=width, in_bits=in_width, out_bits=ACCUMULATOR_BITS, weight_width=width, in_width=in_width,
    )  # fmt: skip
    tiles = loops.batch * high * wide
    additions = tiles * (tile.input_sums * loops.in_channels + tile.output_sums * loops.n)
    return Products(
        grown,
        transformed.reshape(-1, loops.in_channels),
        additions + tile.kernel_sums * loops.in_channels * loops.n,
        ceil_div(loops.batch * loops.in_h * loops.in_w * loops.in_channels * loops.in_bits, 8),
        loops.out_bytes,
        1 + sums.bit_length(),
    )
