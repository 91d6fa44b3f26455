"""Arrays of multipliers: each maps a loop nest to cycles and to bytes between SRAM and the array."""

from tflite_export.npu.arrays.dot import DotEngine
from tflite_export.npu.arrays.parallel import Parallel
from tflite_export.npu.arrays.systolic import Systolic

__all__ = ["Array", "DotEngine", "Parallel", "Systolic"]

Array = Systolic | DotEngine | Parallel
