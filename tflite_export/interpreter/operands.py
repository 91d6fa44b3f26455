"""How a kernel reads its op: operands by position, their grids, and one way to refuse what it cannot do."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from tflite_export.interpreter.arithmetic import ACTIVATIONS, activation_range
from tflite_export.ir import STORAGE, Op, Quantization, Tensor

Kernel = Callable[..., tuple[np.ndarray, ...]]
"""What ``prepare(op, tensors)`` returns: takes the op's inputs (None for an absent one), returns its outputs."""


class UnsupportedOp(ValueError):
    """An op, an operand type or a parameter that the interpreter does not have, or that LiteRT would refuse."""


def refuse(op: Op, tensor: Tensor, problem: str) -> NoReturn:
    """Raises an `UnsupportedOp` that names the op and the tensor."""
    raise UnsupportedOp(f"{op.kind}, tensor {tensor.name!r} ({tensor.dtype}, shape {tensor.shape}): {problem}")


def refuse_type(op: Op, tensor: Tensor, supported: str) -> NoReturn:
    """Raises an `UnsupportedOp` for a type that the kernel does not have."""
    refuse(op, tensor, f"expected type {supported}. Received: {tensor.dtype}. Convert it with QUANTIZE or DEQUANTIZE")


def operand(op: Op, tensors: Sequence[Tensor], position: int) -> Tensor | None:
    """The op's input at ``position``, None if it is absent."""
    index = op.inputs[position] if position < len(op.inputs) else -1
    return None if index < 0 else tensors[index]


def required(op: Op, tensors: Sequence[Tensor], position: int) -> Tensor:
    """The op's input at ``position``."""
    tensor = operand(op, tensors, position)
    if tensor is None:
        refuse(op, tensors[op.outputs[0]], f"input {position} is missing. Received: inputs={tuple(op.inputs)}")
    return tensor


def constant(op: Op, tensors: Sequence[Tensor], position: int) -> np.ndarray:
    """The value of the op's input at ``position``, which must be known before the graph runs."""
    tensor = required(op, tensors, position)
    if tensor.data is None:
        refuse(op, tensor, f"input {position} must be a constant, not computed at run time. Export with static batch 1")
    return tensor.data


def integers(op: Op, tensors: Sequence[Tensor], position: int) -> list[int]:
    """The constant whole numbers (axes, lengths, positions) that the op's input at ``position`` lists."""
    values = constant(op, tensors, position)
    if values.dtype not in (np.int32, np.int64):
        refuse_type(op, required(op, tensors, position), "int32 or int64")
    return values.reshape(-1).tolist()


def output(op: Op, tensors: Sequence[Tensor]) -> Tensor:
    """The op's one output."""
    return tensors[op.outputs[0]]


NARROW = ("float32", "int8")
WIDE = (*NARROW, "int16")
"""Types of ops without and with a kernel for int16 feature maps."""


def common_type(op: Op, tensors: Sequence[Tensor], *positions: int, types: Sequence[str] = NARROW) -> str:
    """The type, one of ``types``, that the inputs at ``positions`` and the output all have."""
    first, *rest = [*(required(op, tensors, position) for position in positions), output(op, tensors)]
    if first.dtype not in types:
        refuse_type(op, first, " or ".join(types))
    for tensor in rest:
        if tensor.dtype != first.dtype:
            refuse_type(op, tensor, first.dtype)
    return first.dtype


def grid(op: Op, tensor: Tensor) -> Quantization:
    """The grid of a quantised tensor."""
    if tensor.quantization is None:
        refuse(op, tensor, "expected a scale and a zero point. Quantise it")
    if not np.all(np.isfinite(tensor.quantization.scale) & (tensor.quantization.scale > 0)):
        wrong = tensor.quantization.scale[~(tensor.quantization.scale > 0) | np.isinf(tensor.quantization.scale)]
        refuse(op, tensor, f"scales must be positive and finite. Received: {wrong[0]} and {len(wrong) - 1} more")
    return tensor.quantization


def affine(op: Op, tensor: Tensor) -> tuple[np.float32, int]:
    """Scale and zero point of a tensor quantised as a whole."""
    whole = grid(op, tensor)
    if len(whole.scale) != 1:
        refuse(op, tensor, f"expected one scale. Received: {len(whole.scale)}. Quantise it per tensor")
    if tensor.dtype == "int8" and not -128 <= whole.zero_point[0] <= 127:
        refuse(op, tensor, f"the zero point of int8 lies between -128 and 127. Received: {whole.zero_point[0]}")
    if tensor.dtype == "int16" and whole.zero_point[0]:
        refuse(op, tensor, f"int16 feature maps have zero point 0. Received: {whole.zero_point[0]}")
    return np.float32(whole.scale[0]), int(whole.zero_point[0])


def expect_shape(op: Op, tensors: Sequence[Tensor], shape: tuple[int, ...]) -> None:
    """Refuses an output that does not have the ``shape`` that inputs and options make, before much is computed."""
    y = output(op, tensors)
    if y.shape != shape:
        refuse(op, y, f"inputs and options make it {shape}. Repair the file")


def activation(op: Op, tensors: Sequence[Tensor]) -> str:
    """Name of the op's fused activation."""
    name = op.options.get("fused_activation_function", "NONE")
    if name not in ACTIVATIONS:
        refuse(op, output(op, tensors), f"fused activation must be one of {sorted(ACTIVATIONS)}. Received: {name}")
    return name


def limits(op: Op, tensors: Sequence[Tensor], name: str | None = None) -> tuple[int, int, int]:
    """Zero point of the integer output, lowest and highest code that an activation (else the fused one) lets through.

    LiteRT refuses a scale so small that the code of a bound leaves int32.
    """
    y = output(op, tensors)
    scale, zero_point = affine(op, y)
    name = name or activation(op, tensors)
    if any(abs(bound / float(scale)) > 2.0**31 for bound in ACTIVATIONS[name] if bound):
        refuse(op, y, f"the scale is too small for {name}. Received: scale={scale}")
    ends = np.iinfo(STORAGE[y.dtype])
    return zero_point, *activation_range(name, scale, zero_point, int(ends.min), int(ends.max))


def same_grid(op: Op, tensors: Sequence[Tensor], *positions: int) -> None:
    """Refuses an integer input, of those at ``positions``, whose scale or zero point is not exactly the output's."""
    y = output(op, tensors)
    for x in (required(op, tensors, position) for position in positions):
        if x.dtype != y.dtype:
            refuse_type(op, x, y.dtype)
        if x.dtype in ("int8", "int16") and affine(op, x) != affine(op, y):
            (scale, zero_point), (wanted, wanted_zero) = affine(op, x), affine(op, y)
            expected = f"expected the scale and zero point of {y.name!r}, {wanted} and {wanted_zero}"
            refuse(op, x, f"{expected}. Received: {scale} and {zero_point}. Insert a QUANTIZE")


def reshaped(shape: tuple[int, ...]) -> Kernel:
    """The kernel that gives its first input ``shape``, whose first axis grows with the batch."""
    flexible = (-1, *shape[1:]) if shape and 0 not in shape else shape
    return lambda x, *_: (x.reshape(flexible),)


def padded(op: Op, tensors: Sequence[Tensor], value: float) -> Kernel:
    """The kernel that puts a border of ``value`` around its first input, as wide as the constant second one says."""
    x, widths = required(op, tensors, 0), integers(op, tensors, 1)
    if len(widths) != 2 * len(x.shape) or min(widths, default=0) < 0:
        refuse(op, x, f"expected paddings >= 0 of shape ({len(x.shape)}, 2). Received: {widths}")
    pairs = list(zip(widths[::2], widths[1::2]))
    return lambda x, *_: (np.pad(x, pairs, constant_values=value),)
