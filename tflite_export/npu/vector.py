"""The vector unit: everything that is not a sum of products, ``lanes`` elements a cycle.

T = ceil(operations / lanes)
"""

from dataclasses import dataclass
from typing import Literal

from tflite_export.npu.loops import ceil_div
from tflite_export.npu.schema import Count
from tflite_export.npu.work import Work


@dataclass(frozen=True)
class Vector:
    """Table ``[vector]`` of a machine file.

    Attributes:
        lanes: Elements that one cycle handles.
        pooling: Whether pools and means run here (``"vector"``) or as depthwise convolutions on the ``"array"``.
    """

    lanes: Count
    pooling: Literal["vector", "array"]

    def work(self, operations: int, read_bytes: int, write_bytes: int) -> Work:
        """Cycles of ``operations`` element-wise steps; the last, partly filled cycle is edge."""
        cycles = ceil_div(operations, self.lanes)
        useful = operations // self.lanes
        parts = max(cycles, 1)
        return Work(
            useful=useful,
            edge=cycles - useful,
            sram_read_bytes=read_bytes,
            sram_write_bytes=write_bytes,
            input_parts=parts,
            weight_parts=parts,
            output_parts=parts,
        )
