"""Takes the multiplications of batch norms out of a network.

Every ``BatchNormalization`` becomes a ``PowerOfTwoBatchNormalization`` with its gamma, beta and moving averages. Where
nothing else reads the convolution or Dense layer in front, the network still computes the same: what is left when r,
the factor of the batch norm, is rounded to s, a power of two, goes into the kernel.

    c   =  |r / s|,    from 1 / sqrt(2) to sqrt(2)
    kernel, bias, m    times c
    v                  becomes c**2 * (v + epsilon) - epsilon,    so that gamma / sqrt(v + epsilon) is s

A batch norm in training does not notice by what its input is multiplied, so it trains on as before. Elsewhere (behind a
sum, an activation, a weight with a Transform) the factors change by up to sqrt(2), and training makes up for it.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfcompress.compressed import Compressed
from tfcompress.normalization.power_of_two import MANY, PowerOfTwoBatchNormalization, first_factor
from tfcompress.structure import slots
from tfcompress.structure.groups import activation_name, core
from tfcompress.structure.mixing import mixing, scales
from tfcompress.structure.rebuild import clone, rebuild
from tfcompress.structure.relations import DEPTHWISE
from tfcompress.structure.trace import Call, Trace, trace

KEPT = (
    "name", "trainable", "dtype", "axis", "momentum", "epsilon", "center", "scale", "beta_initializer",
    "gamma_initializer", "beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint",
)  # fmt: skip
"""Arguments that both layers have."""


def multiplierless(model: keras.Model, momentum: float | None = None, freeze_step: int | None = None) -> keras.Model:
    """Replaces every batch norm by one that multiplies by powers of two only at inference.

    What else a network multiplies by: weights, steps of feature maps and weights, windows of average pooling that hold
    no power of two of numbers, softmax. Train on with powers of two for weights and steps,

        tfc.compress(tfc.edits.multiplierless(model), {".*": {
            "kernel": tfc.LookUpTable(16, values="power_of_two"), "output": tfc.LSQ(8, power_of_two=True)}})

    and ``tflite_export.receipt(blob)`` says of each operation of the file whether it multiplies, and by what.

    Args:
        model: A built Sequential or Functional model, nested ones included, trained or not. Layers may be Compressed,
            but then go through the edit as they are: apply it first and ``compress`` after it.
        momentum: Of the moving averages. None (default) is that of each batch norm; short runs want 0.9.
        freeze_step: Training step from which on the powers of two stay. None (default) is never.

    Returns:
        A new model, not compiled, with the same names.

    Raises:
        ValueError: There is no batch norm, or one that cannot be replaced; the message names it.
    """
    traced = trace(model)
    changed = {"freeze_step": freeze_step, **({} if momentum is None else {"momentum": momentum})}
    work = _Replacement(traced, changed)
    if not work.twins:
        names = [call.path for call in traced.calls]
        raise ValueError(f"Model '{model.name}' must have a BatchNormalization. Received: {names}")
    return rebuild(model, lambda layer, path: work.twins.get(id(layer)))


class _Replacement:
    """The layers that take the place of others, by ``id`` of these."""

    def __init__(self, traced: Trace, changed: Mapping[str, Any]) -> None:
        self.traced, self.changed = traced, changed
        self.twins: dict[int, Any] = {}
        for call in traced.calls:
            if isinstance(_innermost(call.layer), layers.BatchNormalization) and id(call.layer) not in self.twins:
                _check(call)
                self._replace(call)

    def _replace(self, call: Call) -> None:
        old = call.layer
        config = {name: value for name, value in old.get_config().items() if name in KEPT}
        twin = self.twins[id(old)] = PowerOfTwoBatchNormalization.from_config({**config, **self.changed})
        twin.build(call.inputs[0].shape)
        twin.built = True
        mean, variance = slots.numpy(old.moving_mean), slots.numpy(old.moving_variance)
        gamma = slots.numpy(old.gamma) if old.scale else np.ones_like(variance)
        exponent, sign = map(ops.convert_to_numpy, first_factor(gamma, variance, old.epsilon))
        rest = residue(gamma, variance, old.epsilon, exponent)
        rest = rest if self._into_front(call, rest) else np.ones_like(rest)
        state = {
            "moving_mean": mean * rest,
            "moving_variance": np.where(rest == 1, variance, rest**2 * (variance + old.epsilon) - old.epsilon),
            "batches": MANY if mean.any() or (variance != 1).any() else 0,
            "exponent": exponent,
            "sign": sign,
        }
        state |= {"gamma": gamma} if old.scale else {}
        state |= {"beta": slots.numpy(old.beta)} if old.center else {}
        for name, value in state.items():
            getattr(twin, name).assign(value)

    def _into_front(self, call: Call, factor: np.ndarray) -> bool:
        """Multiplies the channels of the layer in front of a batch norm, if nobody but this one reads them."""
        value = call.inputs[0]
        maker = self.traced.producer[value]
        single = all(sum(call.layer is used.layer for call in self.traced.calls) == 1 for used in (maker, call))
        alone = len(self.traced.consumers[value]) == 1 and value not in self.traced.outputs
        if not (single and alone and _can_be_scaled(maker, call)):
            return False
        inner = core(maker.layer)
        factors = scales(inner, np.ones(maker.inputs[0].shape[-1] or 1), factor)
        if isinstance(maker.layer, Compressed) and factors.keys() & maker.layer.transforms.keys():
            return False
        twin = self.twins[id(maker.layer)] = clone(maker.layer)
        for slot, numbers in factors.items():
            variable = slots.variables(core(twin))[slot]
            variable.assign((slots.numpy(variable) * numbers).astype(np.float32))
        return True


def residue(gamma: np.ndarray, variance: np.ndarray, epsilon: float, exponent: np.ndarray) -> np.ndarray:
    """c of each channel (float64); 1 where the exponent is at a limit, or c would make the variance negative."""
    rest = np.abs(gamma) / np.sqrt(variance + np.float64(epsilon)) * np.ldexp(1.0, -exponent)
    movable = (rest > 0.7) & (rest < 1.42) & (rest**2 * (variance + epsilon) >= epsilon)
    return np.where(movable, rest, 1.0)


def _can_be_scaled(maker: Call, norm: Call) -> bool:
    """Whether the output channels of a layer are those of the batch norm, and multiplied as its weights are."""
    layer, rank = core(maker.layer), len(norm.inputs[0].shape)
    known = mixing(layer) is not None or type(layer) in DEPTHWISE
    last = norm.layer.axis in (-1, rank - 1) and getattr(layer, "data_format", "channels_last") == "channels_last"
    return known and last and activation_name(layer) == "linear"


def _innermost(layer: Any) -> Any:
    """The layer inside of wrappers."""
    return _innermost(layer.layer) if isinstance(layer, layers.Wrapper) else layer


def _check(call: Call) -> None:
    """Refuses what is more than a batch norm, and batch norms inside of wrappers."""
    layer = call.layer
    if isinstance(layer, layers.Wrapper):
        remedy = "compress after this edit" if isinstance(layer, Compressed) else "call it without the wrapper"
        raise ValueError(
            f"Layer '{call.path}' must be a BatchNormalization by itself to be replaced. Received: one inside a "
            f"{type(layer).__name__}; {remedy}."
        )
    extras = [name for name in ("renorm", "synchronized") if getattr(layer, name, False)]
    if type(layer) is not layers.BatchNormalization or extras:
        received = f"{type(layer).__name__}" + "".join(f", {name}=True" for name in extras)
        raise ValueError(
            f"Layer '{call.path}' must be a plain BatchNormalization to be replaced. Received: {received}. Replace it "
            "by keras.layers.BatchNormalization, or by tfcompress.layers.PowerOfTwoBatchNormalization."
        )
