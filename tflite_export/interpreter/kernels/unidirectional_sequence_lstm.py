"""UNIDIRECTIONAL_SEQUENCE_LSTM: a whole sequence through one LSTM layer; its state stays for the next run.

    i, f, o = logistic(W x + R h + b),    g = tanh(W x + R h + b),    each gate with its own W, R, b
    c <- f * c + i * g                    h <- o * tanh(c) = output

int8: the gates are int16 in Q3.12, the cell state is int16 with a power-of-two scale ``2**e``, all rounded by MBQM.

    gate = sat16(MBQM(R . (h - Zh), Sr * Sh * 2**12) + sat16(MBQM(W . (x - Zx) + b, Sw * Sx * 2**12)))
    c <- sat16(RDPOT(f * c, 15) + RDPOT(i * g, 30 + e))
    h <- clip8(MBQM(o * tanh(c), 2**-30 / Sy) + Zy)           with Sy, Zy the grid of the fifth intermediate tensor

``W . Zx`` is the same for every step, so it moves into the bias. The inputs' part of all steps is one matrix product.

Source: TensorFlow Lite, ``unidirectional_sequence_lstm.cc`` and ``lstm_eval.cc`` (``EvalFloat``,
``EvalInteger8x8_16``). Differs from it in refusing peepholes, projection, layer normalisation and coupled gates, which
Keras' LSTM does not have.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.fixed_point16 import LOGISTIC_INTEGER_BITS, logistic_table, tanh_table
from tflite_export.interpreter.operands import Kernel, affine, constant, operand, output, refuse, refuse_type, required
from tflite_export.interpreter.product import ExactProduct
from tflite_export.ir import Op, Tensor

GATES = 4
INPUT_WEIGHTS, RECURRENT_WEIGHTS, BIASES, HIDDEN, CELL = range(1, 5), range(5, 9), range(12, 16), 18, 19
"""Positions among the inputs; gates in the order i, f, c, o."""

ABSENT = {
    **dict.fromkeys((9, 10, 11), "peepholes"),
    **dict.fromkeys((16, 17), "a projection"),
    **dict.fromkeys((20, 21, 22, 23), "layer normalisation"),
}
INTERMEDIATES = 5
CELL_EXPONENTS = range(-15, -8)
"""Exponents of the cell state's scale for which the runtime has a tanh."""


class Shape(NamedTuple):
    """Sizes of the layer, and whether time comes before the samples in input and output."""

    inputs: int
    units: int
    time_major: bool


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8. The kernel returns the output, and each state after each step: (samples, steps, units)."""
    x, y = required(op, tensors, 0), output(op, tensors)
    for position, feature in ABSENT.items():
        if operand(op, tensors, position) is not None:
            refuse(op, x, f"{feature} (input {position}) is not supported")
    if len(op.inputs) not in (20, 24) or len(x.shape) != 3 or 0 in x.shape:
        refuse(op, x, f"expected 20 or 24 inputs, the first of rank 3 and not empty. Received: {len(op.inputs)}")
    if op.options.get("fused_activation_function", "NONE") != "TANH" or op.options.get("diagonal_recurrent_tensors"):
        refuse(op, y, "expected the fused activation TANH and full recurrent weights")
    if x.dtype not in ("float32", "int8"):
        refuse_type(op, x, "float32 or int8")
    if y.dtype != x.dtype:
        refuse_type(op, y, x.dtype)
    shape = _shape(op, tensors, x)
    return _int8(op, tensors, shape) if x.dtype == "int8" else _float(op, tensors, shape)


def _shape(op: Op, tensors: Sequence[Tensor], x: Tensor) -> Shape:
    """The sizes, once all operands are known to agree on them."""
    shape = Shape(x.shape[-1], len(_row(op, tensors, 1)), bool(op.options.get("time_major")))
    samples = x.shape[1 if shape.time_major else 0]
    bias = "int32" if x.dtype == "int8" else "float32"
    expected = [
        *((position, (shape.units, shape.inputs), x.dtype) for position in INPUT_WEIGHTS),
        *((position, (shape.units, shape.units), x.dtype) for position in RECURRENT_WEIGHTS),
        *((position, (shape.units,), bias) for position in BIASES),
    ]
    for position, sizes, dtype in expected:
        tensor, data = required(op, tensors, position), constant(op, tensors, position)
        if data.shape != sizes or tensor.dtype != dtype:
            refuse(op, tensor, f"expected {dtype}, shape {sizes}, at input {position}")
    for position, dtype in ((HIDDEN, x.dtype), (CELL, "int16" if x.dtype == "int8" else "float32")):
        state = required(op, tensors, position)
        if not state.is_variable or int(np.prod(state.shape)) != samples * shape.units or state.dtype != dtype:
            refuse(op, state, f"expected a {dtype} variable of {samples} x {shape.units} entries at input {position}")
    return shape


def _row(op: Op, tensors: Sequence[Tensor], position: int) -> np.ndarray:
    weights = constant(op, tensors, position)
    if weights.ndim != 2 or 0 in weights.shape:
        refuse(op, required(op, tensors, position), "weights must have 2 axes and no empty one")
    return weights


def _columns(op: Op, tensors: Sequence[Tensor], positions: Sequence[int]) -> np.ndarray:
    """The four gates' weights side by side: (inputs, 4 units)."""
    return np.concatenate([constant(op, tensors, position).T for position in positions], axis=1)


def _swapped(x: np.ndarray, time_major: bool) -> np.ndarray:
    """From the axes of the op to (samples, steps, channels), or back."""
    return np.ascontiguousarray(x.swapaxes(0, 1)) if time_major else x


def _float(op: Op, tensors: Sequence[Tensor], shape: Shape) -> Kernel:
    weights, recurrent = _columns(op, tensors, INPUT_WEIGHTS), _columns(op, tensors, RECURRENT_WEIGHTS)
    bias = np.concatenate([constant(op, tensors, position) for position in BIASES])
    clip = op.options.get("cell_clip", 0.0) or np.inf

    def run(x: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        steps = _swapped(x, shape.time_major)
        h, c = (others[position - 1].reshape(len(steps), shape.units) for position in (HIDDEN, CELL))
        outputs, cells = [], []
        for inputs in (steps @ weights + bias).swapaxes(0, 1):
            gates = inputs + h @ recurrent
            i, f, g, o = np.split(gates, GATES, axis=1)
            c = np.clip(_sigmoid(f) * c + _sigmoid(i) * np.tanh(g), -clip, clip)
            h = _sigmoid(o) * np.tanh(c)
            outputs.append(h)
            cells.append(c)
        y = np.stack(outputs, 1)
        return _swapped(y, shape.time_major), y, np.stack(cells, 1)

    return run


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _int8(op: Op, tensors: Sequence[Tensor], shape: Shape) -> Kernel:
    weights, recurrent = (
        _columns(op, tensors, positions).astype(np.int64) for positions in (INPUT_WEIGHTS, RECURRENT_WEIGHTS)
    )
    bias = np.concatenate([constant(op, tensors, position) for position in BIASES]).astype(np.int64)
    from_input = _gate_rule(op, tensors, INPUT_WEIGHTS, required(op, tensors, 0), weights, bias)
    from_output = _gate_rule(op, tensors, RECURRENT_WEIGHTS, required(op, tensors, HIDDEN), recurrent, 0)
    product, recurrent_product = ExactProduct(weights), ExactProduct(recurrent)
    exponent, clip = _cell(op, tensors)
    functions = logistic_table(), tanh_table(LOGISTIC_INTEGER_BITS), tanh_table(15 + exponent)
    hidden = _hidden_rule(op, tensors)

    def run(x: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        steps = _swapped(x, shape.time_major)
        samples, count = steps.shape[:2]
        h, cell = (others[position - 1].reshape(samples, shape.units) for position in (HIDDEN, CELL))
        inputs = np.empty((samples * count, GATES * shape.units), np.int16)
        fused.requantize(product(steps.reshape(-1, shape.inputs)), from_input, inputs)
        inputs, cell = inputs.reshape(samples, count, -1), cell.copy()
        y, cells = np.empty((samples, count, shape.units), np.int8), np.empty((samples, count, shape.units), np.int16)
        for t in range(count):
            sums = recurrent_product(h)
            h = np.empty((samples, shape.units), np.int8)
            fused.lstm_step(inputs[:, t], sums, from_output, functions, (30 + exponent, clip), hidden, cell, h)
            y[:, t], cells[:, t] = h, cell
        return _swapped(y, shape.time_major), y, cells

    return run


def _gate_rule(
    op: Op, tensors: Sequence[Tensor], positions: Sequence[int], x: Tensor, weights: np.ndarray, bias: np.ndarray | int
) -> fused.Rescale:
    """From sums of products with the codes of ``x`` to gates in Q3.12; scales in float32."""
    scale, zero_point = affine(op, x)
    grids = [affine(op, required(op, tensors, position)) for position in positions]
    if any(zero for _, zero in grids):
        refuse(op, required(op, tensors, positions[0]), "weights must have zero point 0")
    units = weights.shape[1] // GATES
    real = np.repeat([float(np.float32(on * scale) / np.float32(2.0**-12)) for on, _ in grids], units)
    bias = np.asarray(bias - zero_point * weights.sum(0), np.int64)
    if np.any((128 * np.abs(weights).sum(0) + np.abs(bias)) * real >= 2.0**31 - 2**17):
        refuse(op, x, "the scales are too large for the gates: a sum leaves int32")
    bits = 16 if positions is INPUT_WEIGHTS else 32  # what the last output adds is saturated with the sum
    return fused.rescale_by(real, (0, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1), bias.astype(np.int32))


def _cell(op: Op, tensors: Sequence[Tensor]) -> tuple[int, int]:
    """Exponent of the cell state's scale, and the largest code, 0 for no limit."""
    cell = required(op, tensors, CELL)
    scale, zero_point = affine(op, cell)
    exponent = round(float(np.log2(scale)))
    if abs(np.log2(scale) - exponent) >= 1e-3 or exponent not in CELL_EXPONENTS or zero_point:
        refuse(op, cell, f"expected a power of two from 2**-15 to 2**-9 as scale. Received: {scale}, {zero_point}")
    clip = op.options.get("cell_clip", 0.0)
    if not clip >= 0:
        refuse(op, cell, f"`cell_clip` must not be negative. Received: {clip}")
    return exponent, int(min(np.float32(clip) / scale, np.float32(32767))) if clip else 0


def _hidden_rule(op: Op, tensors: Sequence[Tensor]) -> fused.Rescale:
    """From ``o * tanh(c)``, both in Q0.15, to the output's codes."""
    if len(op.intermediates) != INTERMEDIATES:
        refuse(op, output(op, tensors), f"expected {INTERMEDIATES} intermediates. Received: {op.intermediates}")
    inside = tensors[op.intermediates[-1]]
    scale, zero_point = affine(op, inside)
    real = float(np.float32(2.0**-15 / np.float64(scale) * 2.0**-15))
    if not 0 < real < 1:
        refuse(op, inside, f"the scale is too small for values up to 1. Received: {scale}")
    return fused.rescale_by(real, (zero_point, -128, 127))
