"""DEQUANTIZE: ``y = (x - Zx) * Sx`` in float64, rounded to float32. A table of all codes.

Source: TensorFlow Lite, ``reference_ops::Dequantize``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.elementwise import every_code, looked_up
from tflite_export.interpreter.operands import Kernel, affine, output, refuse_type, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Int8 or int16 to float32."""
    x, y = required(op, tensors, 0), output(op, tensors)
    if x.dtype not in ("int8", "int16"):
        refuse_type(op, x, "int8 or int16")
    if y.dtype != "float32":
        refuse_type(op, y, "float32")
    scale, zero_point = affine(op, x)
    return looked_up((np.float64(scale) * (every_code(x.dtype) - zero_point)).astype(np.float32))
