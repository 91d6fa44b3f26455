"""Recurrent layers without an op of their own: GRU and SimpleRNN, step by step in standard ops.

    SimpleRNN   h' = tanh(x W + b + h U)
    GRU         z, r = sigmoid(x W + b + h U + c)       g = tanh(x W + b + r * (h U + c))      h' = g + z * (h - g)

and with ``reset_after=False`` ``(r * h) U`` in place of ``r * (h U + c)``. The input's part of all steps is one
FULLY_CONNECTED for each gate, of which each step takes its slice. All states share one grid, step 1/128, since they
lie between -1 and 1; so do the results of TANH. The first state is the first input times zero.
"""

from typing import Any

import numpy as np

from tfcompress.compressed import deployed
from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras import recurrent
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.grids import Unsupported
from tflite_export.ir import Quantization

BETWEEN_ONES = Quantization(np.array([1 / 128], np.float32), np.zeros(1, np.int64))
"""The grid of states and of TANH."""

SHARES = Quantization(np.array([1 / 256], np.float32), np.array([-128], np.int64))
"""The grid of LOGISTIC."""


def simple_rnn(builder: Builder, call: Call, x: int) -> int:
    """One gate, called h."""
    layer = core(call.layer)
    _check(builder, layer, {"activation": "tanh"})
    work = _Unrolled(builder, call, x, "h", _bias(call, layer)[0])
    (recurrent_weight,) = recurrent.gates(builder, call, "cell.recurrent_kernel", "h")

    def next_state(h: int, t: int) -> int:
        both = work.emit("ADD", (work.input("h", t), work.dense(h, recurrent_weight, None, "state")), "sum")
        return work.emit("TANH", (both,), "h", BETWEEN_ONES)

    return work.run(next_state)


def gru(builder: Builder, call: Call, x: int) -> int:
    """Gates z, r and h, with the reset before or behind the product."""
    layer = core(call.layer)
    _check(builder, layer, {"activation": "tanh", "recurrent_activation": "sigmoid"})
    bias, *after = _bias(call, layer)
    work = _Unrolled(builder, call, x, "zrh", bias)
    weights = dict(zip("zrh", recurrent.gates(builder, call, "cell.recurrent_kernel", "zrh"), strict=True))
    parts = np.split(after[0], 3) if layer.reset_after else [None] * 3
    biases = dict(zip("zrh", parts, strict=True))

    def product(h: int, gate: str) -> int:
        return work.dense(h, weights[gate], biases[gate], f"state_{gate}")

    def share(h: int, t: int, gate: str) -> int:
        both = work.emit("ADD", (work.input(gate, t), product(h, gate)), f"sum_{gate}")
        return work.emit("LOGISTIC", (both,), gate, SHARES)

    def next_state(h: int, t: int) -> int:
        z, r = share(h, t, "z"), share(h, t, "r")
        if layer.reset_after:
            reset = work.emit("MUL", (r, product(h, "h")), "reset")
        else:
            reset = product(work.emit("MUL", (r, h), "reset"), "h")
        both = work.emit("ADD", (work.input("h", t), reset), "sum_h")
        g = work.emit("TANH", (both,), "candidate", BETWEEN_ONES)
        kept = work.emit("MUL", (z, work.emit("SUB", (h, g), "distance")), "kept")
        return work.emit("ADD", (g, kept), "h", BETWEEN_ONES)

    return work.run(next_state)


class _Unrolled:
    """The steps of one layer on their way into the graph.

    Args:
        builder: The graph.
        call: The use of the layer.
        x: The sequence, (1, steps, channels).
        gates: A letter each, in the order of the columns.
        bias: What is added to the input's part, (gates * units,).
    """

    def __init__(self, builder: Builder, call: Call, x: int, gates: str, bias: np.ndarray) -> None:
        self.builder, self.layer, self.x = builder, core(call.layer), x
        self.value, self.name = call.outputs[0], call.outputs[0].name
        self.steps, self.units = builder.shape(x)[recurrent.TIME], self.layer.units
        self.biases: dict[int, int] = {}
        weights = recurrent.gates(builder, call, "cell.kernel", gates)
        shape = (1, self.steps, self.units)
        self.inputs = {
            gate: self._dense(x, weight, part, f"{self.name}/input_{gate}", shape)
            for gate, weight, part in zip(gates, weights, np.split(bias, len(gates)), strict=True)
        }
        builder.recurrent.append(self.name)

    def run(self, next_state: Any) -> int:
        """Appends all steps; ``next_state(h, t)`` appends one. Returns the sequence of states, or the last."""
        order = range(self.steps)[::-1] if self.layer.go_backwards else range(self.steps)
        self.at = order[0]
        h, states = self._first_state(), []
        for self.at in order:
            h = next_state(h, self.at)
            states.append(h)
        if not self.layer.return_sequences:
            self.builder.draft.change(h, name=self.name)
            return h
        y = self.builder.emit(
            "PACK", tuple(states), self.name, (1, self.steps, self.units), axis=1, values_count=self.steps
        )
        self.builder.draft.change(y, quantization=BETWEEN_ONES)
        return y

    def _first_state(self) -> int:
        """Zeros, as a tensor that is computed: the weights of all steps then meet one kind of input."""
        first = recurrent.step(self.builder, self.x, self.at, f"{self.name}/first_input")
        nothing = np.zeros((self.units, self.builder.shape(self.x)[-1]), np.float32)
        weight = self.builder.constant(f"{self.name}/nothing", nothing)
        h = self._dense(first, weight, None, f"{self.name}/first_state", (1, self.units))
        self.builder.draft.change(h, quantization=BETWEEN_ONES)
        return h

    def input(self, gate: str, t: int) -> int:
        """What the input adds to a gate at step ``t``."""
        return recurrent.step(self.builder, self.inputs[gate], t, f"{self.name}/step_{t}/input_{gate}")

    def dense(self, h: int, weight: int, bias: np.ndarray | None, part: str) -> int:
        """The product of a state with a gate's recurrent weight, (1, units)."""
        return self._dense(h, weight, bias, f"{self.name}/step_{self.at}/{part}", (1, self.units))

    def emit(self, kind: str, inputs: tuple[int, ...], part: str, grid: Quantization | None = None) -> int:
        """An op on states."""
        options = {} if kind in ("TANH", "LOGISTIC") else {"fused_activation_function": "NONE"}
        y = self.builder.emit(kind, inputs, f"{self.name}/step_{self.at}/{part}", (1, self.units), **options)
        if grid is not None:
            self.builder.draft.change(y, quantization=grid)
        return y

    def _dense(self, x: int, weight: int, bias: np.ndarray | None, name: str, shape: tuple[int, ...]) -> int:
        if weight not in self.biases:
            values = np.zeros(self.units, np.float32) if bias is None else bias.astype(np.float32)
            self.biases[weight] = self.builder.constant(f"{self.builder.draft.tensors[weight].name}/bias", values)
        options = {"fused_activation_function": "NONE", "weights_format": "DEFAULT", "keep_num_dims": len(shape) > 2}
        return self.builder.emit("FULLY_CONNECTED", (x, weight, self.biases[weight]), name, shape, **options)


def _check(builder: Builder, layer: Any, activations: dict[str, str]) -> None:
    recurrent.check(builder, layer, activations)
    if layer.stateful:
        raise Unsupported(
            "stateful=True; TFLite keeps the state of an LSTM only: use layers.LSTM, or feed this layer whole sequences"
        )


def _bias(call: Call, layer: Any) -> list[np.ndarray]:
    """The bias of the input's part and, in a GRU that resets behind the product, of the recurrent one."""
    rows = 2 if getattr(layer, "reset_after", False) else 1
    gates = 3 if hasattr(layer, "reset_after") else 1
    if not layer.use_bias:
        return [np.zeros(gates * layer.units, np.float32)] * rows
    return list(deployed(call.layer, "cell.bias")[0].reshape(rows, -1).astype(np.float32))
