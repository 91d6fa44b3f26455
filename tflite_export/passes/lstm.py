"""UNIDIRECTIONAL_SEQUENCE_LSTM in the passes: the grids of what goes round inside, and the op in integers.

    output h    int8, also the grid of the state that goes back into the gates; |h| < 1, since h = o * tanh(c)
    cell c      int16, step 2**e with e from -15 to -9; |c| grows by at most 1 a step, since c = f * c + i * g
    weights     int8, one step for each gate; bias int32 with the step of input times weight

So both have a grid even where nobody measured: h step 1/128, c the smallest power of two that holds as many steps as
there are. Measured grids are finer.

Requires: a float graph. Ensures: (``bounded``) outputs and cell states of LSTMs have grids.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.passes.draft import Draft

KIND = "UNIDIRECTIONAL_SEQUENCE_LSTM"

INPUT_WEIGHTS, RECURRENT_WEIGHTS, BIASES, HIDDEN, CELL, INPUTS = range(1, 5), range(5, 9), range(12, 16), 18, 19, 24
"""Where the op has its inputs; gates in the order i, f, c, o. The last number counts all inputs."""

EXPONENTS = (-15, -9)
"""Lowest and highest exponent of a cell state's step for which the kernels have a tanh."""

GATE_STEP = 2.0**-12
MAX_BIAS = 2.0**30


def recurrent(graph: Graph) -> list[Op]:
    """The LSTMs of a graph."""
    return [op for op in graph.ops if op.kind == KIND]


def cells(graph: Graph) -> list[int]:
    """The cell states."""
    return [op.inputs[CELL] for op in recurrent(graph)]


def bounds(graph: Graph) -> set[int]:
    """The tensors whose range is known without measuring."""
    return {*cells(graph), *(op.outputs[0] for op in recurrent(graph))}


def cell_grid(low: float, high: float) -> Quantization:
    """The finest grid of int16 whose step is a power of two that covers ``low`` to ``high``; beyond 64 it saturates."""
    reach = max(high, -low, 2.0**-15)
    exponent = int(np.clip(np.ceil(np.log2(reach / 32767)), *EXPONENTS))
    return Quantization(np.array([2.0**exponent], np.float32), np.zeros(1, np.int64), bits=16)


def bounded(graph: Graph) -> Graph:
    """The pass: outputs and cell states without a grid get the one that surely holds them."""
    draft = Draft(graph)
    for op in recurrent(graph):
        y, cell = op.outputs[0], op.inputs[CELL]
        steps = graph.tensors[op.inputs[0]].shape[1] if graph.tensors[cell].quantization is None else 0
        if graph.tensors[y].quantization is None:
            draft.change(y, quantization=Quantization(np.array([1 / 128], np.float32), np.zeros(1, np.int64)))
        if graph.tensors[cell].quantization is None:
            draft.change(cell, quantization=cell_grid(-steps, steps))
    return draft.graph()


def integers(draft: Draft, op: Op) -> Op:
    """The op with integer constants, state on the grid of the output, and the tensors that name the grids inside.

    Raises:
        ValueError: Input or output are wider than 8 bits, which the kernels do not have.
    """
    x, y = draft.tensors[op.inputs[0]], draft.tensors[op.outputs[0]]
    if _grid(x).bits > 8 or _grid(y).bits > 8:
        raise ValueError(f"'{y.name}': an LSTM must have feature maps of 8 bits in TFLite. Received: 16 bits")
    inputs = list(op.inputs)
    for weight, bias in zip(INPUT_WEIGHTS, BIASES, strict=True):
        inputs[weight], inputs[bias] = _gate(draft, op.inputs[weight], op.inputs[bias], float(_grid(x).scale[0]))
    for weight in RECURRENT_WEIGHTS:
        inputs[weight] = draft.add(_coded(draft.tensors[op.inputs[weight]], _step(draft.tensors[op.inputs[weight]])))
    draft.change(op.inputs[HIDDEN], quantization=replace(_grid(y), low=None))
    return replace(op, inputs=tuple(inputs), intermediates=_insides(draft, y))


def _insides(draft: Draft, y: Tensor) -> tuple[int, ...]:
    """Four gates, and what ``o * tanh(c)`` is rounded to; the kernels read the grid of the last."""
    gate = Quantization(np.array([GATE_STEP], np.float32), np.zeros(1, np.int64), bits=16)
    gates = [draft.add(Tensor(f"{y.name}/gate_{name}", (1,), "int16", gate)) for name in "ifco"]
    return (*gates, draft.add(Tensor(f"{y.name}/hidden", (1,), "int8", replace(_grid(y), low=None))))


def _gate(draft: Draft, weight: int, bias: int, x_step: float) -> tuple[int, int]:
    """A gate's weight and bias; a weight without a grid gets a step with which the bias stays inside int32."""
    tensor, offsets = draft.tensors[weight], np.asarray(draft.tensors[bias].data, np.float64)
    step = np.maximum(_step(tensor), np.float32(np.abs(offsets).max() / (x_step * MAX_BIAS)))
    steps = np.float32(x_step * float(step))
    codes = np.rint(offsets / (x_step * float(step))).astype(np.int32)
    grid = Quantization(steps.reshape(1), np.zeros(1, np.int64), bits=32)
    wide = replace(draft.tensors[bias], dtype="int32", data=codes, quantization=grid)
    return draft.add(_coded(tensor, step)), draft.add(wide)


def _step(weight: Tensor) -> np.float32:
    """The step of a gate's weight: its grid's, else that of 8 bits which cover the largest."""
    if weight.quantization is not None:
        return np.float32(weight.quantization.scale[0])
    largest = float(np.abs(np.asarray(weight.data)).max(initial=0.0))
    return np.float32(largest / 127 if largest else 1.0)


def _coded(weight: Tensor, step: np.float32) -> Tensor:
    grid = weight.quantization or Quantization(np.zeros(1, np.float32), np.zeros(1, np.int64))
    codes = np.rint(np.asarray(weight.data, np.float64) / float(step)).astype(np.int8)
    return replace(weight, dtype="int8", data=codes, quantization=replace(grid, scale=step.reshape(1)))


def _grid(tensor: Tensor) -> Quantization:
    if tensor.quantization is None:
        raise ValueError(f"Tensor '{tensor.name}' must have a grid before it is quantised.")
    return tensor.quantization
