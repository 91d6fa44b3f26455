"""Tiles of a convolution whose feature maps do not fit in SRAM, and the order that moves the fewest bytes.

A tile is ``th x tw`` positions, ``tk`` input and ``tn`` output channels. With ``b`` buffers it must satisfy

    b (input tile + weight tile) + b output tile + 4 th tw tn <= SRAM,     input tile = ((th - 1) s + KH)((tw - 1) s + KW) tk

and main memory sees, with P tiles of positions,

    weight_outer:  weights once,    input  ceil(N / tn) times
    input_outer:   weights P times, input  once (and the rims that tiles share)
    both:          output once, partial sums 2 (ceil(K / tk) - 1) M N 4 bytes

All tiles from halving the extents are tried. Every byte costs the same energy, so the fewest bytes are the least
energy. Groups are taken ``tg`` at a time: no operand is read twice but for the rims.
"""

from dataclasses import dataclass

import numpy as np

from tflite_export.npu.loops import Loops, ceil_div
from tflite_export.npu.machine import Memory

PARTIAL_SUM_BYTES = 4
BRICK = 16


@dataclass(frozen=True)
class Traffic:
    """Bytes between main memory and SRAM, whole bursts, and the loop order they follow from.

    Attributes:
        order: ``"resident"`` (feature maps stay in SRAM), ``"streamed"`` (each operand moves once), ``"weight_outer"``,
            ``"input_outer"``, or ``"none"`` (no work).
        tile: ``(th, tw, tk, tn)`` if the op is tiled.
        spill_bytes: Partial sums, written and read back.
    """

    order: str
    input_bytes: int = 0
    weight_bytes: int = 0
    output_bytes: int = 0
    spill_bytes: int = 0
    tile: tuple[int, int, int, int] | None = None

    @property
    def read_bytes(self) -> int:
        """Bytes from main memory."""
        return self.input_bytes + self.weight_bytes + self.spill_bytes

    @property
    def write_bytes(self) -> int:
        """Bytes to main memory."""
        return self.output_bytes + self.spill_bytes


def bursts(runs: np.ndarray, run_bytes: np.ndarray, burst: int) -> np.ndarray:
    """Bytes that ``runs`` separate runs of ``run_bytes`` cost in whole bursts."""
    return runs * -(-run_bytes // burst) * burst


def tile_traffic(loops: Loops, weight_bytes: int, memory: Memory) -> Traffic:
    """The tile and order with the fewest bytes.

    Raises:
        ValueError: Not even the smallest tile fits in SRAM.
    """
    th, tw, tk, tn, per_step = _candidates(loops)
    positions = loops.batch * _steps(loops.out_h, th) * _steps(loops.out_w, tw)
    k_steps = _steps(loops.in_channels * loops.groups, tk)
    n_steps = _steps(loops.n * loops.groups, tn)
    rereads, spills = (n_steps, k_steps - 1) if loops.groups == 1 else (1 + 0 * n_steps, 0 * k_steps)

    rows = np.minimum(loops.in_h, (th - 1) * loops.stride_h + (loops.kernel_h - 1) * loops.dilation_h + 1)
    columns = np.minimum(loops.in_w, (tw - 1) * loops.stride_w + (loops.kernel_w - 1) * loops.dilation_w + 1)
    in_bus = positions * k_steps * _map_bursts(rows, columns, tk, loops, "in", memory)
    out_bus = positions * n_steps * _map_bursts(th, tw, tn, loops, "out", memory)
    weight_bus = int(bursts(np.int64(1), np.int64(weight_bytes), memory.dram_burst_bytes))
    spill = spills * loops.m * loops.n * PARTIAL_SUM_BYTES

    needed = _needed_bytes(loops, weight_bytes, memory, (th, tw, tn), rows * columns * tk, per_step)
    fixed = out_bus + 2 * spill
    orders = {
        "weight_outer": (in_bus * rereads + fixed, in_bus * rereads, 0 * positions + weight_bus),
        "input_outer": (in_bus + fixed, in_bus, positions * weight_bus),
    }
    orders = {name: np.broadcast_arrays(*parts) for name, parts in orders.items()}
    if needed.min() > memory.sram_bytes:
        raise ValueError(
            f"its smallest tile needs {int(needed.min())} bytes of SRAM, the machine has {memory.sram_bytes}. "
            "Use a machine with a larger `sram_bytes`"
        )
    best, order, at = min(
        (int(total[at]), name, at)
        for name, (in_out, _, weights) in orders.items()
        for total in [np.where(needed <= memory.sram_bytes, in_out + weights, np.iinfo(np.int64).max)]
        for at in [np.unravel_index(int(np.argmin(total)), total.shape)]
    )
    return None
