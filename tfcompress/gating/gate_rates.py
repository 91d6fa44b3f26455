"""How often channel gates are open, and what follows for those that are always the same."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfcompress.channel_switch import ChannelSwitch
from tfcompress.composite import open_composites
from tfcompress.structure import slots
from tfcompress.structure.groups import core
from tfcompress.structure.play import feed
from tfcompress.structure.rebuild import SKIP, rebuild
from tfcompress.structure.replay import replay
from tfcompress.structure.trace import Call, Trace, Value, trace
from tfcompress.transform import Transform


def gate_rates(model: keras.Model, x: Any, labels: Any = None, batch_size: int = 256) -> dict[str, np.ndarray]:
    """The fraction of samples for which each channel gate is open, at inference.

    Args:
        model: A built Sequential or Functional model with ``layers.ChannelGate`` layers, compressed or not.
        x: Inputs as ``model.fit`` takes them; targets are ignored.
        labels: A class for each sample, whole numbers, to have rates for each class. Default: none.
        batch_size: Where ``x`` is in arrays.

    Returns:
        Name of the gate -> rates, (channels,), or (classes, channels) if there are ``labels``, classes in rising order.

    Raises:
        ValueError: The model has no channel gates, or there are not as many labels as samples.
    """
    gates = _open(trace(open_composites(model)), model.name, x, batch_size)
    if labels is None:
        return {name: g.mean(axis=0) for name, g in gates.items()}
    of = np.asarray(ops.convert_to_numpy(labels)).reshape(-1)
    samples = len(next(iter(gates.values())))
    if len(of) != samples:
        raise ValueError(f"`labels` must hold a class for each of {samples} samples. Received: {len(of)}")
    return {name: np.stack([g[of == c].mean(axis=0) for c in np.unique(of)]) for name, g in gates.items()}


def settle_gates(model: keras.Model, x: Any, batch_size: int = 256) -> keras.Model:
    """Returns a copy of ``model`` in which gates that never change on ``x`` are constant; the original is not changed.

    A channel that is always on, or always off, gets a logit of 1 or -1 whatever the input. A gate all of whose channels
    are on is left out. ``edits.remove_channels`` then takes the channels that are off out of the network.

    Args:
        model: A built Sequential or Functional model with ``layers.ChannelGate`` layers, compressed or not.
        x: Typical inputs, as ``model.fit`` takes them; a validation set.
        batch_size: Where ``x`` is in arrays.

    Returns:
        A new model, to be compiled. On ``x`` it computes the same.

    Raises:
        ValueError: The model has no channel gates.
    """
    model = open_composites(model)
    traced = trace(model)
    rates = {name: g.mean(axis=0) for name, g in _open(traced, model.name, x, batch_size).items()}
    calls = {_name(call): call for call in _switches(traced)}
    needless = {id(call.layer) for name, call in calls.items() if (rates[name] == 1).all()}
    settled = rebuild(model, lambda layer, path: SKIP if id(layer) in needless else None)
    traced = trace(settled)
    for call in _switches(traced):
        _settle(_source(traced, call.inputs[1]), rates[_name(call)])
    return settled


def _settle(maker: Any, rates: np.ndarray) -> None:
    """Makes the logits constant whose rates are 0 or 1."""
    fixed = (rates == 0) | (rates == 1)
    weights = slots.variables(core(maker))
    for slot, values in (("kernel", np.zeros_like(rates)), ("bias", 2 * rates - 1)):
        weights[slot].assign(np.where(fixed, values, slots.numpy(weights[slot])).astype(np.float32))


def _source(traced: Trace, logits: Value) -> Any:
    """The Dense layer that makes the logits; transforms may stand behind it."""
    call = traced.producer[logits]
    while isinstance(call.layer, Transform):
        call = traced.producer[call.inputs[0]]
    if not isinstance(core(call.layer), layers.Dense) or not core(call.layer).use_bias:
        raise ValueError(f"The logits of a gate must come from a Dense layer with a bias. Received: '{call.path}'.")
    return call.layer


def _open(traced: Trace, name: str, x: Any, batch_size: int) -> dict[str, np.ndarray]:
    """Name of the gate -> whether it is open, (samples, channels)."""
    switches = _switches(traced)
    if not switches:
        raise ValueError(f"Model '{name}' must have channel gates. Use tfcompress.edits.insert_channel_gates.")
    fed = feed(name, traced, x, batch_size, samples=2**62)
    found: dict[str, list[np.ndarray]] = {_name(call): [] for call in switches}
    for k in range(len(next(iter(fed.values())))):
        evaluate = replay(traced, _batch(fed, k))
        for call in switches:
            logits = np.asarray(ops.convert_to_numpy(ops.cast(evaluate(call.inputs[1]), "float32")))
            found[_name(call)].append(logits.reshape(len(logits), -1) > 0)
    return {gate: np.concatenate(parts) for gate, parts in found.items()}


def _batch(fed: Mapping[Value, list[Any]], k: int) -> dict[Value, Any]:
    return {value: batches[k] for value, batches in fed.items()}


def _switches(traced: Trace) -> list[Call]:
    return [call for call in traced.calls if isinstance(call.layer, ChannelSwitch)]


def _name(call: Call) -> str:
    """The switch is the last layer of the gate."""
    return call.path.rpartition("/")[0] or call.path
