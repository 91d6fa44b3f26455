"""From the float graph to the integer graph: constants become codes, feature maps int8 or int16, biases int32 or int64.

    weight   code = round(w / s_w),         int8     exact where a Transform put w on its grid; else s_w = max|w| / 127
    bias     code = round(b / (s_x s_w)),   int32    per output channel, zero point 0; int64 where x is int16

A batch norm with a tiny gamma leaves a tiny ``s_w``, and then the bias needs more than 32 bits. Such a channel gets the
smallest scale with which its bias stays below 2**30, and its weights, which no longer matter beside the bias, are
rounded to it. Where all scales of a weight are powers of two, so is that one.

Requires: every feature map has a grid, and ``MOVERS`` one on both sides. Ensures: an integer graph.
Tolerance: rounding of feature maps to their grids, and of weights that had no grid.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.passes import lstm
from tflite_export.passes.draft import Draft, remove_dead
from tflite_export.passes.linear import CHANNEL_AXIS, along, codes_of, is_linear, operands, with_operands, with_scale
from tflite_export.passes.place_grids import code_limits, raised
from tflite_export.passes.softmax_grid import SMALLEST_STEP
from tflite_export.passes.weight_grids import covered

MAX_BIAS, MAX_WIDE_BIAS = 2.0**30, 2.0**39
"""Half of int32: the other half is for the products. Of int64 the kernels of int16 feature maps use 48 bits."""


def quantize(graph: Graph) -> Graph:
    """The pass.

    Raises:
        ValueError: A step is so small that the kernels of LiteRT would abort; the message names the tensor.
    """
    draft = Draft(graph)
    made: dict[str, list[int]] = {}
    for k, op in enumerate(graph.ops):
        if is_linear(graph, op):
            draft.ops[k] = with_operands(op, operands(op)[0], *_shared(draft, made, _constants(graph, op)))
        elif op.kind == lstm.KIND:
            draft.ops[k] = lstm.integers(draft, op)
        elif op.kind in CHECKS:
            CHECKS[op.kind](graph, op)
        if op.kind == "GATHER":
            draft.ops[k] = replace(op, inputs=(*_shared(draft, made, [_table(graph, op)]), *op.inputs[1:]))
        if op.kind in ENCODED and graph.tensors[op.inputs[1]].data is not None:
            draft.ops[k] = replace(op, inputs=(op.inputs[0], draft.add(ENCODED[op.kind](graph, op))))
        if op.kind in ("ADD", "SUB") and is_wide(graph.tensors[op.outputs[0]]):
            draft.ops[k] = replace(draft.ops[k], options={**op.options, "pot_scale_int16": False})
    for t, tensor in enumerate(graph.tensors):
        if tensor.dtype == "float32" and tensor.data is None:
            draft.change(t, dtype="int16" if is_wide(tensor) else "int8")
    return remove_dead(draft.graph())


def _shared(draft: Draft, made: dict[str, list[int]], constants: Sequence[Tensor]) -> list[int]:
    """Weight and bias in the draft; the same of another op, as of another step in time, stands there only once.

    ``made`` maps a name to the integer tensors of that name: more than one if the grids of their readers differ.
    """
    found = []
    for tensor in constants:
        same = [t for t in made.setdefault(tensor.name, []) if draft.tensors[t] == tensor]
        found.append(same[0] if same else draft.add(tensor))
        made[tensor.name] += [] if same else found[-1:]
    return found


def is_wide(tensor: Tensor) -> bool:
    """Whether a feature map needs int16."""
    return tensor.quantization is not None and tensor.quantization.bits > 8


def _constants(graph: Graph, op: Op) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear op in integers."""
    x, weight, bias, y = (graph.tensors[t] for t in (*operands(op), *op.outputs))
    axis, step = CHANNEL_AXIS[op.kind], float(_grid(x).scale[0])
    offsets = np.asarray(bias.data, np.float64)
    weight = with_grid(weight, axis)
    grid = _grid(weight)
    wide = is_wide(x)
    needed = np.abs(offsets) / (step * (MAX_WIDE_BIAS if wide else MAX_BIAS))
    scale = np.broadcast_to(grid.scale, offsets.shape)
    if np.any(scale < needed):
        if np.all(np.frexp(grid.scale)[0] == 0.5):
            needed = raised(np.maximum(needed, np.finfo(np.float32).tiny).astype(np.float32))
        scale = np.maximum(scale, needed).astype(np.float32)
        codes = np.rint(np.asarray(weight.data, np.float64) / along(scale, len(weight.shape), axis))
        grid = with_scale(grid, scale, axis)
    else:
        codes = codes_of(weight)
    weight = replace(weight, dtype="int8", data=codes.astype(np.int8), quantization=grid)
    steps = step * scale.astype(np.float64)
    whole = np.rint(offsets / steps)
    if not wide:
        _warn_of_overflow(op, x, weight, whole)
    _warn_of_coarse_bias(bias, y, offsets - whole * steps)
    products = (step * grid.scale.astype(np.float64)).astype(np.float32)
    dtype = "int64" if wide else "int32"
    grid = Quantization(products, np.zeros(len(products), np.int64), bits=64 if wide else 32)
    return weight, replace(bias, dtype=dtype, data=whole.astype(dtype), quantization=grid)


def with_grid(weight: Tensor, axis: int) -> Tensor:
    """``weight`` with a grid: its own, else 8 bits that cover each channel's largest weight."""
    return weight if weight.quantization is not None else covered(weight, axis)


def _warn_of_overflow(op: Op, x: Tensor, weight: Tensor, bias: np.ndarray) -> None:
    """Warns if some input could drive an accumulator out of int32, where it wraps around."""
    axis, codes = CHANNEL_AXIS[op.kind], np.asarray(weight.data, np.int64)
    others = tuple(k for k in range(codes.ndim) if k != axis)
    zero_point = int(_grid(x).zero_point[0])
    above, below = 127 - zero_point, 128 + zero_point
    positive, negative = np.maximum(codes, 0).sum(others), np.maximum(-codes, 0).sum(others)
    worst = np.abs(bias) + np.maximum(positive * above + negative * below, positive * below + negative * above)
    if np.any(worst >= 2.0**31):
        warnings.warn(
            f"'{weight.name}': the sum of {codes.size // codes.shape[axis]:,} products can reach {worst.max():.3g} and "
            "wrap around in int32. Pool in front of the layer, or give its weights fewer bits.",
            stacklevel=2,
        )


def _warn_of_coarse_bias(bias: Tensor, y: Tensor, lost: np.ndarray) -> None:
    """Warns if rounding the bias to the accumulator's step moves the output by more than one of its own steps."""
    worst = float(np.abs(lost).max(initial=0) / _grid(y).scale[0])
    if worst > 1:
        warnings.warn(
            f"'{bias.name}': a bias has the step of input times weight, which here is so coarse that rounding moves "
            f"'{y.name}' by up to {worst:.1f} of its steps. Give the input or the weight more bits.",
            stacklevel=2,
        )


def _check_add(graph: Graph, op: Op) -> None:
    """All multipliers of ADD must be below 1: the reference kernels abort the process otherwise."""
    result = graph.tensors[op.outputs[0]]
    largest, spare = max(float(_grid(graph.tensors[t]).scale[0]) for t in op.inputs), 15 if is_wide(result) else 20
    if np.float64(np.float32(2 * largest)) / np.float64(np.float32(2**spare) * _grid(result).scale[0]) >= 1:
        raise ValueError(
            f"'{result.name}': the step of a sum must be more than {largest / 2 ** (spare - 1):.3g}, its largest "
            f"input's step over 2**{spare - 1}, or LiteRT aborts. Received: {_grid(result).scale[0]:.3g}. "
            "Calibrate or train the model on real data."
        )


def _check_softmax(graph: Graph, op: Op) -> None:
    x = graph.tensors[op.inputs[0]]
    step = float(_grid(x).scale[0])
    if step * op.options.get("beta", 1.0) <= SMALLEST_STEP and not is_wide(x):
        raise ValueError(
            f"'{x.name}': the step of a softmax's input must be more than {SMALLEST_STEP:.3g}, or LiteRT aborts. "
            f"Received: {step:.3g}. Calibrate or train the model on real data."
        )


def _compared(graph: Graph, op: Op) -> Tensor:
    """The constant of a MAXIMUM or MINIMUM on the grid of the other operand."""
    x, constant = (graph.tensors[t] for t in op.inputs)
    grid = _grid(x)
    low, high = code_limits(grid)
    steps = np.rint(np.asarray(constant.data, np.float64) / float(grid.scale[0]))
    codes = np.clip(steps + grid.zero_point[0], low, high)
    dtype = "int16" if is_wide(x) else "int8"
    return replace(constant, dtype=dtype, data=codes.astype(dtype), quantization=grid)


def _table(graph: Graph, op: Op) -> Tensor:
    """The table of a GATHER in the type of what it delivers."""
    table = graph.tensors[op.inputs[0]]
    grid, dtype = _grid(table), "int16" if is_wide(table) else "int8"
    steps = np.rint(np.asarray(table.data, np.float64) / float(grid.scale[0])) + grid.zero_point[0]
    return replace(table, dtype=dtype, data=np.clip(steps, *code_limits(grid)).astype(dtype))


def _slopes(graph: Graph, op: Op) -> Tensor:
    """The slopes of a PRELU: on their own grid, else on 8 bits that cover the largest, one scale for all."""
    slopes = graph.tensors[op.inputs[1]]
    data = np.asarray(slopes.data, np.float64)
    largest = np.abs(data).max(initial=0)
    scale = np.array([largest / 127 if largest else 1.0], np.float32)
    grid = slopes.quantization or Quantization(scale, np.zeros(1, np.int64))
    return replace(slopes, dtype="int8", data=np.rint(data / grid.scale).astype(np.int8), quantization=grid)


ENCODED: dict[str, Callable[[Graph, Op], Tensor]] = {"MAXIMUM": _compared, "MINIMUM": _compared, "PRELU": _slopes}
"""Op that is not linear -> its second operand, if constant, in integers."""

CHECKS: dict[str, Callable[[Graph, Op], None]] = {"ADD": _check_add, "SUB": _check_add, "SOFTMAX": _check_softmax}
"""Op -> what would make the reference kernels abort."""


def _grid(tensor: Tensor) -> Quantization:
    if tensor.quantization is None:
        raise ValueError(f"Tensor '{tensor.name}' must have a grid before it is quantised.")
    return tensor.quantization
