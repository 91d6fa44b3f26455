"""LOGISTIC: ``1 / (1 + exp(-x))``. int8: a table, computed in float32 step by step; the output grid is 1/256, -128.
int16: see `sigmoid16`; the output grid is 1/32768, 0.

Source: TensorFlow Lite, ``activations.cc`` and ``LUTPopulate``. Differs from it in ``exp``, taken in float64 and
rounded to float32; the C library's float32 ``exp`` is that value except for rare last bits.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import sigmoid16
from tflite_export.interpreter.arithmetic import INT8_HIGH, INT8_LOW, round_half_away
from tflite_export.interpreter.elementwise import every_code, looked_up
from tflite_export.interpreter.operands import WIDE, Kernel, affine, common_type, output, refuse, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    dtype = common_type(op, tensors, 0, types=WIDE)
    if dtype != "float32":
        return looked_up((_table if dtype == "int8" else _wide_table)(op, tensors))
    return lambda x: (_sigmoid(x),)


def _table(op: Op, tensors: Sequence[Tensor]) -> np.ndarray:
    (scale_in, zero_in), (scale, zero_point) = affine(op, required(op, tensors, 0)), affine(op, output(op, tensors))
    if scale != np.float32(1 / 256):
        refuse(op, output(op, tensors), f"the scale must be 1/256. Received: {scale}")
    values = _sigmoid(scale_in * (every_code("int8") - zero_in).astype(np.float32))
    codes = round_half_away(values * (np.float32(1) / scale)) + zero_point
    return np.clip(codes, INT8_LOW, INT8_HIGH).astype(np.int8)


def _wide_table(op: Op, tensors: Sequence[Tensor]) -> np.ndarray:
    return sigmoid16.logistic(every_code("int16"), sigmoid16.input_scale(op, tensors))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.float32(1) / (np.float32(1) + np.exp(-x.astype(np.float64)).astype(np.float32))
