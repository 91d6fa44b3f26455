"""The float graph while it grows out of a Keras model."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tfcompress.compressed import deployed
from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call, Value
from tflite_export.from_keras.grids import Unsupported, weight_grid
from tflite_export.ir import Op, Tensor
from tflite_export.passes.draft import Draft


class Builder:
    """Collects tensors and ops, and remembers which tensor stands for which Keras Value.

    Attributes:
        tokens: The inputs that hold token numbers, not quantities.
        draft: The graph.
        tensors: Value -> tensor.
        requested: Path of a layer -> slot -> ``{"bits": b}``, what the model asked for.
        samples: How many there are of what the call in work gets: 1, or the steps of a sequence that are samples there.
        recurrent: Names of what recurrent layers deliver, in which the rounding of many steps adds up.
    """

    def __init__(self, tokens: frozenset[Value] = frozenset()) -> None:
        self.draft = Draft()
        self.tensors: dict[Value, int] = {}
        self.requested: dict[str, dict[str, dict[str, int]]] = {}
        self.recurrent: list[str] = []
        self.tokens = tokens
        self.samples = 1

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.draft.tensors[tensor].shape

    def static(self, shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """The shape of a Value of the call in work."""
        return (self.samples, *static(shape)[1:])

    def input(self, value: Value) -> int:
        """Appends an input of the graph, with batch 1."""
        dtype = "int32" if value in self.tokens else "float32"
        self.draft.inputs.append(self.draft.add(Tensor(value.name, static(value.shape), dtype)))
        return self.draft.inputs[-1]

    def placeholder(self, value: Value) -> int:
        """Appends a tensor for what a call delivers that could not be lowered."""
        return self.draft.add(Tensor(value.name, tuple(size or 1 for size in value.shape), "float32"))

    def emit(self, kind: str, inputs: tuple[int, ...], name: str, shape: tuple[int, ...], **options: Any) -> int:
        """Appends an op with one new float output of that name and shape; returns the output."""
        output = self.draft.add(Tensor(name, shape, "float32"))
        self.draft.ops.append(Op(kind, inputs, (output,), options))
        return output

    def constant(self, name: str, data: Any) -> int:
        """Appends a constant."""
        return self.draft.constant(name, data)

    def weight(self, call: Call, slot: str, channel_axis: int, layout: Callable[[np.ndarray], np.ndarray]) -> int:
        """Appends the deployed weight of a slot, with the grid it lies on.

        Args:
            call: The use of the layer.
            slot: Attribute path of the weight.
            channel_axis: Where ``layout`` puts the output channels.
            layout: Brings an array from the axes of Keras into those of TFLite.
        """
        data, grid = deployed(call.layer, slot)
        data, name = data.astype(np.float32), call.slots.get(slot, slot)
        quantization = None
        if grid is not None:
            quantization = weight_grid(grid, data, name, channel_axis, layout)
            self.request(call.path, name, grid.bits)
        return self.draft.constant(f"{call.path}/{name}", np.ascontiguousarray(layout(data)), quantization)

    def bias(self, call: Call, channels: int) -> int:
        """Appends the layer's bias, or zeros: every linear op has one."""
        if not core(call.layer).use_bias:
            return self.draft.constant(f"{call.outputs[0].name}/bias", np.zeros(channels, np.float32))
        return self.draft.constant(f"{call.path}/bias", deployed(call.layer, "bias")[0].astype(np.float32))

    def request(self, path: str, slot: str, bits: int) -> None:
        """Notes how many bits the model asked for."""
        self.requested.setdefault(path, {})[slot] = {"bits": bits}


def static(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """``shape`` of a Value with batch 1.

    Raises:
        Unsupported: Another dimension is unknown.
    """
    if None in shape[1:]:
        raise Unsupported(f"the shape {shape} has unknown sizes; give keras.Input its full shape, batch excluded")
    return (1, *(int(size) for size in shape[1:] if size is not None))
