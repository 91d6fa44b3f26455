"""SHAPE: the lengths of the input's axes, as the input has them while the graph runs, batch included.

Files with a batch of unknown size compute the target of a RESHAPE from it.

Source: TensorFlow Lite, ``shape.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, output, refuse_type
from tflite_export.ir import STORAGE, Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type to int32 or int64."""
    y = output(op, tensors)
    if y.dtype not in ("int32", "int64"):
        refuse_type(op, y, "int32 or int64")
    return lambda x: (np.array(x.shape, STORAGE[y.dtype]),)
