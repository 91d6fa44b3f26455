"""ELU: ``x`` where it is positive, else ``exp(x) - 1``. int8: a table, computed in float32 step by step.

Source: TensorFlow Lite, ``activations.cc``, ``EluPrepare`` and ``LUTPopulate``. Differs from it in ``expm1``, taken in
float64 and rounded to float32; the C library's float32 ``expm1`` is that value except for rare last bits.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.elementwise import looked_up
from tflite_export.interpreter.operands import Kernel, common_type
from tflite_export.interpreter.tables import float_table
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8."""
    if common_type(op, tensors, 0) == "int8":
        return looked_up(float_table(op, tensors, _elu))
    return lambda x: (_elu(x),)


def _elu(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, np.expm1(np.minimum(x, 0).astype(np.float64)).astype(np.float32), x)
