"""TANH: ``tanh(x)``. int8: a table, computed in float32. int16: see `sigmoid16`; the output grid is 1/32768, 0.

Source: TensorFlow Lite, ``activations.cc`` and ``LUTPopulate``. Differs from it in ``tanh``, taken in float64 and
rounded to float32; the C library's float32 ``tanh`` is that value except for rare last bits.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import sigmoid16
from tflite_export.interpreter.elementwise import every_code, looked_up
from tflite_export.interpreter.operands import WIDE, Kernel, common_type
from tflite_export.interpreter.tables import float_table
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    dtype = common_type(op, tensors, 0, types=WIDE)
    if dtype != "float32":
        return looked_up(float_table(op, tensors, _tanh) if dtype == "int8" else _wide_table(op, tensors))
    return lambda x: (_tanh(x),)


def _wide_table(op: Op, tensors: Sequence[Tensor]) -> np.ndarray:
    return sigmoid16.tanh(every_code("int16"), sigmoid16.input_scale(op, tensors))


def _tanh(x: np.ndarray) -> np.ndarray:
    return np.tanh(x.astype(np.float64)).astype(np.float32)
