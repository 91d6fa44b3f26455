"""Sets the output transforms of a model from real data.

The calls of the model are played one after the other, eagerly and as at inference, each on all batches before the
next one starts: every transform is calibrated on what the already calibrated ones before it deliver.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress.structure.trace import Call, Trace, Value, trace
from tfcompress.transform import Transform

Batches = list[Any]
Visit = Callable[[Transform, Batches], Batches]


def calibrate(model: keras.Model, x: Any, batch_size: int = 32, samples: int = 512) -> None:
    """Calibrates every output transform of ``model`` on real data. Weights were calibrated by ``compress``.

    Args:
        model: What ``compress`` returned, before or after training.
        x: Inputs as ``model.fit`` takes them: an array, a list or dict of arrays for several inputs, or an iterable of
            batches (tf.data.Dataset, generator, PyDataset) of ``x``, ``(x, y)`` or ``(x, y, weights)``; targets are
            ignored.
        batch_size: Samples that a layer sees at once, where ``x`` is in arrays.
        samples: At most this many samples are read. The tensors of all of them that later layers still need are in
            memory together.

    Raises:
        ValueError: ``x`` holds no samples or does not fit the model's inputs, or the model's graph cannot be read.
    """
    traced = trace(model)
    batches = list(_limited(_batches(traced, x, batch_size), samples))
    if not batches:
        raise ValueError(f"`x` must hold at least one sample for model '{model.name}'. Received: none.")
    fed = {value: [batch[k] for batch in batches] for k, value in enumerate(traced.inputs)}
    shared = _collect_shared(traced, fed)
    for transform, inputs in shared.items():
        transform.calibrate(_joined(inputs))

    def settle(transform: Transform, inputs: Batches) -> Batches:
        if transform not in shared:
            transform.calibrate(_joined(inputs))
        return [transform(batch, training=False) for batch in inputs]

    _play(traced, fed, settle)


def _collect_shared(traced: Trace, fed: Mapping[Value, Batches]) -> dict[Transform, Batches]:
    """What reaches the transforms that act on several tensors (in nested models used twice), unquantised."""
    uses = [call.layer for call in traced.calls if isinstance(call.layer, Transform)]
    shared: dict[Transform, Batches] = {transform: [] for transform in uses if uses.count(transform) > 1}

    def collect(transform: Transform, inputs: Batches) -> Batches:
        shared.get(transform, []).extend(inputs)
        return inputs

    if shared:
        _play(traced, fed, collect)
    return shared


def _play(traced: Trace, fed: Mapping[Value, Batches], visit: Visit) -> None:
    """Calls all layers on all batches; ``visit`` stands in for the transforms between them."""
    made = dict(fed)
    waiting = {value: len(consumers) for value, consumers in traced.consumers.items()}
    for call in traced.calls:
        if call.outputs[0] in fed:
            continue
        if isinstance(call.layer, Transform):
            made[call.outputs[0]] = visit(call.layer, made[call.inputs[0]])
        else:
            results = [_called(call, made, k) for k in range(len(made[traced.inputs[0]]))]
            made.update({value: list(column) for value, column in zip(call.outputs, zip(*results), strict=True)})
        for value in call.inputs:
            waiting[value] -= 1
            if not waiting[value] and value not in fed:
                del made[value]  # no later layer needs it


def _called(call: Call, made: Mapping[Value, Batches], k: int) -> Batches:
    args, kwargs = keras.tree.map_structure(
        lambda a: made[a][k] if isinstance(a, Value) else a, (call.args, call.kwargs)
    )
    return keras.tree.flatten(call.layer(*args, **kwargs))


def _joined(batches: Batches) -> Any:
    """All batches as one; those that differ in size keep their channels and their rank."""
    if len({tuple(batch.shape[1:]) for batch in batches}) > 1:
        batches = [ops.reshape(b, (-1, *[1] * (len(b.shape) - 2), b.shape[-1])) for b in batches]
    return ops.concatenate(batches)


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
