"""The decoder between SRAM and array: weights that come in a format are unpacked each time that they are read.

T = reads * max(ceil(bits / bits_per_cycle), ceil(symbols / symbols_per_cycle))

There is one for all cores. It runs beside them; only what it takes longer is lost. Where zeros are skipped it hands
over the other weights alone, else all of them.
"""

from dataclasses import dataclass, replace

from tflite_export.npu.loops import ceil_div
from tflite_export.npu.schema import Count
from tflite_export.npu.weights import Weights
from tflite_export.npu.work import Work


@dataclass(frozen=True)
class Decoder:
    """Table ``[decoder]`` of a machine file; without it, decoding takes no time.

    Attributes:
        bits_per_cycle: Bits that it takes in.
        symbols_per_cycle: Symbols that it handles, see ``formats``.
    """

    bits_per_cycle: Count
    symbols_per_cycle: Count

    def delay(self, work: Work, weights: Weights, weight_format: str, skips: bool) -> Work:
        """``work`` with the cycles in which the array waits for weights."""
        if not weights.streams:
            return work
        stream = weights.streams[weight_format]
        symbols = stream.nonzero if skips else stream.symbols
        once = max(ceil_div(8 * stream.nbytes, self.bits_per_cycle), ceil_div(symbols, self.symbols_per_cycle))
        return replace(work, decode=work.decode + max(work.weight_reads * once - work.cycles, 0))
