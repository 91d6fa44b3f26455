"""What an op does on the chip, before main memory is asked: cycles by cause, and traffic between SRAM and the array."""

from dataclasses import dataclass

from tflite_export.npu.loops import Loops
from tflite_export.npu.weights import NO_WEIGHTS, Weights


@dataclass(frozen=True)
class Work:
    """Cycles and on-chip bytes of one op.

    Attributes:
        useful: Cycles that an array without any idle cell would need.
        edge: Cycles lost because the loops do not fill the array.
        fill_drain: Cycles in which the array waits for first operands to arrive or for results to leave.
        sram_read_bytes: Bytes that SRAM delivers to the array.
        sram_write_bytes: Bytes that the array writes to SRAM.
        input_parts: Number of equal pieces in which the input is first needed; one must be there before cycle 0.
        weight_parts: The same for the weights.
        output_parts: Number of equal pieces in which the output is finished; the last one is stored after the end.
    """

    useful: int = 0
    edge: int = 0
    fill_drain: int = 0
    sram_read_bytes: int = 0
    sram_write_bytes: int = 0
    input_parts: int = 1
    weight_parts: int = 1
    output_parts: int = 1

    @property
    def cycles(self) -> int:
        """Cycles of the op with every operand already in SRAM."""
        return self.useful + self.edge + self.fill_drain


@dataclass(frozen=True)
class Cost:
    """The answer of a cost function.

    Attributes:
        work: Cycles and on-chip traffic.
        macs: Multiply-accumulates.
        vector_ops: Element-wise operations outside the array.
        mac_bits: Widths (weight, activation) of one multiply-accumulate's operands, in bits.
        weights: Constants that the op reads.
        loops: Its loop nest, if main-memory traffic depends on how the loops are tiled; None if it streams once.
        renames: The output is the input under another shape: no work, no bytes.
        reread_bytes: Weights that come from main memory once more, in all, because SRAM cannot keep them.
    """

    work: Work = Work()
    macs: int = 0
    vector_ops: int = 0
    mac_bits: tuple[int, int] = (8, 8)
    weights: Weights = NO_WEIGHTS
    loops: Loops | None = None
    renames: bool = False
    reread_bytes: int = 0
