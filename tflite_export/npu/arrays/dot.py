r"""Dot-product engine: blocks of ``uh x uw`` positions by ``uz`` channels, each with a dot product ``d`` wide.

Four cycles handle one block and either 4 d channels of one tap or d channels of four taps, whichever is fewer steps:

    blocks = batch * ceil(OH / uh) * ceil(OW / uw)
    steps  = min(KH KW ceil(Cin / 4d), ceil(Cin / d) ceil(KH KW / 4))      (depthwise: ceil(KH KW / 4))
    D      = s * max(4 * blocks, floor) * steps * ceil(Cout / uz)
    floor  = 4 d uz / weights_per_cycle                                     the decoder feeds the array
    O      = OH OW Cout / outputs_per_cycle                                 results are scaled and stored
    T      = max(D, O)

with ``s`` the cycles of one product. What results take longer to leave is drain, what the decoder takes longer decode.

An output block stays in the accumulators. Its shape, ``P`` positions by ``Z`` channels, is the one with the least
SRAM reads ``input * ceil(Cout / Z) + weights * ceil(M / P)``; inputs are fetched pixel by pixel in whole words.

Reference: the performance estimator of Arm's Vela compiler for Ethos-U55, version 5.2.0,
https://gitlab.arm.com/artificial-intelligence/ethos-u/ethos-u-vela. Differs from the source in having no overhead for
each block and no block search over its buffers, so it stays below Vela on small maps.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from tflite_export.npu.loops import Loops, ceil_div
from tflite_export.npu.multipliers import Multiplier, sigma
from tflite_export.npu.schema import Count
from tflite_export.npu.values import Values
from tflite_export.npu.work import Work

CYCLES = 4


@dataclass(frozen=True)
class DotEngine:
    """Table ``[array]`` with ``kind = "dot"``.

    Attributes:
        block_height: ``uh``, output rows at once.
        block_width: ``uw``, output columns at once.
        block_depth: ``uz``, output channels at once.
        dot: ``d``, products summed by each of them in one cycle.
        multiplier_bits: Operand width of a multiplier; wider operands take several cycles.
        weights_per_cycle: Throughput of the weight decoder.
        outputs_per_cycle: Throughput of the output unit.
        accumulators: Partial sums that stay inside.
        fetch_bytes: A pixel's channels are read from SRAM in whole words of that many bytes.
        multiplier: How a cell multiplies, see ``multipliers``.
    """

    KIND: ClassVar[str] = "dot"

    block_height: Count
    block_width: Count
    block_depth: Count
    dot: Count
    multiplier_bits: Count
    weights_per_cycle: Count
    outputs_per_cycle: float
    accumulators: Count
    fetch_bytes: Count
    multiplier: Multiplier = "fixed"

    @property
    def macs_per_cycle(self) -> int:
        """Peak rate."""
        return self.block_height * self.block_width * self.block_depth * self.dot

    def convolution(self, loops: Loops, weight_bytes: int, values: Values | None = None) -> Work:
        """Work of any convolution or matrix product whose weights occupy ``weight_bytes`` as they travel."""
        taps = loops.kernel_h * loops.kernel_w
        steps = min(
            taps * ceil_div(loops.in_channels, CYCLES * self.dot),
            ceil_div(loops.in_channels, self.dot) * ceil_div(taps, CYCLES),
        )
        passes = loops.groups * steps * ceil_div(loops.n, self.block_depth)
        reads = self._best_block_reads(loops, weight_bytes)
        return self._work(loops, passes, reads, loops.filters, self._cycles_of_a_product(loops, values))

    def depthwise(self, loops: Loops, weight_bytes: int, values: Values | None = None) -> Work:
        """Work of a depthwise convolution: channels fill the block's depth, taps a quarter of the dot product."""
        channels = loops.groups * loops.n
        passes = ceil_div(loops.kernel_h * loops.kernel_w, CYCLES) * ceil_div(channels, self.block_depth)
        reads = self._input_bytes(loops) + weight_bytes * ceil_div(loops.m, self._positions(self.block_depth))
        return self._work(loops, passes, reads, channels, self._cycles_of_a_product(loops, values))

    def _cycles_of_a_product(self, loops: Loops, values: Values | None) -> Fraction:
        digits = 1 if values is None else values.most_digits
        return sigma(self.multiplier, self.multiplier_bits, loops, digits)

    def _work(self, loops: Loops, passes: int, read_bytes: int, channels: int, per_step: Fraction) -> Work:
        blocks = loops.batch * ceil_div(loops.out_h, self.block_height) * ceil_div(loops.out_w, self.block_width)
        floor = ceil_div(CYCLES * self.dot * self.block_depth, self.weights_per_cycle)
        array = math.ceil(CYCLES * blocks * passes * per_step)
        decoder = math.ceil(floor * passes * per_step)
        output = math.ceil(loops.m * channels / self.outputs_per_cycle)
        useful = int(loops.macs * per_step // self.macs_per_cycle)
        columns = ceil_div(channels, self.block_depth)
        return Work(
            useful=useful,
            edge=array - useful,
            fill_drain=max(output - array, 0),
            decode=max(decoder - max(array, output), 0),
            sram_read_bytes=read_bytes,
            sram_write_bytes=loops.out_bytes,
            input_parts=blocks,
            weight_parts=columns,
            output_parts=blocks * columns,
        )

    def _best_block_reads(self, loops: Loops, weight_bytes: int) -> int:
        inputs = self._input_bytes(loops)
        depths = range(self.block_depth, loops.n + self.block_depth, self.block_depth)
        return min(
            inputs * ceil_div(loops.n, depth) + weight_bytes * ceil_div(loops.m, self._positions(depth))
            for depth in depths
        )

    def _positions(self, depth: int) -> int:
        return max(self.accumulators // depth, self.block_height * self.block_width)

    def _input_bytes(self, loops: Loops) -> int:
        pixel_bytes = ceil_div(loops.groups * loops.in_channels * loops.in_bits, 8)
        words = ceil_div(pixel_bytes, self.fetch_bytes)
        return loops.batch * loops.in_h * loops.in_w * words * self.fetch_bytes
