"""TANH: ``tanh(x)``. int8: a table, computed in float32.

Source: TensorFlow Lite, ``activations.cc`` and ``LUTPopulate``. Differs from it in ``tanh``, taken in float64 and
rounded to float32; the C library's float32 ``tanh`` is that value except for rare last bits.
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
        return looked_up(float_table(op, tensors, _tanh))
    return lambda x: (_tanh(x),)


def _tanh(x: np.ndarray) -> np.ndarray:
    return np.tanh(x.astype(np.float64)).astype(np.float32)
