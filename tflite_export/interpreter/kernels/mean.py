"""MEAN over some axes. Integers, with ``N`` values in each mean and ``(m, s)`` the fixed-point pair of ``Sx / Sy``:

    k = min(floor(log2(N)), 32, 31 + s)
    y = clip(MBQM(sum(x) - N * Zx, floor(m * 2**k / N), s - k) + Zy)

Source: TensorFlow Lite, ``reference_ops::QuantizedMeanOrSum``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.arithmetic import quantize_multiplier
from tflite_export.interpreter.elementwise import guarded
from tflite_export.interpreter.operands import WIDE, Kernel, affine, common_type, integers, output, refuse, required
from tflite_export.ir import STORAGE, Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    x, keep = required(op, tensors, 0), bool(op.options.get("keep_dims", False))
    given = integers(op, tensors, 1)
    if any(not -len(x.shape) <= axis < len(x.shape) for axis in given):
        refuse(op, x, f"has no axes {given}")
    axes = tuple(sorted({axis % len(x.shape) for axis in given}))
    if common_type(op, tensors, 0, types=WIDE) != "float32":
        return _integer(op, tensors, axes, keep)
    return lambda x, _axes: (x.mean(axes, dtype=np.float32, keepdims=keep),)


def _integer(op: Op, tensors: Sequence[Tensor], axes: tuple[int, ...], keep: bool) -> Kernel:
    x, (scale, zero_point) = required(op, tensors, 0), affine(op, output(op, tensors))
    scale_in, zero_in = affine(op, x)
    count = int(np.prod([x.shape[axis] for axis in axes]))
    multiplier, shift = quantize_multiplier(guarded(op, tensors, np.float64(scale_in) / np.float64(scale)))
    spare = min(count.bit_length() - 1, 32, 31 + shift)
    ends = np.iinfo(STORAGE[x.dtype])
    limits = (zero_point, int(ends.min), int(ends.max))
    rule = fused.rescale((multiplier << spare) // count, shift - spare, limits, bias=-count * zero_in)

    def run(x: np.ndarray, _axes: np.ndarray) -> tuple[np.ndarray]:
        total = x.sum(axes, dtype=np.int32, keepdims=keep)
        y = np.empty(total.shape, x.dtype)
        fused.requantize(total.reshape(-1, 1), rule, y.reshape(-1, 1))
        return (y,)

    return run
