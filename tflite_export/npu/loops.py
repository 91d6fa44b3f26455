"""The loop nest of a convolution, which every array formula starts from.

For each group:  ``M = batch * out_h * out_w`` positions,  ``K = kernel_h * kernel_w * in_channels`` taps each,
``N = out_channels`` filters; so ``groups * M * K * N`` multiply-accumulates. A matrix product is the 1 x 1 case,
a depthwise convolution the one with ``in_channels = 1``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Loops:
    """Extents of the loops; channels are counted per group, ``in_h`` and ``in_w`` without padding.

    Attributes:
        weight_bits: Width of a stored weight, in bits.
        in_bits: Width of an input feature-map element, in bits.
        out_bits: Width of an output element, in bits.
    """

    in_h: int
    in_w: int
    out_h: int
    out_w: int
    in_channels: int
    out_channels: int
    batch: int = 1
    groups: int = 1
    kernel_h: int = 1
    kernel_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    weight_bits: int = 8
    in_bits: int = 8
    out_bits: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"`{name}` of a convolution or pool must be at least 1. Received: {value}")

    @property
    def m(self) -> int:
        """Output positions."""
        return self.batch * self.out_h * self.out_w

    @property
    def k(self) -> int:
        """Taps of one filter."""
        return self.kernel_h * self.kernel_w * self.in_channels

    @property
    def n(self) -> int:
        """Filters of one group."""
        return self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those with padding included."""
        return self.groups * self.m * self.k * self.n

    @property
    def out_bytes(self) -> int:
        """Bytes of the output feature map."""
        return -(-self.groups * self.m * self.n * self.out_bits // 8)


def precision(multiplier_bits: int, weight_bits: int, activation_bits: int) -> int:
    """Cycles that a fixed multiplier of ``multiplier_bits`` needs for one product: ``ceil(bw / m) * ceil(ba / m)``."""
    return ceil_div(weight_bits, multiplier_bits) * ceil_div(activation_bits, multiplier_bits)


def ceil_div(a: int, b: int) -> int:
    """``ceil(a / b)`` of integers."""
    return -(-a // b)
