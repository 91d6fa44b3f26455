"""Plays the calls of a model one after the other on real data, each on all batches before the next one starts.

So whoever watches can set or correct a layer before anything behind it is computed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress.structure.trace import Call, Trace, Value

Batches = list[Any]
Fed = dict[Value, Batches]
Visit = Callable[[Call, list[Batches]], list[Batches] | None]


def play(traced: Trace, fed: Mapping[Value, Batches], visit: Visit) -> None:
    """Calls all layers on all batches, eagerly and as at inference.

    Args:
        traced: The model.
        fed: Batches for each of its inputs.
        visit: ``(call, batches of each of its inputs)`` -> the batches of each of its outputs, or None to have the
            layer called. What no later layer needs is dropped.
    """
    made = dict(fed)
    waiting = {value: len(consumers) for value, consumers in traced.consumers.items()}
    for call in traced.calls:
        if call.outputs[0] in fed:
            continue
        results = visit(call, [made[value] for value in call.inputs])
        if results is None:
            rows = [called(call, made, k) for k in range(len(made[traced.inputs[0]]))]
            results = [list(column) for column in zip(*rows)]
        made.update(zip(call.outputs, results, strict=True))
        for value in call.inputs:
            waiting[value] -= 1
            if not waiting[value] and value not in fed:
                del made[value]  # no later layer needs it


def called(call: Call, made: Mapping[Value, Batches], k: int) -> Batches:
    """What ``call`` makes of batch ``k``."""
    args, kwargs = keras.tree.map_structure(
        lambda a: made[a][k] if isinstance(a, Value) else a, (call.args, call.kwargs)
    )
    return keras.tree.flatten(call.layer(*args, **kwargs))


def feed(name: str, traced: Trace, x: Any, batch_size: int, samples: int) -> Fed:
    """The inputs of the model ``name``, batch by batch.

    Args:
        name: For errors.
        traced: The model.
        x: Inputs as ``model.fit`` takes them; targets are ignored.
        batch_size: Where ``x`` is in arrays.
        samples: At most this many are read.

    Raises:
        ValueError: ``x`` holds no samples or does not fit the model's inputs.
    """
    batches = list(_limited(_batches(traced, x, batch_size), samples))
    if not batches:
        raise ValueError(f"`x` must hold at least one sample for model '{name}'. Received: none.")
    return {value: [batch[k] for batch in batches] for k, value in enumerate(traced.inputs)}


def _batches(traced: Trace, x: Any, batch_size: int) -> Iterator[Batches]:
    """The inputs, batch by batch, each a list in the order of the model's inputs."""
    arrays = x.values() if isinstance(x, Mapping) else x if isinstance(x, (list, tuple)) else [x]
    if all(_is_array(a) for a in keras.tree.flatten(list(arrays))):
        columns = _columns(traced, x)
        for start in range(0, len(columns[0]), batch_size):
            yield _fitted(traced, [column[start : start + batch_size] for column in columns])
        return
    if not isinstance(x, (Iterable, keras.utils.PyDataset)):
        raise ValueError(f"`x` must be arrays or an iterable of batches. Received: {type(x).__name__}")
    for item in (x[k] for k in range(len(x))) if isinstance(x, keras.utils.PyDataset) else x:
        yield _fitted(traced, _columns(traced, item[0] if isinstance(item, (list, tuple)) else item))


def _is_array(x: Any) -> bool:
    return getattr(x, "shape", None) is not None  # NumPy, or a tensor of any library


def _columns(traced: Trace, x: Any) -> Batches:
    names = [value.name for value in traced.inputs]
    found = [x.get(name) for name in names] if isinstance(x, Mapping) else keras.tree.flatten(x)
    if len(found) != len(names) or any(column is None for column in found):
        received = sorted(x) if isinstance(x, Mapping) else f"{len(found)} arrays"
        raise ValueError(f"`x` must hold one array for each of the inputs {names}. Received: {received}.")
    return found


def _fitted(traced: Trace, batch: Batches) -> Batches:
    """The batch as tensors of the inputs' types, if their shapes fit."""
    for value, column in zip(traced.inputs, batch, strict=True):
        shape = tuple(np.shape(column))
        if len(shape) != len(value.shape) or any(want not in (None, n) for want, n in zip(value.shape, shape)):
            raise ValueError(
                f"Input '{value.name}' must get batches of shape {value.shape}. Received: shape={shape}. "
                "A tf.data.Dataset of single samples needs .batch(32)."
            )
    return [ops.convert_to_tensor(column, dtype=value.dtype) for value, column in zip(traced.inputs, batch)]


def _limited(batches: Iterator[Batches], samples: int) -> Iterator[Batches]:
    for batch in batches:
        yield [column[:samples] for column in batch]
        samples -= len(batch[0])
        if samples <= 0:
            return
