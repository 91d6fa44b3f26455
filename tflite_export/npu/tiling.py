"""Tiles of a convolution whose feature maps do not fit in SRAM, and the order that moves the fewest bytes.

A tile is ``th x tw`` positions of ``tg`` groups with ``tk`` input and ``tn`` output channels each. With ``b`` buffers

    b (input tile + weight tile + output tile) + 4 tg th tw tn <= SRAM
    input tile = ((th - 1) stride + KH) ((tw - 1) stride + KW) tg tk

and main memory sees, with P tiles of positions,

    weight_outer:  weights once,     input ceil(N / tn) times
    input_outer:   weights P times,  input once
    both:          rims that tiles share, the output once, partial sums 2 (ceil(K / tk) - 1) M N 4 bytes

All tiles from halving the extents are tried. Every byte costs the same energy, so the fewest bytes are the least
energy.
"""

from dataclasses import dataclass

import numpy as np

from tflite_export.npu.layout import tile_bytes, whole_bursts
from tflite_export.npu.loops import Loops
from tflite_export.npu.machine import Memory

PARTIAL_SUM_BYTES = 4


@dataclass(frozen=True)
class Traffic:
    """Bytes between main memory and SRAM, in whole bursts, and the loop order they follow from.

    Attributes:
        order: ``"resident"`` (feature maps stay in SRAM), ``"streamed"`` (each operand moves once), ``"weight_outer"``,
            ``"input_outer"``, or ``"none"`` (no work).
        spill_bytes: Partial sums, written once and read once.
        tile: ``(th, tw, tg * tk, tg * tn)`` if the op is tiled.
        first_bytes: Bytes that must have arrived before cycle 0.
        last_bytes: Bytes that leave after the last cycle.
    """

    order: str
    input_bytes: int = 0
    weight_bytes: int = 0
    output_bytes: int = 0
    spill_bytes: int = 0
    tile: tuple[int, int, int, int] | None = None
    first_bytes: int = 0
    last_bytes: int = 0

    @property
    def read_bytes(self) -> int:
        """Bytes from main memory."""
        return self.input_bytes + self.weight_bytes + self.spill_bytes

    @property
    def write_bytes(self) -> int:
        """Bytes to main memory."""
        return self.output_bytes + self.spill_bytes


@dataclass(frozen=True)
class Tiles:
    """Candidate tiles; every attribute is a vector with one entry a candidate."""

    th: np.ndarray
    tw: np.ndarray
    tg: np.ndarray
    tk: np.ndarray
    tn: np.ndarray

    def __getitem__(self, which: np.ndarray) -> "Tiles":
        return Tiles(*(extent[which] for extent in vars(self).values()))

    def input_extent(self, loops: Loops) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the input that a tile needs."""
        rows = (self.th - 1) * loops.stride_h + (loops.kernel_h - 1) * loops.dilation_h + 1
        columns = (self.tw - 1) * loops.stride_w + (loops.kernel_w - 1) * loops.dilation_w + 1
        return np.minimum(rows, loops.in_h), np.minimum(columns, loops.in_w)


def tile_traffic(loops: Loops, weight_bytes: int, memory: Memory) -> Traffic:
    """The tile and the order with the fewest bytes, if both feature maps are in main memory.

    Raises:
        ValueError: Not even the smallest tile fits in SRAM.
    """
    tiles = _fitting(loops, weight_bytes, memory)
    positions = loops.batch * _count(loops.out_h, tiles.th) * _count(loops.out_w, tiles.tw)
    g_tiles, k_tiles = _count(loops.groups, tiles.tg), _count(loops.in_channels, tiles.tk)
    n_tiles = _count(loops.out_channels, tiles.tn)

    layout, burst = memory.layout, memory.dram_burst_bytes
    in_whole = (loops.in_w, loops.groups * loops.in_channels)
    out_whole = (loops.out_w, loops.groups * loops.out_channels)
    in_tile = tile_bytes(*tiles.input_extent(loops), tiles.tg * tiles.tk, in_whole, loops.in_bits, layout, burst)
    out_tile = tile_bytes(tiles.th, tiles.tw, tiles.tg * tiles.tn, out_whole, loops.out_bits, layout, burst)

    inputs = positions * g_tiles * k_tiles * in_tile
    weights = np.full_like(positions, whole_bursts(weight_bytes, burst))
    outputs = positions * g_tiles * n_tiles * out_tile
    spill = (k_tiles - 1) * loops.groups * loops.m * loops.n * PARTIAL_SUM_BYTES

    orders = {"weight_outer": (inputs * n_tiles, weights), "input_outer": (inputs, weights * positions)}
    totals = {name: i + w + outputs + 2 * spill for name, (i, w) in orders.items()}
    order = min(totals, key=lambda name: totals[name].min())
    best = int(np.argmin(totals[order]))
    bytes_in, bytes_weights = (int(part[best]) for part in orders[order])
    th, tw, tg, tk, tn = (int(extent[best]) for extent in vars(tiles).values())
    return Traffic(order, bytes_in, bytes_weights, int(outputs[best]), int(spill[best]), (th, tw, tg * tk, tg * tn))


def _fitting(loops: Loops, weight_bytes: int, memory: Memory) -> Tiles:
    extents = (loops.out_h, loops.out_w, loops.groups, loops.in_channels, loops.out_channels)
    tiles = Tiles(*(axis.ravel() for axis in np.meshgrid(*map(_halvings, extents), indexing="ij")))
    rows, columns = tiles.input_extent(loops)
    in_tile = -(-rows * columns * tiles.tg * tiles.tk * loops.in_bits // 8)
    all_weights = loops.groups * loops.in_channels * loops.out_channels
    weight_tile = -(-weight_bytes * tiles.tg * tiles.tk * tiles.tn // all_weights)
    outputs = tiles.th * tiles.tw * tiles.tg * tiles.tn
    out_tile = -(-outputs * loops.out_bits // 8)
    needed = memory.buffers * (in_tile + weight_tile + out_tile) + PARTIAL_SUM_BYTES * outputs
    if needed.min() > memory.sram_bytes:
        raise ValueError(
            f"its smallest tile needs {int(needed.min())} bytes of SRAM, the machine has {memory.sram_bytes}. "
            "Use a machine with a larger `sram_bytes`"
        )
    return tiles[needed <= memory.sram_bytes]


def _halvings(extent: int) -> np.ndarray:
    """``extent`` halved, rounding up, until 1: ``[13, 7, 4, 2, 1]``."""
    sizes = [extent]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // 2))
    return np.array(sizes, np.int64)


def _count(extent: int, tile: np.ndarray) -> np.ndarray:
    return -(-extent // tile)
