r"""Blocks of a dot engine: a map is made piece by piece, each ``h x w`` positions by ``z`` channels.

Array, output unit and the port to SRAM work on different blocks at the same time. With A and O the cycles of array and
output unit on the whole map, a and o those on one block,

    T = max(A, O) + min(a, o) + head + tail
    head = latency + input of a block / port        until the array can start
    tail = latency + output of a block / port       until the last results are stored
    L = bytes / port
    bytes = input * (overlap of the areas) * ceil(Cout / z) + weights * areas + output
    areas = batch * ceil(OH / h) * ceil(OW / w)

so of array and output unit the shorter one hides, but for one block: large blocks start late and end late, small ones
read what they share with their neighbours, and the weights, more often. Two blocks of input, of which the array needs
``4 d`` channels and 8 x 8 taps at a time, and two of 32-bit sums must fit in the engine's buffer. Of the blocks that
do, the one with the least ``max(T, L)`` is taken. Its sides are 1, 2, 3, 4, 6, 8, 12, ... times those of the array, its
channels whole words. The least of numbers that grow with the layer grows too: a larger layer is never faster.

Reference: ``EstimateMacOpCycles`` and ``FindBlockConfig`` of Arm's Vela compiler 5.2.0, in ethosu/regor/architecture,
https://gitlab.arm.com/artificial-intelligence/ethos-u/ethos-u-vela. Differs from the source in the choice: Vela takes
the block with the fewest reads, whose results may leave late. Left out are its limit on issuing commands, the biases
that are read for each block, and the pause between the passes of a block that is as small as the array.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tflite_export.npu.loops import Loops

SIDES = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128])
PATCH = 8
"""Kernels are applied in parts of at most that many taps a side."""
SUM_BYTES = 4


@dataclass(frozen=True)
class Buffer:
    """Where operands wait for the array.

    Attributes:
        size: Bytes.
        word: Bytes that a read from SRAM delivers at least.
        lane: Channels that the array multiplies at once, of which the buffer keeps whole groups.
        channels: Those that it needs at a time.
    """

    size: int
    word: int
    lane: int
    channels: int

    def words(self, elements: Any, bits: int) -> Any:
        """Bytes of neighbouring channels of ``bits`` bits each, in whole words."""
        return -(-elements * bits // (8 * self.word)) * self.word


@dataclass(frozen=True)
class Blocks:
    """The blocks that a layer may have; arrays with one number for each.

    Attributes:
        height, width, depth: Sides, no larger than the map's.
        areas: Pieces into which they cut the positions of the map.
        input_bytes: The first input of a block.
        read_bytes: Inputs of all blocks.
    """

    height: np.ndarray
    width: np.ndarray
    depth: np.ndarray
    areas: np.ndarray
    input_bytes: np.ndarray
    read_bytes: np.ndarray


def fitting(loops: Loops, unit: tuple[int, int, int], depthwise: bool, buffer: Buffer) -> Blocks:
    """The smallest block, ``unit``, and all that fit in the buffer."""
    channels = loops.filters if depthwise else loops.n
    sides = (
        np.unique(np.minimum(SIDES * side, extent)) for side, extent in zip(unit, (loops.out_h, loops.out_w, channels))
    )
    height, width, depth = (axis.ravel() for axis in np.meshgrid(*sides, indexing="ij"))
    rows, down, all_rows = _reads(height, loops.out_h, loops.in_h, loops.kernel_h, loops.stride_h, loops.dilation_h)
    columns, across, all_columns = _reads(
        width, loops.out_w, loops.in_w, loops.kernel_w, loops.stride_w, loops.dilation_w
    )
    at_once = -(-depth // loops.n) if depthwise else np.minimum(loops.in_channels, buffer.channels)
    pixel = at_once if depthwise else np.int64(loops.groups * loops.in_channels)
    first = rows * columns * buffer.words(at_once, loops.in_bits)
    held = rows * columns * (-(-at_once // buffer.lane) * buffer.lane * loops.in_bits // 8)
    fits = 2 * (held + SUM_BYTES * height * width * depth) <= buffer.size
    fits[0] = True  # the smallest, for sides are sorted
    reads = all_rows * all_columns * buffer.words(pixel, loops.in_bits) * -(-channels // depth)
    found = height, width, depth, loops.batch * down * across, first, loops.batch * reads
    return Blocks(*(each[fits] for each in found))


def _reads(
    side: np.ndarray, outputs: int, inputs: int, kernel: int, stride: int, dilation: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along one side: inputs of a block for a part of the kernel, number of blocks, inputs of all of them."""
    reach, number = (kernel - 1) * dilation + 1, -(-outputs // side)
    one = np.minimum((side - 1) * stride + min(reach, PATCH), inputs)
    return one, number, np.minimum((outputs - number) * stride + number * reach, number * inputs)
