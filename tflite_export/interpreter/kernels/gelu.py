r"""GELU: ``x * Phi(x)`` with the normal distribution ``Phi``, or its approximation by tanh. Integers: a table.

    exact          y = x / 2 * erfc(-x / sqrt(2))
    approximate    y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x**3)))

Source: TensorFlow Lite, ``reference/gelu.h``, ``LUTPopulate``; ``erfc`` and ``tanh`` are the C library's for float32.
"""

import math
from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.elementwise import looked_up
from tflite_export.interpreter.operands import WIDE, Kernel, common_type
from tflite_export.interpreter.tables import float_table
from tflite_export.ir import Op, Tensor

ONE, HALF, CUBIC = np.float32(1), np.float32(0.5), np.float32(0.044715)
SLOPE, ROOT_OF_HALF = np.float32(math.sqrt(2 / math.pi)), np.float32(math.sqrt(0.5))


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    function = _by_tanh if op.options.get("approximate", False) else _exact
    if common_type(op, tensors, 0, types=WIDE) != "float32":
        return looked_up(float_table(op, tensors, function))
    return lambda x: (function(x),)


def _exact(x: np.ndarray) -> np.ndarray:
    return HALF * x * fused.erfc(x * -ROOT_OF_HALF)


def _by_tanh(x: np.ndarray) -> np.ndarray:
    inner = SLOPE * (x + CUBIC * x * x * x)  # in this order: the last bit counts
    return HALF * x * (ONE + fused.tanh(inner))
