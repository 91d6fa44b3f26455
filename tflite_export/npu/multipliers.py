r"""How a cell multiplies, and how long it takes: ``sigma``, cycles of one product.

With operands of ``bw`` and ``ba`` bits, and cells built for ``m`` (``multiplier_bits``):

    fixed              sigma = ceil(bw / m) ceil(ba / m)
    binned             the same; inputs that meet equal weights are added up first, so K products of an output become
                       K sums and one product for each of at most 16 distinct weights (energy, not time)
    bricks             sigma = p2(bw) p2(ba) / m**2                  p2: the next power of two, at least 2
    activation_serial  sigma = ceil(bw / m) ba / m                   activations bit by bit
    serial             sigma = bw ba / m**2, and bw / m for one row  both bit by bit; one row has no positions to share
    shift              sigma = ceil(ba / m) d                        no multiplier: a shift and a sum for each digit
    shift_only         the same, and d > 1 is refused

``d`` are the non-zero signed digits of a weight in the shortest such form: 1 for a power of two, at most 4 for eight
bits. Cells in lockstep take the largest ``d`` of the layer; cells of a ``parallel`` array each their own, and with
several lanes such a cell is what the literature calls essential-bit serial. A zero has no digit, and takes the time
of one unless zeros are skipped.

References: Sharma et al., "Bit Fusion", ISCA 2018, https://arxiv.org/abs/1712.01507; Judd et al., "Stripes", MICRO
2016; Sharify et al., "Loom", DAC 2018, https://arxiv.org/abs/1706.07853; Albericio et al., "Bit-Pragmatic", MICRO 2017,
https://arxiv.org/abs/1610.06920. Differs from the sources in the unit of time, one cycle for 8 x 8 bits on all cells.
"""

from fractions import Fraction
from typing import Literal

import numpy as np

from tflite_export.npu.loops import Loops, ceil_div

Multiplier = Literal["fixed", "binned", "bricks", "activation_serial", "serial", "shift", "shift_only"]

BINS = 16
SHIFTS = ("shift", "shift_only")


def sigma(kind: Multiplier, bits: int, loops: Loops, digits: int = 1) -> Fraction:
    """Cycles of one product on a cell; ``digits``: signed digits of the weight."""
    weight, activation = loops.widths
    if kind == "bricks":
        return Fraction(_power_of_two(weight) * _power_of_two(activation), bits**2)
    if kind == "activation_serial":
        return Fraction(ceil_div(weight, bits) * activation, bits)
    if kind == "serial":
        return Fraction(weight * activation, bits**2) if loops.m > 1 else Fraction(weight, bits)
    if kind in SHIFTS:
        return Fraction(ceil_div(activation, bits) * max(digits, 1))
    return Fraction(ceil_div(weight, bits) * ceil_div(activation, bits))


def product_bits(kind: Multiplier, bits: int, loops: Loops) -> tuple[int, int]:
    """Operand widths (weight, activation) that a cell spends on one product, in bits."""
    weight, activation = loops.widths
    if kind == "bricks":
        return _power_of_two(weight), _power_of_two(activation)
    if kind == "serial":
        return weight, activation
    whole = ceil_div(weight, bits) * bits, ceil_div(activation, bits) * bits
    return (whole[0], activation) if kind == "activation_serial" else whole


def signed_digits(codes: np.ndarray) -> np.ndarray:
    """Non-zero digits of each code in the shortest sum of signed powers of two: 7 = 8 - 1 has two."""
    magnitude = np.abs(codes.astype(np.int32))
    return np.bitwise_count(magnitude ^ (3 * magnitude))


def _power_of_two(bits: int) -> int:
    return max(2, 1 << (bits - 1).bit_length())
