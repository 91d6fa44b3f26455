"""Pools the feature maps that a Flatten hands to a Dense layer, and solves that layer anew by least squares.

    Flatten -> Dense (h * w * c, units)      becomes      pooling -> Flatten -> Dense (h/2 * w/2 * c, units)

Where convolutions end in a Dense layer, that one often holds nine tenths of all weights: one for every place of every
channel and unit. Neighbouring places say nearly the same, so that a quarter of the weights does nearly as much.

Reference: ``introduce_layer.py``, whose mode "replace" this is, for all such places of a network.
"""

from typing import Any

import keras
from keras import layers

from tfcompress.least_squares.introduce_layer import introduce_layer
from tfcompress.structure.trace import Call, Trace, trace

POOLS = {
    "max": {3: layers.MaxPooling1D, 4: layers.MaxPooling2D},
    "average": {3: layers.AveragePooling1D, 4: layers.AveragePooling2D},
}
"""Kind -> number of axes of the map -> layer."""


def pool_flattened(
    model: keras.Model, x: Any, size: int = 2, pooling: str = "max", padding: str = "valid", samples: int = 8192
) -> keras.Model:
    """Returns a copy of ``model`` that pools in front of ``Flatten``; the original is not changed.

    Every Dense layer that alone reads a Flatten of feature maps at least ``size`` high and wide is replaced by one
    with fewer weights, that delivers what the old one did as well as least squares can. Train the new network.

    Args:
        model: A built Sequential or Functional model, nested ones included.
        x: Inputs as ``model.fit`` takes them, without labels.
        size: Of the window, and its stride. Default 2.
        pooling: "max" (default) or "average".
        padding: "valid" (default) leaves out places at the end that do not fill a window, "same" keeps them.
        samples: At most this many samples are read.

    Returns:
        A new model, to be compiled, with pooling layers called ``<flatten>_pool``; other names stay.

    Raises:
        ValueError: An argument is out of range, there is no such Dense layer, or one that cannot be solved anew.
    """
    if size < 2 or pooling not in POOLS:
        raise ValueError(f"`size` must be at least 2 and `pooling` one of {[*POOLS]}. Received: {size}, {pooling!r}")
    places = _places(trace(model), size)
    if not places:
        raise ValueError(
            f"Model '{model.name}' must have a Dense layer that alone reads a Flatten of maps of at least "
            f"{size} x {size}. Received: none. Leave this edit out."
        )
    small = model
    for flatten, dense in places:
        pool = POOLS[pooling][len(flatten.inputs[0].shape)](size, padding=padding, name=f"{flatten.layer.name}_pool")
        new = [pool, layers.Flatten.from_config(flatten.layer.get_config())]
        new.append(layers.Dense.from_config(dense.layer.get_config()))
        at = (flatten.path, dense.path)
        small = introduce_layer(small, new, x, at=at, base=model, samples=samples)
    return small


def _places(traced: Trace, size: int) -> list[tuple[Call, Call]]:
    """Every Flatten of large enough maps with the Dense layer that alone reads it."""
    found = []
    for call in traced.calls:
        readers = traced.consumers.get(call.outputs[0], [])
        if type(call.layer) is layers.Flatten and len(readers) == 1 and type(readers[0].layer) is layers.Dense:
            shape = call.inputs[0].shape
            if len(shape) in POOLS["max"] and min(n or 0 for n in shape[1:-1]) >= size:
                found.append((call, readers[0]))
    return found
