"""UNIDIRECTIONAL_SEQUENCE_LSTM: eight matrices a step, four on the input and four on the last output.

The input's part of all steps is one matrix product. The output of a step is needed by the next, so the recurrent part
is one product after the other, each over the samples only; between two of them the vector unit handles the gates,
``VECTOR_PASSES`` operations for each unit.

Weights are read from SRAM again in every step. They also come from main memory again, unless they fit in SRAM beside
the op's feature maps.

On an array that skips zeros it matters where the gates are computed (``gates`` of ``Parallel``): if each has columns of
its own, a gate that was pruned waits for the one that was not.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tflite_export.ir import Op, Tensor
from tflite_export.measures import true_bits
from tflite_export.npu.arrays import Parallel
from tflite_export.npu.cost.operands import operands
from tflite_export.npu.layout import map_bytes
from tflite_export.npu.loops import Loops
from tflite_export.npu.machine import Machine
from tflite_export.npu.mapping import Layer, on_array
from tflite_export.npu.seen import Seen
from tflite_export.npu.weights import BITS, added, codes, measure, nbytes
from tflite_export.npu.work import Cost, in_turn

GATES, CELL = 4, 19
VECTOR_PASSES = 14
"""A unit's four sums of gates and their functions, two products, a sum, a tanh, a product, and its rounding."""


def lstm(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """Weights of shape (units, inputs) and (units, units), one each a gate."""
    x, *matrices, y = operands(op, tensors, 3, *(2,) * (2 * GATES), 3)
    steps = x.shape[0 if op.options.get("time_major") else 1]
    samples, units = math.prod(x.shape[:2]) // steps, matrices[0].shape[0]
    ins, outs = (seen.active(index, tensor) for index, tensor in ((op.inputs[0], x), (op.outputs[0], y)))
    widths = seen.width(op.inputs[0]), seen.width(op.outputs[0])
    first = on_array(_layer(x, samples * steps, matrices[:GATES], widths[0], ins, machine), machine)
    if outs is None or samples > 1:
        again = [on_array(_layer(y, samples, matrices[GATES:], widths[1], None, machine), machine)] * steps
    else:
        before = np.pad(outs.reshape(steps, units), ((1, 0), (0, 0)))[:-1]
        again = [on_array(_layer(y, 1, matrices[GATES:], widths[1], h, machine), machine) for h in before]
    parts, operations = [first, *again], VECTOR_PASSES * samples * units
    state = nbytes(tensors[op.inputs[CELL]])
    gates = machine.vector.work(operations, state, state)
    work = in_turn([first.work, *(one for part in again for one in (part.work, gates))])
    moved = [part.weights.moved_bytes(machine.weight_format) for part in (first, again[0])]
    maps = sum(map_bytes(tensor, machine.memory.layout) for tensor in (x, y))
    stays = sum(moved) + maps <= machine.memory.sram_bytes
    return Cost(
        replace(work, input_parts=steps, weight_parts=1, output_parts=steps),
        macs=sum(part.macs for part in parts),
        executed=sum(part.executed for part in parts),
        busy=sum(part.busy for part in parts),
        vector_ops=steps * operations,
        arithmetic=tuple(one for part in parts for one in part.arithmetic),
        accumulator_bits=max(part.accumulator_bits for part in parts),
        weights=added([first.weights, again[0].weights]),
        reread_bytes=0 if stays else (steps - 1) * moved[1],
    )


def _layer(
    x: Tensor, rows: int, matrices: Sequence[Tensor], in_width: int, active: np.ndarray | None, machine: Machine
) -> Layer:
    """The product of ``rows`` rows of ``x`` with the four gates' matrices."""
    units, inputs = matrices[0].shape
    values = np.concatenate([codes(matrix) for matrix in matrices])
    if isinstance(machine.array, Parallel) and machine.array.gates == "separate":
        values = values[_columns_of_their_own(units, machine.array.columns)]
    loops = Loops(
        in_h=1,
        in_w=rows,
        out_h=1,
        out_w=rows,
        in_channels=inputs,
        out_channels=GATES * units,
        weight_bits=BITS[matrices[0].dtype],
        in_bits=BITS[x.dtype],
        out_bits=16,
        weight_width=true_bits(values),
        in_width=in_width,
    )
    weights = added([measure(matrix, channels=units) for matrix in matrices])
    return Layer(loops, weights, values, None if active is None else active.reshape(1, rows, inputs))


def _columns_of_their_own(units: int, columns: int) -> np.ndarray:
    """The order of the rows of four stacked gates in which each gate gets a quarter of the columns of every fold."""
    quarter = max(columns // GATES, 1)
    rows = np.arange(GATES * units).reshape(GATES, units)
    return np.concatenate([rows[:, start : start + quarter].ravel() for start in range(0, units, quarter)])
