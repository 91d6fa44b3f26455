"""UNIDIRECTIONAL_SEQUENCE_LSTM: eight matrices a step, four on the input and four on the last output.

The input's part of all steps is one matrix product. The output of a step is needed by the next, so the recurrent part
is one product after the other, each over the samples only; between two of them the vector unit handles the gates,
``VECTOR_PASSES`` operations for each unit.

Weights are read from SRAM again in every step. They also come from main memory again, unless they fit in SRAM beside
the op's feature maps.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, replace

from tflite_export.ir import Op, Tensor
from tflite_export.npu.cost.operands import operands
from tflite_export.npu.layout import map_bytes
from tflite_export.npu.loops import Loops
from tflite_export.npu.machine import Machine
from tflite_export.npu.weights import BITS, Weights, measure, nbytes
from tflite_export.npu.work import Cost, Work

GATES, CELL = 4, 19
VECTOR_PASSES = 14
"""A unit's four sums of gates and their functions, two products, a sum, a tanh, a product, and its rounding."""


def lstm(op: Op, tensors: Sequence[Tensor], machine: Machine) -> Cost:
    """Weights of shape (units, inputs) and (units, units), one each a gate."""
    x, *matrices, y = operands(op, tensors, 3, *(2,) * (2 * GATES), 3)
    sides = [_sum([measure(m, channels=m.shape[0]) for m in part]) for part in (matrices[:GATES], matrices[GATES:])]
    steps = x.shape[0 if op.options.get("time_major") else 1]
    samples, units = math.prod(x.shape[:2]) // steps, matrices[0].shape[0]
    moved = [side.moved_bytes(machine.weight_format) for side in sides]
    first, again = _product(x, samples * steps, matrices[0]), _product(y, samples, matrices[GATES])
    operations = VECTOR_PASSES * samples * units
    state = nbytes(tensors[op.inputs[CELL]])
    one_step = [machine.array.convolution(again, moved[1]), machine.vector.work(operations, state, state)]
    work = _added([machine.array.convolution(first, moved[0]), *one_step * steps])
    maps = sum(map_bytes(tensor, machine.memory.layout) for tensor in (x, y))
    stays = sum(moved) + maps <= machine.memory.sram_bytes
    return Cost(
        replace(work, input_parts=steps, output_parts=steps),
        macs=first.macs + steps * again.macs,
        vector_ops=steps * operations,
        mac_bits=machine.array.mac_bits(first),
        weights=_sum(sides),
        reread_bytes=0 if stays else (steps - 1) * moved[1],
    )


def _product(x: Tensor, rows: int, matrix: Tensor) -> Loops:
    """The product of ``rows`` rows of ``x`` with the four gates' matrices."""
    units, inputs = matrix.shape
    return Loops(
        in_h=1,
        in_w=rows,
        out_h=1,
        out_w=rows,
        in_channels=inputs,
        out_channels=GATES * units,
        weight_bits=BITS[matrix.dtype],
        in_bits=BITS[x.dtype],
        out_bits=16,
    )


def _added(parts: Sequence[Work]) -> Work:
    """Works one after the other; in how many pieces operands come is for the caller to say."""
    counted = ("useful", "edge", "fill_drain", "sram_read_bytes", "sram_write_bytes")
    return Work(**{name: sum(getattr(part, name) for part in parts) for name in counted})


def _sum(parts: Sequence[Weights]) -> Weights:
    return Weights(*map(sum, zip(*map(astuple, parts))))
