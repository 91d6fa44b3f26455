"""Sets the output transforms of a model from real data.

The calls of the model are played one after the other, eagerly and as at inference, each on all batches before the
next one starts: every transform is calibrated on what the already calibrated ones before it deliver.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from tfcompress.structure.play import Batches, feed, play
from tfcompress.structure.trace import Call, Trace, Value, trace
from tfcompress.transform import Transform


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
    fed = feed(model.name, traced, x, batch_size, samples)
    shared = _collect_shared(traced, fed)
    for transform, inputs in shared.items():
        transform.calibrate(_joined(inputs))

    def settle(call: Call, inputs: list[Batches]) -> list[Batches] | None:
        if not isinstance(call.layer, Transform):
            return None
        if call.layer not in shared:
            call.layer.calibrate(_joined(inputs[0]))
        return [[call.layer(batch, training=False) for batch in inputs[0]]]

    play(traced, fed, settle)


def _collect_shared(traced: Trace, fed: Mapping[Value, Batches]) -> dict[Transform, Batches]:
    """What reaches the transforms that act on several tensors (in nested models used twice), unquantised."""
    uses = [call.layer for call in traced.calls if isinstance(call.layer, Transform)]
    shared: dict[Transform, Batches] = {transform: [] for transform in uses if uses.count(transform) > 1}

    def collect(call: Call, inputs: list[Batches]) -> list[Batches] | None:
        if not isinstance(call.layer, Transform):
            return None
        shared.get(call.layer, []).extend(inputs[0])
        return inputs

    if shared:
        play(traced, fed, collect)
    return shared


def _joined(batches: Batches) -> Any:
    """All batches as one; those that differ in size keep their channels and their rank."""
    if len({tuple(batch.shape[1:]) for batch in batches}) > 1:
        batches = [ops.reshape(b, (-1, *[1] * (len(b.shape) - 2), b.shape[-1])) for b in batches]
    return ops.concatenate(batches)
