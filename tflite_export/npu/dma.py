"""Transfers beside the computation.

The first piece of each operand must have arrived before cycle 0, and the last piece of the output is stored after
the end; in between, double buffering hides the shorter of computing and moving. For tiles of one size the sum
``dma_0 + sum_i max(C_i, dma_(i+1) + st_(i-1)) + st_last`` over the tiles is

    T = max(head + C + tail, moving everything, SRAM)

    C = cycles of the array, and those in which it waits for a port of its own to SRAM
    head = latency + (input / its parts + weights / their parts) / bandwidth
    tail = latency + (output / its parts) / bandwidth
    moving everything = latency for each direction in use + bytes / bandwidth
    SRAM = bytes through the SRAM's port / its bandwidth

With a single buffer ``T = max(C + moving everything, SRAM)``. Each layer waits for its own first weights: fetching
them during the layer before is not modelled. Everything grows with bytes and falls with bandwidth, so more zeros,
bandwidth or SRAM never cost a cycle.
"""

import math

from tflite_export.npu.machine import Memory
from tflite_export.npu.tiling import Traffic
from tflite_export.npu.work import Work


def total_cycles(work: Work, traffic: Traffic, memory: Memory) -> int:
    """Cycles of an op with its transfers."""
    port = math.ceil(sum(sram_bytes(work, traffic)) / memory.sram_bytes_per_cycle)
    everything = _transfer(traffic.read_bytes, memory) + _transfer(traffic.write_bytes, memory)
    if memory.buffers == 1:
        return max(work.cycles + work.port_wait + everything, port)
    exposed = _transfer(traffic.first_bytes, memory) + _transfer(traffic.last_bytes, memory)
    return max(work.cycles + work.port_wait + exposed, everything, port)


def sram_bytes(work: Work, traffic: Traffic) -> tuple[int, int]:
    """Bytes read from and written to SRAM, by the array and by transfers."""
    return work.sram_read_bytes + traffic.write_bytes, work.sram_write_bytes + traffic.read_bytes


def _transfer(size: int, memory: Memory) -> int:
    return memory.dram_latency_cycles + math.ceil(size / memory.dram_bytes_per_cycle) if size else 0
