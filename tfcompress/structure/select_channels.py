"""A model with some channels of each tensor: fewer, or some of them twice."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from tfcompress.structure.channels import Channels
from tfcompress.structure.cut import cut_layer
from tfcompress.structure.mixing import mixing
from tfcompress.structure.rebuild import rebuild
from tfcompress.structure.trace import Call, Value


def select_channels(
    model: keras.Model,
    channels: Channels,
    chosen: Mapping[Value, np.ndarray],
    shift: Callable[[Call], np.ndarray | None] = lambda call: None,
) -> keras.Model:
    """Returns a copy of ``model``, its names and what is left of its weights kept.

    Args:
        model: What ``channels`` were read from.
        channels: Which channels belong together.
        chosen: Value -> indices of its channels that the copy shall have, in order; the same for channels that belong
            together.
        shift: Call of a layer that sums over channels -> what to add to its biases, for each chosen output; None for
            nothing.
    """
    first: dict[int, Call] = {}
    for call in channels.trace.calls:
        first.setdefault(id(call.layer), call)

    def replace(layer: Any, path: str) -> Any:
        call = first.get(id(layer))
        if call is None or len(call.outputs) != 1 or not call.inputs or not _known(call, chosen):
            return None
        x, (y,) = call.inputs[0], call.outputs
        more = shift(call) if mixing(layer) else None
        if more is None and len(chosen[x]) == x.shape[-1] and len(chosen[y]) == y.shape[-1]:
            return None
        return cut_layer(layer, x.shape, chosen[x], chosen[y], more)

    def entry(layer: Any, path: str) -> Any:
        value = channels.entries.get(path)
        if value is None or value not in chosen or len(chosen[value]) == value.shape[-1]:
            return None
        shape = (*value.shape[:-1], len(chosen[value]))
        return layers.InputLayer(batch_shape=shape, dtype=layer.dtype, name=layer.name)

    return rebuild(model, replace, entry=entry)


def _known(call: Call, chosen: Mapping[Value, np.ndarray]) -> bool:
    return all(value in chosen for value in (*call.inputs, *call.outputs))
