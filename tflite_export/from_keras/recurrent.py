"""Recurrent layers: LSTM -> UNIDIRECTIONAL_SEQUENCE_LSTM.

Keras packs the gates side by side, (inputs, 4 units), in the order i, f, c, o; TFLite has a matrix for each, with one
step. Without ``return_sequences`` a STRIDED_SLICE takes the last step of the sequence that the op delivers anyway.
The state is a variable of the file and starts at zero: it stays from run to run until the runtime resets it, whether
or not the layer is stateful. ``go_backwards`` is a REVERSE_V2 in front.
"""

import functools
from typing import Any

import numpy as np

from tfcompress.compressed import deployed
from tfcompress.structure.gates import gate_columns
from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.grids import Unsupported, weight_grid
from tflite_export.from_keras.shapes import reshape_to
from tflite_export.ir import Op, Quantization, Tensor
from tflite_export.passes.lstm import INPUTS, KIND

GATES = "ifco"
TIME = 1
"""The axis of time, behind the samples."""


def lstm(builder: Builder, call: Call, x: int) -> int:
    """One op for the whole sequence."""
    layer, (value, *_) = core(call.layer), call.outputs
    check(builder, layer, {"activation": "tanh", "recurrent_activation": "sigmoid"})
    builder.recurrent.append(value.name)
    x = backwards(builder, x, f"{value.name}/reversed") if layer.go_backwards else x
    weights = [
        t for slot in ("kernel", "recurrent_kernel") for t in gates(builder, call, f"cell.{slot}", GATES, one=True)
    ]
    state = [variable(builder, f"{value.name}/{name}", (1, layer.units)) for name in ("hidden_state", "cell_state")]
    operands = (x, *weights, *(-1,) * 3, *biases(builder, call), *(-1,) * 2, *state)
    steps = builder.shape(x)[TIME]
    whole = value.name if layer.return_sequences else f"{value.name}/sequence"
    y = builder.draft.add(Tensor(whole, (1, steps, layer.units), "float32"))
    options = {"fused_activation_function": "TANH", "time_major": False, "cell_clip": 0.0, "proj_clip": 0.0}
    builder.draft.ops.append(Op(KIND, (*operands, *(-1,) * (INPUTS - len(operands))), (y,), options))
    return y if layer.return_sequences else step(builder, y, steps - 1, value.name)


def fold_time(builder: Builder, call: Call, x: int) -> int:
    """Every step a sample: the samples of what follows are the steps of one sequence."""
    samples, steps, *rest = builder.shape(x)
    return reshape_to(builder, x, call.outputs[0].name, (samples * steps, *rest))


def unfold_time(builder: Builder, call: Call, x: int) -> int:
    """The steps of a sequence again."""
    samples, *rest = builder.shape(x)
    return reshape_to(builder, x, call.outputs[0].name, (samples // call.layer.steps, call.layer.steps, *rest))


def reverse_time(builder: Builder, call: Call, x: int) -> int:
    """The sequence, last step first."""
    return backwards(builder, x, call.outputs[0].name)


def check(builder: Builder, layer: Any, activations: dict[str, str]) -> None:
    """Refuses what the integer kernels cannot do."""
    if builder.samples > 1:
        raise Unsupported(f"{builder.samples} sequences of one sample, in a TimeDistributed; supported is one of each")
    for name, expected in activations.items():
        received = getattr(getattr(layer, name), "__name__", "an object")
        if received != expected:
            raise Unsupported(f"{name}={received!r}; TFLite has '{expected}' only, train the layer with that")
    if layer.return_state:
        raise Unsupported("return_state=True; supported is False, which delivers the output alone")


def gates(builder: Builder, call: Call, slot: str, names: str, one: bool = False) -> list[int]:
    """A packed weight as one constant for each gate, (units, inputs); each with ``one`` step if so asked."""
    data, grid = deployed(call.layer, slot)
    data, name = data.astype(np.float32), call.slots.get(slot, slot)
    found = []
    for gate, columns in gate_columns(data.shape[1], names).items():
        full = f"{name}/{gate}" if len(names) > 1 else name
        quantization = None
        if grid is not None:
            whole = weight_grid(grid, data, name, 0, functools.partial(_rows, columns))
            quantization = one_step(whole, name) if one else whole
            builder.request(call.path, full, grid.bits)
        part = np.ascontiguousarray(_rows(columns, data))
        found.append(builder.draft.constant(f"{call.path}/{full}", part, quantization))
    return found


def _rows(columns: slice, weight: np.ndarray) -> np.ndarray:
    """A gate's columns of a packed weight, as rows."""
    return weight[:, columns].T


def one_step(grid: Quantization, name: str) -> Quantization:
    """A grid whose steps along the output channels are one and the same."""
    if np.any(grid.scale != grid.scale[0]):
        raise Unsupported(
            f"the scale of '{name}' varies inside a gate, and TFLite's LSTM has one for each gate: leave the "
            "transform's `axis` at its default, or use axis=() for one scale in all"
        )
    return Quantization(grid.scale[:1], grid.zero_point[:1], bits=grid.bits)


def biases(builder: Builder, call: Call) -> list[int]:
    """The bias of each gate, zeros if the layer has none."""
    layer = core(call.layer)
    data = deployed(call.layer, "cell.bias")[0] if layer.use_bias else np.zeros(len(GATES) * layer.units)
    parts = np.split(data.astype(np.float32), len(GATES))
    return [
        builder.constant(f"{call.outputs[0].name}/bias/{gate}", part) for gate, part in zip(GATES, parts, strict=True)
    ]


def variable(builder: Builder, name: str, shape: tuple[int, ...]) -> int:
    """Appends a state."""
    return builder.draft.add(Tensor(name, shape, "float32", is_variable=True))


def backwards(builder: Builder, x: int, name: str) -> int:
    """The sequence from its end."""
    axis = builder.constant(f"{name}/axis", np.array([TIME], np.int32))
    return builder.emit("REVERSE_V2", (x, axis), name, builder.shape(x))


def step(builder: Builder, x: int, number: int, name: str) -> int:
    """One step of a sequence, (1, channels)."""
    shape = builder.shape(x)
    ends = [[0, number, 0], [1, number + 1, shape[-1]], [1, 1, 1]]
    bounds = (
        builder.constant(f"{name}/{part}", np.array(values, np.int32))
        for part, values in zip(("begin", "end", "strides"), ends, strict=True)
    )
    masks = {"begin_mask": 0b101, "end_mask": 0b101, "shrink_axis_mask": 0b010}
    return builder.emit("STRIDED_SLICE", (x, *bounds), name, (shape[0], *shape[2:]), **masks)
