"""Slots: the names by which rules and wrappers speak of a layer's weights.

A slot is the attribute path of a variable as seen from its layer: ``kernel``, ``depthwise_kernel``,
``cell.recurrent_kernel`` of an LSTM, ``forward_layer.cell.kernel`` of a Bidirectional. The output of the
group that a layer heads is a slot too, ``output`` (see ``structure/groups.py``).
"""

from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

OUTPUT = "output"
"""The slot that is not a weight: the tensor behind the layer's fused group."""

DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)


def variables(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """All variables of a layer and its sublayers by attribute path; the states of stateful RNNs and seeds too."""
    found: dict[int, tuple[str, keras.Variable]] = {}
    for path, variable in _walk(layer, "", set()):
        found.setdefault(id(variable), (path, variable))
    return dict(found.values())


def weight_slots(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """The weights that a transform may replace: those the optimizer trains, or would if the layer were not frozen."""
    trained = {id(v) for v in layer.trainable_variables}
    frozen = {id(v) for v in layer.weights if not v.trainable} if not layer.trainable else set()
    statistics = {id(v) for path, v in variables(layer).items() if path.rpartition(".")[2].startswith("moving_")}
    return {path: v for path, v in variables(layer).items() if id(v) in (trained | frozen) - statistics}


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


def channel_axes(layer: keras.layers.Layer, slot: str) -> tuple[int, ...]:
    """The axes of a weight along which each output channel has its own numbers."""
    name = slot.rpartition(".")[2]
    if isinstance(layer, DEPTHWISE) or (isinstance(layer, SEPARABLE) and name == "depthwise_kernel"):
        return (-2, -1)
    if isinstance(layer, TRANSPOSED):
        return (-2,) if name == "kernel" else (-1,)
    return (-1,)


def _walk(owner: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, keras.Variable]]:
    """Yields (path, variable), the owner's own variables before those of its sublayers."""
    if id(owner) in seen:
        return
    seen.add(id(owner))
    members = [(f"{prefix}{name}", value) for name, value in _members(owner)]
    yield from ((path, value) for path, value in members if isinstance(value, keras.Variable))
    for path, value in members:
        if isinstance(value, (keras.layers.Layer, keras.random.SeedGenerator, list, tuple, dict)):
            yield from _walk(value, f"{path}.", seen)


def _members(owner: Any) -> list[tuple[str, Any]]:
    """Attributes or elements under the names that users write: ``kernel`` for Keras' own ``_kernel``."""
    if isinstance(owner, dict):
        return [(str(key), value) for key, value in owner.items()]
    if isinstance(owner, (list, tuple)):
        return [(str(k), value) for k, value in enumerate(owner)]
    return [(_public(owner, name, value), value) for name, value in vars(owner).items() if name not in BOOKKEEPING]


BOOKKEEPING = (
    "_layers", "_trainable_variables", "_non_trainable_variables", "_seed_generators", "_metrics", "_tracker",
    "_inbound_nodes", "_outbound_nodes", "_losses",
)  # fmt: skip
"""Where Keras lists again what layers hold under better names."""


def _public(owner: Any, name: str, value: Any) -> str:
    public = name.lstrip("_")
    return public if public and getattr(owner, public, None) is value else name
