"""SUB with broadcasting: ADD with the second inner term negated.

Source: TensorFlow Lite, ``sub.cc`` and ``reference_ops::SubElementwise``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.arithmetic import activate
from tflite_export.interpreter.elementwise import scaled_sum
from tflite_export.interpreter.operands import WIDE, Kernel, activation, common_type
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    if common_type(op, tensors, 0, 1, types=WIDE) != "float32":
        return scaled_sum(op, tensors, sign=-1)
    name = activation(op, tensors)
    return lambda a, b: (activate(np.subtract(a, b), name),)
