"""Layers with fewer channels: made anew from their configuration, with what is left of their weights.

The weights of mixing layers are cut where ``mixing.py`` says. The state of everything else, batch norms and Transforms
above all, is cut without knowing it: the layer is built once for the smaller shape, and an axis of a variable
that became smaller follows the axis that was cut.

    LSQ on a kernel (3, 3, 16, 32), 20 output channels stay    step (1, 1, 1, 32) -> (1, 1, 1, 20)
    pruned, likewise                                           mask (3, 3, 16, 32) -> (3, 3, 16, 20)
    dictionaries of 4 entries per output channel               (32, 4) -> (20, 4)

A weight that is cut is what is left of the weight before, bit for bit. A Transform for which this is not so, since it
measures all weights at every call, gets a warning that says by how much its weights change.
"""

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from tfcompress.compressed import Compressed, deployed
from tfcompress.structure import slots
from tfcompress.structure.mixing import Cuts, cuts, mixing
from tfcompress.structure.relations import DEPTHWISE
from tfcompress.transform import Transform

Shape = Sequence[int | None]
Axes = Mapping[int, np.ndarray]


def cut_layer(layer: Any, shape: Shape, inputs: np.ndarray, outputs: np.ndarray, shift: np.ndarray | None) -> Any:
    """A copy of ``layer`` with some of its channels.

    Args:
        layer: Compressed or not.
        shape: Of its input before.
        inputs: Indices of the input channels that stay.
        outputs: Indices of the output channels that stay.
        shift: What to add to the bias of each output channel that stays; None for nothing. A layer without bias
            gets one.

    Raises:
        ValueError: State cannot be cut; the message names layer and slot.
    """
    smaller = (*shape[:-1], len(inputs))
    inner = layer.layer if isinstance(layer, Compressed) else layer
    weighted = mixing(inner) is not None or type(inner) in DEPTHWISE
    twin = type(inner).from_config(_config(inner, inputs, outputs, shift is not None))
    if inner.variables and not twin.built:  # what has no state is built when it is called
        twin.build(smaller)
        twin.built = True
    where = f"Layer '{layer.name}' ({type(inner).__name__})"
    places = cuts(inner, inputs, outputs) if weighted else {}
    if weighted:
        _fill_weights(inner, twin, places)
    else:
        _fill_state(inner, twin, shape, {-1: inputs}, where)
    if shift is not None:
        twin.bias.assign(slots.numpy(twin.bias) + shift.astype(np.float32))
    return _wrapped(layer, twin, smaller, places, inputs, where) if isinstance(layer, Compressed) else twin


def _config(layer: Any, inputs: np.ndarray, outputs: np.ndarray, shifted: bool) -> dict[str, Any]:
    """The configuration of the smaller layer."""
    config, kind = _without_shapes(layer.get_config()), mixing(layer)
    if kind is not None:
        config[kind.width] = len(outputs)
    if shifted:
        config["use_bias"] = True
    if isinstance(layer, layers.Reshape):
        config["target_shape"] = (*config["target_shape"][:-1], len(outputs))
    if isinstance(layer, layers.Rescaling):
        for name in ("scale", "offset"):
            if np.ndim(getattr(layer, name)):
                config[name] = np.asarray(getattr(layer, name))[..., inputs].tolist()
    return config


def _fill_weights(old: Any, new: Any, places: Cuts) -> None:
    variables = slots.variables(new)
    for slot, variable in slots.variables(old).items():
        variables[slot].assign(taken(slots.numpy(variable), places.get(slot, {})))
        variables[slot].trainable = variable.trainable


def taken(array: np.ndarray, axes: Axes) -> np.ndarray:
    """What stays of an array: ``axes`` says which indices."""
    for axis, index in axes.items():
        array = np.take(array, index, axis=axis)
    return array


def _wrapped(old: Compressed, twin: Any, shape: Shape, places: Cuts, inputs: np.ndarray, where: str) -> Compressed:
    """The Compressed layer around ``twin``, with what is left of the state of its transforms."""
    transforms = {}
    for slot, transform in old.transforms.items():
        axes = places.get(slot, {-1: inputs})
        transforms[slot] = cut_transform(
            transform, slots.weight(old.layer, slot).shape, axes, f"{where}, slot '{slot}'"
        )
    wrapper = Compressed(twin, transforms, name=old.name)
    wrapper.build(shape)
    for slot in transforms:
        before, after = taken(deployed(old, slot)[0], places.get(slot, {-1: inputs})), deployed(wrapper, slot)[0]
        if not np.array_equal(before, after, equal_nan=True):
            change = np.abs(after - before).max() / np.abs(before).max()
            warnings.warn(
                f"{where}, slot '{slot}': {type(transforms[slot]).__name__} derives its values from all weights, and "
                f"those that are left change by up to {100 * change:.0f} % of the largest. Train on, or remove "
                "channels first and compress then.",
                stacklevel=2,
            )
    return wrapper


def cut_transform(transform: Transform, shape: Shape, axes: Axes, where: str) -> Transform:
    """A copy of a transform for what is left of its tensor."""
    twin = _built(transform, _smaller(shape, axes))
    _fill_state(transform, twin, shape, axes, where)
    return twin


def _built(layer: Any, shape: Shape) -> Any:
    twin = type(layer).from_config(_without_shapes(layer.get_config()))
    if not twin.built:
        twin.build(shape)
        twin.built = True
    return twin


def _without_shapes(config: Any) -> Any:
    """A configuration whose members, those of a Chain, are not built for the shape before."""
    if isinstance(config, (list, tuple)):
        return type(config)(_without_shapes(item) for item in config)
    if not isinstance(config, dict):
        return config
    return {key: _without_shapes(value) for key, value in config.items() if key != "build_config"}


def _smaller(shape: Shape, axes: Axes) -> tuple[int | None, ...]:
    sizes = list(shape)
    for axis, index in axes.items():
        sizes[axis] = len(index)
    return tuple(sizes)


def _fill_state(old: Any, new: Any, shape: Shape, axes: Axes, where: str) -> None:
    """Copies every variable, those parts of it that are left."""
    axes = {a: index for a, index in axes.items() if len(index) != shape[a]}
    before, after = slots.variables(old), slots.variables(new)
    if before.keys() != after.keys():
        raise ValueError(
            f"{where}: its copy must have the same state, {list(before)}. Received: {list(after)}. Create all "
            "variables in `__init__` or `build`."
        )
    trials = {a: slots.variables(_built(old, _smaller(shape, {a: axes[a]}))) for a in axes} if len(axes) > 1 else {}
    for path, variable in before.items():
        value, target = slots.numpy(variable), after[path]
        for d in range(value.ndim):
            if value.shape[d] != target.shape[d]:
                followed = [a for a in axes if not trials or trials[a][path].shape[d] != value.shape[d]]
                index = _index(value.shape[d], target.shape[d], shape, axes, followed)
                if index is None:
                    raise ValueError(
                        f"{where}: state must follow the axes of the tensor of shape {tuple(shape)}, to be cut with "
                        f"it. Received: {type(old).__name__}.{path} of shape {value.shape}."
                    )
                value = np.take(value, index, axis=d)
        target.assign(value)
        target.trainable = variable.trainable
    if isinstance(new, keras.layers.Normalization):
        new.finalize_state()


def _index(size: int, left: int, shape: Shape, axes: Axes, followed: Sequence[int]) -> np.ndarray | None:
    """Which entries of an axis stay that runs over the ``followed`` axes of the tensor and others; None if unclear."""
    rank = len(shape)
    others = [a - rank for a in range(rank) if shape[a] not in (1, None) and a - rank not in axes]
    for count in range(len(others) + 1):
        for more in itertools.combinations(others, count):
            run = sorted((*followed, *more))
            sizes = [int(shape[a]) for a in run]  # type: ignore[arg-type]
            kept = [axes[a] if a in followed else np.arange(n) for a, n in zip(run, sizes, strict=True)]
            if math.prod(sizes) == size and math.prod(map(len, kept)) == left:
                return np.ravel_multi_index(np.ix_(*kept), sizes).reshape(-1)
    return None
