"""EXP. int8 and int16: a table, computed in float32 step by step.

Source: TensorFlow Lite, ``exp.cc`` and ``LUTPopulate``. Differs from it in ``exp``, taken in float64 and rounded to
float32; the C library's float32 ``exp`` is that value except for rare last bits.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.elementwise import looked_up
from tflite_export.interpreter.operands import WIDE, Kernel, common_type
from tflite_export.interpreter.tables import float_table
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    if common_type(op, tensors, 0, types=WIDE) != "float32":
        return looked_up(float_table(op, tensors, _exp))
    return lambda x: (_exp(x),)


def _exp(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(x.astype(np.float64)).astype(np.float32)
