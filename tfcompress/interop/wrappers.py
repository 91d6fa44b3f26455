"""What TFMOT's wrappers hold, as transforms of tfcompress with the same state."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tfcompress.axes import other_axes
from tfcompress.compressed import Compressed
from tfcompress.interop.plain_layers import Refused, fill, named_weights, origin, short_name, twin
from tfcompress.pruning import MagnitudePruning
from tfcompress.quantization import MinMax
from tfcompress.schedules import ConstantSparsity
from tfcompress.structure import slots
from tfcompress.transform import Chain, Transform
from tfcompress.weight_tying import LookUpTable

DEFAULT_SCHEME = (
    "Default8BitQuantizeConfig", "Default8BitConvQuantizeConfig", "Default8BitConvTransposeQuantizeConfig",
    "Default8BitActivationQuantizeConfig", "Default8BitOutputQuantizeConfig", "NoOpQuantizeConfig",
)  # fmt: skip
"""The configurations of TFMOT's 8-bit scheme."""

WATCHED = 0.999
"""``ema_decay`` of TFMOT's ranges of feature maps."""

LAST = 1e-9
"""Momentum of a range that forgets the one before, as TFMOT's of weights does, but is a range that is kept."""

STATE = (
    "mask", "threshold", "pruning_step", "optimizer_step", "cluster_centroids_tf", "pulling_indices_tf",
    "ori_weights_vars_tf",
)  # fmt: skip
"""Variables that wrappers add; ranges, centroids and indices, which are named after a weight, besides."""

Members = list[tuple[Transform, dict[str, Any]]]
"""Transforms, first applied first, and the values of their variables."""


def steps(layer: Any) -> list[keras.layers.Layer]:
    """The Keras 3 layers, built and filled, that do one after the other what a tf_keras layer does.

    Raises:
        ValueError: The layer is not understood.
    """
    if origin(layer) != "tensorflow_model_optimization":
        return [_core(layer, layer, named_weights(layer))]
    kind = type(layer).__name__
    if kind not in WRAPPERS:
        raise Refused(f"TFMOT's {kind} is not understood; an annotated model must go through quantize_apply first")
    return WRAPPERS[kind](layer)


def _core(layer: Any, outer: Any, weights: Mapping[str, list[np.ndarray]]) -> keras.layers.Layer:
    """The Keras 3 layer for ``layer``, built on the input shape of ``outer``, the layer itself or its wrapper."""
    new = twin(layer)
    if weights:
        new.build(outer.get_input_shape_at(0))
        fill(new, weights)
    return new


def _inner(wrapper: Any) -> keras.layers.Layer:
    """The layer inside a wrapper, with the latent weights."""
    weights = named_weights(wrapper)
    latent = weights.get("ori_weights_vars_tf")
    own = {name: values for name, values in weights.items() if name not in STATE and not _is_state(name)}
    return _core(wrapper.layer, wrapper, own | ({"kernel": latent} if latent else {}))


def _is_state(name: str) -> bool:
    """``kernel_min``, ``output_max``, ``cluster_centroids_kernel``; ``0`` of ``pulling_indices_kernel/0``."""
    return (
        name.isdigit() or name.endswith(("_min", "_max")) or name.startswith(("cluster_centroids_", "pulling_indices_"))
    )


def _compressed(core: Any, held: Mapping[str, tuple[Members, np.ndarray]], wrapper: Any) -> keras.layers.Layer:
    """The layer with transforms on its weights: for each slot the members, and what TFMOT makes of the weight."""
    if not held:
        return core
    new = Compressed(core, {slot: _chained(members, slot) for slot, (members, _) in held.items()})
    new.build(wrapper.get_input_shape_at(0))
    for slot, (members, value) in held.items():
        for transform, state in members:
            restore(transform, state)
        _settle(new, slot, value)
    return new


def _chained(members: Members, slot: str) -> Transform:
    transforms, name = [transform for transform, _ in members], slot.replace(".", "_")
    if len(transforms) > 1:
        return Chain(transforms, name=name)
    transforms[0].name = name
    return transforms[0]


def restore(transform: Transform, state: Mapping[str, Any]) -> None:
    """Assigns the variables of a built transform."""
    for name, value in state.items():
        variable = getattr(transform, name)
        variable.assign(np.reshape(value, variable.shape))


def _settle(layer: Compressed, slot: str, value: np.ndarray) -> None:
    """Moves those latent weights that the transforms would make something else of than TFMOT does: to its value."""
    latent = slots.weight(layer.layer, slot)
    delivered = keras.ops.convert_to_numpy(layer.effective(slot))
    differs = np.abs(delivered - value) > 1e-5 * np.abs(value).max()
    latent.assign(np.where(differs, value, slots.numpy(latent)))


def _slots(core: keras.layers.Layer, variables: Any) -> list[str]:
    """The slots of the weights that tf_keras calls by these variables: those of the same name, in their order."""
    named: dict[str, list[str]] = {}
    for path in slots.weight_slots(core):
        named.setdefault(path.rpartition(".")[2], []).append(path)
    return [named[short_name(variable, core)].pop(0) for variable in variables]


def _pruned(wrapper: Any) -> list[keras.layers.Layer]:
    """PruneLowMagnitude."""
    core, held = _inner(wrapper), {}
    for slot, (weight, mask, _) in zip(_slots(core, [w for w, *_ in wrapper.pruning_vars]), wrapper.pruning_vars):
        mask = np.asarray(mask) != 0
        axis = slots.weight_defaults(core, slot)["axis"]
        rows = np.moveaxis(mask, other_axes(mask.ndim, axis or (-1,))[-1], -1)  # along the input channels
        pattern = wrapper.sparsity_m_by_n or _pattern(rows)
        if pattern and rows.shape[-1] <= pattern[1] - pattern[0]:
            continue  # TFMOT leaves a weight with so few input channels dense
        when = ConstantSparsity(pattern[0] / pattern[1], end_step=0) if pattern else wrapper.pruning_schedule
        blocks = {"block_size": wrapper.block_size, "block_pooling_type": wrapper.block_pooling_type}
        transform = MagnitudePruning(when, sparsity_m_by_n=pattern, axis=axis, **blocks)
        state = {"mask": mask, "step": max(0, int(wrapper.pruning_step))}
        held[slot] = ([(transform, state)], np.asarray(weight) * mask)
    return [_compressed(core, held, wrapper)]


def _pattern(rows: np.ndarray) -> tuple[int, int] | None:
    """2:4, if the mask is of that pattern throughout: TFMOT's files do not say so."""
    return (2, 4) if rows.shape[-1] % 4 == 0 and np.all(rows.reshape(-1, 4).sum(-1) == 2) else None


def _kept_zeros(value: np.ndarray) -> Members:
    """A mask over the zeros of a weight that stays as it is."""
    mask = value != 0
    if mask.all():
        return []
    sparsity = min(1 - mask.mean(), 1 - 1 / mask.size)
    return [(MagnitudePruning(ConstantSparsity(sparsity, end_step=0)), {"mask": mask, "step": 1})]


def _tied(value: np.ndarray, centroids: np.ndarray, name: str) -> Members:
    """The values of a clustered weight as a dictionary, with as many entries as there are centroids."""
    size = centroids.shape[-1]
    if size > 256:
        warnings.warn(
            f"Layer '{name}': a weight of {size} clusters is not tied, since a LookUpTable has at most 256 entries. "
            "Cluster it to fewer in TFMOT, or compress it by LookUpTable behind the bridge.",
            stacklevel=2,
        )
        return []
    rows = np.moveaxis(value, -1, 0) if centroids.ndim > 1 else value[None]
    entries = [np.unique(row) for row in rows]
    dictionary = np.array([np.pad(e, (0, size - len(e)), mode="edge") for e in entries])
    transform = LookUpTable(size, rounded=False, axis=(-1,) if centroids.ndim > 1 else ())
    return [(transform, {"dictionary": dictionary})]


def _clustered(wrapper: Any) -> list[keras.layers.Layer]:
    """ClusterWeights."""
    wrapper.update_clustered_weights_associations()
    core, held = _inner(wrapper), {}
    names = list(wrapper.cluster_centroids)
    for slot, name in zip(_slots(core, [wrapper.original_clusterable_weights[n] for n in names]), names):
        value = np.asarray(wrapper.get_weight_from_layer(name))
        members = _kept_zeros(value) if wrapper.preserve_sparsity else []
        members += _tied(value, np.asarray(wrapper.cluster_centroids[name]), core.name)
        if members:
            held[slot] = members, value
        else:
            slots.weight(core, slot).assign(value)
    return [_compressed(core, held, wrapper)]


def _quantized(wrapper: Any) -> list[keras.layers.Layer]:
    """QuantizeWrapper: a layer, ranges on its weights, and ranges before its activation or behind it."""
    config = wrapper.quantize_config
    if origin(config) != "tensorflow_model_optimization" or type(config).__name__ not in DEFAULT_SCHEME:
        raise Refused(f"quantize_config={type(config).__name__}; known is TFMOT's default 8-bit scheme")
    core, held = _inner(wrapper), {}
    for slot, (weight, quantizer, state) in zip(
        _slots(core, [w for w, *_ in wrapper._weight_vars]), wrapper._weight_vars
    ):
        latent = np.asarray(weight)
        members = _kept_zeros(latent) if "sparsity_mask" in state else []
        if "cluster_centroids_tf" in state:
            members += _tied(latent, np.asarray(state["cluster_centroids_tf"]), core.name)
        members += _weight_range(quantizer, state)
        held[slot] = (members, np.asarray(quantizer(weight, False, weights=state)))
    return [_compressed(core, held, wrapper), *_behind(core, wrapper)]


def _weight_range(quantizer: Any, state: Mapping[str, Any]) -> Members:
    axis = (-1,) if quantizer.per_axis else ()
    transform = MinMax(quantizer.num_bits, axis, signed=True, symmetric=True, narrow_range=True, momentum=LAST)
    return [(transform, {"low": np.asarray(state["min_var"]), "high": np.asarray(state["max_var"])})]


def _behind(core: Any, wrapper: Any) -> list[keras.layers.Layer]:
    """What follows the layer; a range before the activation makes the activation a layer of its own."""
    ranges = named_weights(wrapper)
    steps: list[keras.layers.Layer] = []
    if "pre_activation_min" in ranges:
        steps.append(_feature_map(f"{core.name}_output", wrapper, "pre_activation"))
        core_name, function = core.name, core.activation.__name__
        core.activation = keras.activations.linear
        core = keras.layers.Activation(function, name=f"{core_name}_{function}")
        steps.append(core)
    for place in ("post_activation", "output"):
        if f"{place}_min" in ranges:
            steps.append(_feature_map(f"{core.name}_output", wrapper, place))
    return steps


def _feature_map(name: str, layer: Any, place: str) -> MinMax:
    """A MinMax with one of the ranges of a TFMOT layer; one that has seen nothing yet has to be calibrated."""
    ranges = named_weights(layer)
    (low,), (high,) = ranges[f"{place}_min"], ranges[f"{place}_max"]
    transform = MinMax(8, (), signed=True, symmetric=False, narrow_range=False, momentum=WATCHED, name=name)
    transform.build(layer.get_output_shape_at(0))
    if low < high:
        restore(transform, {"low": low, "high": high})
    return transform


def _quantized_input(layer: Any) -> list[keras.layers.Layer]:
    """QuantizeLayer, named as ``compress`` names what stands behind an input."""
    if layer.quantizer is None:
        return []
    return [_feature_map(f"{layer.input.node.layer.name}_output", layer, layer.name)]


WRAPPERS: dict[str, Callable[[Any], list[keras.layers.Layer]]] = {
    "PruneLowMagnitude": _pruned,
    "ClusterWeights": _clustered,
    "ClusterWeightsRNN": _clustered,
    "QuantizeWrapper": _quantized,
    "QuantizeWrapperV2": _quantized,
    "QuantizeLayer": _quantized_input,
}
