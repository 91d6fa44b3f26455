"""Layers that stand for a small network of layers.

To users such a layer is one object. Where a model is compressed, its channels are removed or it is exported, the layers
inside are what matters: they get transforms, lose channels and become ops. ``opened`` is that network: a nested model
of the same name, which everything that reads models opens anyway.
"""

import keras

from tfcompress.structure.rebuild import clone, rebuild
from tfcompress.structure.trace import trace


class Composite(keras.layers.Layer):
    """Base class of layers whose ``call`` does nothing but call layers that are attributes, each once."""


def opened(layer: Composite) -> keras.Model:
    """A Functional model of the layer's name that computes the same, from copies of the layers inside."""
    shapes = layer.get_build_config()["input_shape"]
    several = not isinstance(shapes[0], (int, type(None)))
    inputs = [
        keras.Input(batch_shape=shape, name=f"{layer.name}_input{k or ''}")
        for k, shape in enumerate(shapes if several else [shapes])
    ]
    outputs = clone(layer).call(inputs if several else inputs[0])
    return keras.Model(inputs if several else inputs[0], outputs, name=layer.name)


def open_composites(model: keras.Model) -> keras.Model:
    """A copy of ``model`` with nested models in place of such layers, or ``model`` itself if it has none."""
    if not any(isinstance(call.layer, Composite) for call in trace(model).calls):
        return model
    return rebuild(model, lambda layer, path: opened(layer) if isinstance(layer, Composite) else None)
