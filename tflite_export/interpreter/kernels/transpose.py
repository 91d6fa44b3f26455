"""TRANSPOSE: axis ``k`` of the output is axis ``permutation[k]`` of the input.

Source: TensorFlow Lite, ``transpose.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, integers, refuse, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type."""
    x = required(op, tensors, 0)
    permutation = tuple(axis % max(len(x.shape), 1) for axis in integers(op, tensors, 1))
    if sorted(permutation) != list(range(len(x.shape))):
        refuse(op, x, f"expected a permutation of its axes. Received: {permutation}")
    return lambda x, _permutation: (np.ascontiguousarray(x.transpose(permutation)),)
