r"""Dot-product engine: ``uh x uw`` positions by ``uz`` channels at once, each with a dot product ``d`` wide.

Four cycles handle one such step for either 4 d channels of one tap or d channels of four taps, whichever is fewer:

    positions = batch * ceil(OH / uh) * ceil(OW / uw)
    passes    = min(KH KW ceil(Cin / 4d), ceil(Cin / d) ceil(KH KW / 4)) * ceil(Cout / uz)
                                                     (depthwise: ceil(KH KW / 4) * ceil(Cout / uz))
    A = s * max(4 * positions, floor * areas) * passes
    floor = 4 d uz / weights_per_cycle               the decoder feeds the array, once for each area of the map
    O = OH OW Cout / outputs_per_cycle               results are scaled and stored

with ``s`` the cycles of one product. How much of the two shows, what the first input and the last output add, and into
which areas the map is cut is in ``blocks``: what outlasts the array is fill and drain, what the decoder takes longer
decode, what the port to SRAM takes longer waiting for memory. Bytes between SRAM and the array are the fewest that any
block needs.

Reference: the performance estimator of Arm's Vela compiler for Ethos-U55, version 5.2.0,
https://gitlab.arm.com/artificial-intelligence/ethos-u/ethos-u-vela. Differs from the source as ``blocks`` says, and in
keeping 2 x 2 positions on maps of one row, where Vela has 1 x 4.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from tflite_export.npu.arrays.blocks import Blocks, Buffer, fitting
from tflite_export.npu.loops import Loops, ceil_div
from tflite_export.npu.multipliers import Multiplier, sigma
from tflite_export.npu.schema import Count, Natural
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
        buffer_bytes: Holds two blocks of input and two of 32-bit sums.
        port_bytes: Width of the port to SRAM, in bytes a cycle.
        port_latency_cycles: Cycles until the first byte arrives.
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
    buffer_bytes: Count
    port_bytes: Count
    port_latency_cycles: Natural
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
        columns = loops.groups * ceil_div(loops.n, self.block_depth)
        return self._work(loops, steps, columns, self._blocks(loops, False), weight_bytes, values)

    def depthwise(self, loops: Loops, weight_bytes: int, values: Values | None = None) -> Work:
        """Work of a depthwise convolution: channels fill the depth, taps a quarter of the dot product."""
        steps = ceil_div(loops.kernel_h * loops.kernel_w, CYCLES)
        columns = ceil_div(loops.filters, self.block_depth)
        return self._work(loops, steps, columns, self._blocks(loops, True), weight_bytes, values)

    def _blocks(self, loops: Loops, depthwise: bool) -> Blocks:
        word = ceil_div(8 * self.fetch_bytes, loops.out_bits * self.block_depth) * self.block_depth
        buffer = Buffer(self.buffer_bytes, self.fetch_bytes, self.dot, CYCLES * self.dot)
        return fitting(loops, (self.block_height, self.block_width, word), depthwise, buffer)

    def _work(
        self, loops: Loops, steps: int, columns: int, blocks: Blocks, weight_bytes: int, values: Values | None
    ) -> Work:
        positions = loops.batch * ceil_div(loops.out_h, self.block_height) * ceil_div(loops.out_w, self.block_width)
        per_step = self._cycles_of_a_product(loops, values)
        array, decoder = (
            _whole(amount * steps * columns * per_step.numerator, per_step.denominator)
            for amount in (CYCLES * positions, self._decoded_in * blocks.areas)
        )
        output = int(self._stored_in(loops.m * loops.filters))
        time = np.maximum(np.maximum(array, decoder), output) + self._not_hidden(loops, steps, blocks, per_step)
        moved = blocks.read_bytes + weight_bytes * blocks.areas + loops.out_bytes
        port = _whole(moved, self.port_bytes)
        best = np.lexsort((moved, np.maximum(time, port)))[0]
        useful = int(loops.macs * per_step // self.macs_per_cycle)
        decode = max(int(decoder[best]) - max(array, output), 0)
        return Work(
            useful=useful,
            edge=array - useful,
            fill_drain=int(time[best]) - array - decode,
            decode=decode,
            port_wait=max(int(port[best] - time[best]), 0),
            sram_read_bytes=int(moved.min()) - loops.out_bytes,
            sram_write_bytes=loops.out_bytes,
            input_parts=positions,
            weight_parts=columns,
            output_parts=positions * columns,
        )

    def _not_hidden(self, loops: Loops, steps: int, blocks: Blocks, per_step: Fraction) -> np.ndarray:
        """Cycles before the array starts and after it ends, for each block."""
        positions = -(-blocks.height // self.block_height) * -(-blocks.width // self.block_width)
        passes = steps * -(-blocks.depth // self.block_depth) * per_step.numerator
        array = _whole(np.maximum(CYCLES * positions, self._decoded_in) * passes, per_step.denominator)
        results = blocks.height * blocks.width * blocks.depth
        ends = _whole(blocks.input_bytes, self.port_bytes) + _whole(results * loops.out_bits, 8 * self.port_bytes)
        return np.minimum(array, self._stored_in(results)) + 2 * self.port_latency_cycles + ends

    @property
    def _decoded_in(self) -> int:
        """Cycles in which the decoder makes the weights of four cycles."""
        return ceil_div(CYCLES * self.dot * self.block_depth, self.weights_per_cycle)

    def _stored_in(self, results: Any) -> Any:
        return np.ceil(results / self.outputs_per_cycle).astype(np.int64)

    def _cycles_of_a_product(self, loops: Loops, values: Values | None) -> Fraction:
        digits = 1 if values is None else values.most_digits
        return sigma(self.multiplier, self.multiplier_bits, loops, digits)


def _whole(amount: Any, rate: int) -> Any:
    """``ceil(amount / rate)`` of integers or arrays of them."""
    return -(-amount // rate)
