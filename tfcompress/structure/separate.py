"""Takes activations that do not fuse out of the layers that they are written in.

    Dense(10, activation="softmax")    ->    Dense(10), Activation("softmax")

The chip computes the sums first and stores them, so that they need a grid, and a transform can only stand where the
model has a tensor. The dense or convolutional layer keeps its name; the activation is called ``<name>_softmax``.
The function of the model does not change.
"""

from typing import Any

import keras
from keras import layers

from tfcompress.structure.expand import ACTIVATED
from tfcompress.structure.groups import activation_name, core
from tfcompress.structure.rebuild import clone, rebuild
from tfcompress.structure.trace import trace


def separate_activations(model: keras.Model) -> keras.Model:
    """A copy of ``model`` with such activations as layers of their own, or ``model`` itself if it has none."""
    inside = {call.outputs[0].name: call for call in trace(model).calls if _holds_activation(call.layer)}

    def replace(layer: Any, path: str) -> Any:
        if not _holds_activation(layer):
            return None
        twin = clone(layer)
        core(twin).activation = keras.activations.linear
        return twin

    def append(name: str) -> layers.Layer | None:
        if name not in inside:
            return None
        layer, use = core(inside[name].layer), name.partition("#")[2]
        activation = layer.activation
        return layers.Activation(activation, name=f"{layer.name}_{activation.__name__}" + (f"_use{use}" if use else ""))

    return rebuild(model, replace, append) if inside else model


def _holds_activation(layer: Any) -> bool:
    layer = core(layer)
    named = hasattr(getattr(layer, "activation", None), "__name__")
    return type(layer) in ACTIVATED and activation_name(layer) == "other" and named
