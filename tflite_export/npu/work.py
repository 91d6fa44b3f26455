"""What an op does on the chip, before main memory is asked: cycles by cause, and traffic between SRAM and the array."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tflite_export.npu.loops import Loops
from tflite_export.npu.weights import NO_WEIGHTS, Weights


@dataclass(frozen=True)
class Work:
    """Cycles and on-chip bytes of one op.

    Attributes:
        useful: Cycles that an array without any idle cell would need.
        edge: Cycles lost because the loops do not fill the array.
        fill_drain: Cycles in which the array waits for first operands to arrive or for results to leave.
        imbalance: Cycles in which cells wait for others that have more to do.
        decode: Cycles in which the array waits for weights to be decoded.
        port_wait: Cycles in which it waits for its port to SRAM, on top of the ones above.
        sram_read_bytes: Bytes that SRAM delivers to the array.
        sram_write_bytes: Bytes that the array writes to SRAM.
        input_parts: Number of equal pieces in which the input is first needed; one must be there before cycle 0.
        weight_parts: The same for the weights.
        output_parts: Number of equal pieces in which the output is finished; the last one is stored after the end.
        weight_reads: How often the array reads all weights.
        loads: Cycles of each cell, (folds, cells), where they differ.
    """

    useful: int = 0
    edge: int = 0
    fill_drain: int = 0
    imbalance: int = 0
    decode: int = 0
    port_wait: int = 0
    sram_read_bytes: int = 0
    sram_write_bytes: int = 0
    input_parts: int = 1
    weight_parts: int = 1
    output_parts: int = 1
    weight_reads: int = 1
    loads: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def cycles(self) -> int:
        """Cycles of the op if no memory makes it wait."""
        return self.useful + self.edge + self.fill_drain + self.imbalance + self.decode


COUNTED = ("useful", "edge", "fill_drain", "imbalance", "decode", "port_wait", "sram_read_bytes", "sram_write_bytes")


def in_turn(works: Sequence[Work]) -> Work:
    """Works one after the other; the rest is as in the first."""
    return replace(works[0], **{name: sum(getattr(work, name) for work in works) for name in COUNTED}, loads=None)


def side_by_side(works: Sequence[Work]) -> Work:
    """Works at the same time on arrays of their own: the slowest decides, and the others' idle time is imbalance.

    The first has the largest share: pieces of operands are taken from it.
    """
    slowest = max(works, key=lambda work: work.cycles)
    useful = min(sum(work.useful for work in works) // len(works), slowest.useful)
    causes = {name: getattr(slowest, name) for name in ("edge", "fill_drain", "decode", "port_wait", "loads")}
    return replace(
        works[0],
        **causes,
        useful=useful,
        imbalance=slowest.imbalance + slowest.useful - useful,
        sram_read_bytes=sum(work.sram_read_bytes for work in works),
        sram_write_bytes=sum(work.sram_write_bytes for work in works),
    )


@dataclass(frozen=True)
class Arithmetic:
    """What switches in an op, for its energy.

    Attributes:
        products: Multiplications.
        sums: Additions of 32 bits.
        shifts: Shifts by a fixed number of places.
        bits: Widths (weight, activation) of a multiplication's operands, in bits.
    """

    products: int = 0
    sums: int = 0
    shifts: int = 0
    bits: tuple[int, int] = (8, 8)


@dataclass(frozen=True)
class Cost:
    """The answer of a cost function.

    Attributes:
        work: Cycles and on-chip traffic.
        macs: Multiply-accumulates of the layer as its shapes say.
        executed: Those that took time: without the zeros and channels that the machine skips.
        busy: ``executed`` in units of what a cell can do in a cycle; for narrow operands it can do more than one.
        vector_ops: Element-wise operations outside the array.
        arithmetic: What the array switches.
        algorithm: How the products come about, if not one by one.
        accumulator_bits: Width that no sum of the layer exceeds.
        weights: Constants that the op reads.
        loops: Its loop nest, if main-memory traffic depends on how the loops are tiled; None if it streams once.
        renames: The output is the input under another shape: no work, no bytes.
        reread_bytes: Weights that come from main memory once more, in all, because SRAM cannot keep them; of a table,
            the rows that are asked for.
    """

    work: Work = Work()
    macs: int = 0
    executed: int = 0
    busy: int = 0
    vector_ops: int = 0
    arithmetic: tuple[Arithmetic, ...] = ()
    algorithm: str = ""
    accumulator_bits: int = 0
    weights: Weights = NO_WEIGHTS
    loops: Loops | None = None
    renames: bool = False
    reread_bytes: int = 0
