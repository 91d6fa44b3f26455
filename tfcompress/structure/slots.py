"""Slots: the names by which rules and wrappers speak of a layer's weights.

A slot is the attribute path of a variable as seen from its layer: ``kernel``, ``depthwise_kernel``,
``cell.recurrent_kernel`` of an LSTM, ``forward_layer.cell.kernel`` of a Bidirectional. The output of the
group that a layer heads is a slot too, ``output`` (see ``structure/groups.py``).
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfcompress.structure.gates import gate_names

OUTPUT = "output"
"""The slot that is not a weight: the tensor behind the layer's fused group."""

DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)


def variables(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """All variables of a layer and its sublayers by attribute path; seeds and the states of stateful RNNs too."""
    return {path: variable for path, variable, _ in _all(layer)}


def weight_slots(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """The weights that a transform may replace: those the optimizer trains, or would if they were not frozen."""
    return {path: v for path, v, owner in _all(layer) if v.trainable or _is_frozen(path, v, owner)}


def _is_frozen(path: str, variable: keras.Variable, owner: Any) -> bool:
    frozen = isinstance(owner, layers.Layer) and not owner.trainable and "float" in variable.dtype
    return frozen and not path.rpartition(".")[2].startswith("moving_")


def weight(layer: keras.layers.Layer, slot: str) -> keras.Variable:
    """The variable that ``slot`` names.

    Raises:
        ValueError: The layer is not built, or has no such weight.
    """
    known = weight_slots(layer)
    if slot in known:
        return known[slot]
    if not layer.built:
        raise ValueError(f"Layer '{layer.name}' must be built before its slots can be read. Call it on data once.")
    remedy = "Name one of them" if known else "A layer without weights has no weight slots"
    if slot == OUTPUT:
        remedy = "The slot 'output' is not a weight: tfcompress.compress places a transform behind the layer for it"
    raise ValueError(
        f"Layer '{layer.name}' ({type(layer).__name__}) must have the slot it is asked for. "
        f"Its slots: {sorted(known)}. Received: slot={slot!r}. {remedy}."
    )


def tensor(variable: keras.Variable) -> Any:
    """A variable's value as a tensor, which ``ops.convert_to_tensor`` does not give on TensorFlow."""
    return ops.cast(variable, variable.dtype)


def numpy(variable: keras.Variable) -> np.ndarray:
    """A copy of a variable's value: on JAX, the next training step frees the array itself."""
    return np.array(ops.convert_to_numpy(tensor(variable)))


def matching(layer: keras.layers.Layer, slot: str) -> list[str]:
    """The weights that a rule means by ``slot``: the one of that path, else all whose path ends in it.

    So ``kernel`` stands for ``depthwise_kernel`` and ``pointwise_kernel`` of a SeparableConv2D, and for
    ``cell.kernel`` and ``cell.recurrent_kernel`` of an LSTM.
    """
    known = weight_slots(layer)
    return [slot] if slot in known else [path for path in known if path.endswith((f".{slot}", f"_{slot}"))]


def weight_defaults(layer: keras.layers.Layer, slot: str) -> dict[str, Any]:
    """Values of those arguments of a transform on a weight that its prototype left at None."""
    holder = owner(layer, slot)
    rank = len(weight(layer, slot).shape)
    name = slot.rpartition(".")[2]
    axis = channel_axes(holder, name) if rank > 1 else ()
    rest = {"symmetric": True, "momentum": 0.0, "learned": True, "depthwise": is_depthwise(holder, name)}
    rest["learned_exponent"] = True
    return {"axis": axis, "signed": True, "narrow_range": True, "gates": gate_names(holder), **rest}


def owner(layer: keras.layers.Layer, slot: str) -> Any:
    """The layer that holds the weight ``slot``: ``layer`` itself, or one inside it, as the cell of an LSTM."""
    return next(holder for path, _, holder in _all(layer) if path == slot)


def output_defaults(tail: Any) -> dict[str, Any]:
    """The same for a transform on the output of the group that ends in the layer ``tail``."""
    name = getattr(getattr(tail, "activation", None), "__name__", "")
    rectifies = isinstance(tail, layers.ReLU) and not tail.negative_slope
    unsigned = rectifies or isinstance(tail, layers.Softmax) or name in UNSIGNED
    learned = not isinstance(tail, layers.InputLayer)
    signs = {"signed": not unsigned, "narrow_range": False, "symmetric": False}
    return {"axis": (), **signs, "momentum": 0.99, "learned": learned, "learned_exponent": False}


UNSIGNED = ("relu", "relu6", "softmax", "sigmoid")
"""Activations that deliver nothing below zero."""


def channel_axes(layer: Any, name: str) -> tuple[int, ...]:
    """The axes of weight ``name`` along which each output channel has its own numbers."""
    if is_depthwise(layer, name):
        return (-2, -1)
    if isinstance(layer, TRANSPOSED):
        return (-2,)
    if isinstance(layer, (layers.LSTMCell, layers.Embedding)):  # TFLite has one number for a gate's matrix, or a table
        return ()
    if isinstance(layer, layers.EinsumDense):
        terms, output = layer.equation.replace(" ", "").split("->")
        letters = terms.split(",")[1]
        return tuple(k - len(letters) for k, letter in enumerate(letters) if letter in output)
    return (-1,)


def is_depthwise(layer: Any, name: str) -> bool:
    """Whether weight ``name`` has no input channels: each channel goes into itself alone."""
    return isinstance(layer, DEPTHWISE) or (isinstance(layer, SEPARABLE) and name == "depthwise_kernel")


def _all(layer: Any) -> list[tuple[str, keras.Variable, Any]]:
    """(path, variable, layer that owns it) of every variable; ``variables.3`` if no attribute leads to it."""
    seen = {id(layer)}
    found = list(_walk(layer, layer, "", seen))
    hidden = [(k, v) for k, v in enumerate(getattr(layer, "variables", ())) if id(v) not in seen]
    return found + [(f"variables.{k}", variable, layer) for k, variable in hidden]


def _walk(holder: Any, owner: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, keras.Variable, Any]]:
    """Yields each variable once, those that a layer or container holds itself before those of its members."""
    members = [(name, value) for name, value in _members(holder) if id(value) not in seen]
    seen.update(id(value) for _, value in members)
    yield from ((f"{prefix}{name}", value, owner) for name, value in members if isinstance(value, keras.Variable))
    for name, value in members:
        if not isinstance(value, keras.Variable):
            yield from _walk(value, value if isinstance(value, layers.Layer) else owner, f"{prefix}{name}.", seen)


def _members(holder: Any) -> list[tuple[str, Any]]:
    """What a holder holds, under the names that users write: ``kernel`` for Keras' own ``_kernel``."""
    if isinstance(holder, keras.Model):
        return [(layer.name, layer) for layer in holder.layers]
    if isinstance(holder, (list, tuple, dict)):
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        return [(str(name), value) for name, value in items if isinstance(value, (*HOLDERS, *CONTAINERS))]
    members = [(n, v) for n, v in vars(holder).items() if n not in BOOKKEEPING and not n.startswith("_self_")]
    named = [(_public(holder, n, v), v) for n, v in members if isinstance(v, HOLDERS)]
    return named + [(n, v) for n, v in members if isinstance(v, CONTAINERS)]


def _public(owner: Any, name: str, value: Any) -> str:
    public = name.lstrip("_")
    return public if name != public and getattr(owner, public, None) is value else name


CONTAINERS = (list, tuple, dict)
HOLDERS = (keras.Variable, layers.Layer, keras.random.SeedGenerator)
BOOKKEEPING = (
    "_layers", "_trainable_variables", "_non_trainable_variables", "_seed_generators", "_metrics", "_losses",
    "_inbound_nodes", "_outbound_nodes", "_build_shapes_dict",
)  # fmt: skip
"""Where Keras lists again what a layer holds under better names, or what is no part of it."""
