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
        weight_width: Bits that the weights really need; 0: all of ``weight_bits``.
        in_width: Bits that the input's codes really need; 0: all of ``in_bits``.
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
    weight_width: int = 0
    in_width: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1 and not name.endswith("_width"):
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
    def filters(self) -> int:
        """Filters of all groups."""
        return self.groups * self.out_channels

    @property
    def widths(self) -> tuple[int, int]:
        """Bits of weights and inputs that products have to deal with."""
        return self.weight_width or self.weight_bits, self.in_width or self.in_bits

    @property
    def unfolded_bytes(self) -> int:
        """Bytes of all inputs of all positions, those that positions share counted again."""
        return -(-self.groups * self.m * self.k * self.in_bits // 8)

    @property
    def out_bytes(self) -> int:
        """Bytes of the output feature map."""
        return -(-self.groups * self.m * self.n * self.out_bits // 8)


def ceil_div(a: int, b: int) -> int:
    """``ceil(a / b)`` of integers."""
    return -(-a // b)
