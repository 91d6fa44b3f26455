"""Puts the factors of gates into the weights next to them, so that the gates can go.

    conv - norm - relu - gate - pool - conv      kernel[:, :, c, :] *= factor[c]     in every layer that reads the gate
    conv - norm - relu - gate - add              gamma[c], beta[c] *= factor[c]      or in the one that makes its input

First the layers behind are tried, then those in front. Between gate and weights there may be whatever moves numbers or
scales with them: pooling, padding, concatenation, Flatten; a ReLU or a largest value if no factor is negative. A weight
with a Transform is not touched, for its grid would move. Where there is no way, the factors stay as a ``Rescaling``
layer of the gate's name.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from tfcompress.compressed import Compressed
from tfcompress.constant_gate import ConstantGate
from tfcompress.structure.channels import Channels
from tfcompress.structure.groups import activation_name, core
from tfcompress.structure.mixing import mixing
from tfcompress.structure.rebuild import SKIP, clone, rebuild
from tfcompress.structure.relations import DEPTHWISE, Unknown, check_format, follows
from tfcompress.structure.scaling import REARRANGED, factors, multiply, scales_along
from tfcompress.structure.trace import Call, Value, trace


class Scaling(NamedTuple):
    """What happens to a layer's channels, one factor for each of its inputs and of its outputs."""

    layer: Any
    inputs: np.ndarray
    outputs: np.ndarray


class Stuck(Exception):
    """There is no way for the factors past a layer."""


def fold_gates(model: keras.Model) -> keras.Model:
    """A copy of ``model`` without gates that computes the same at inference."""
    work = _Folding(Channels(trace(model)))
    return rebuild(model, work.replace)


class _Folding:
    """One folding in progress: which layers are scaled by what, and which gates can go."""

    def __init__(self, channels: Channels) -> None:
        self.channels, self.trace = channels, channels.trace
        self.scalings: dict[int, list[Scaling]] = {}
        self.folded: set[int] = set()
        for call in self.trace.calls:
            if isinstance(call.layer, ConstantGate) and channels.uses(call.layer) == 1:
                self._fold(call)

    def replace(self, layer: Any, path: str) -> Any:
        """What ``rebuild`` shall use for a layer."""
        if isinstance(layer, ConstantGate):
            scale = [float(f) for f in layer.factor]
            return (
                SKIP if id(layer) in self.folded else layers.Rescaling(scale, name=layer.name, dtype=layer.dtype_policy)
            )
        if id(layer) not in self.scalings:
            return None
        twin = clone(layer)
        for scaling in self.scalings[id(layer)]:
            multiply(core(twin), scaling.inputs, scaling.outputs)
        return twin

    def _fold(self, gate: Call) -> None:
        factor = gate.layer.factor.astype(np.float64)
        for way in (self._ahead, self._behind):
            try:
                found = way(gate, factor)
            except Stuck:
                continue
            for scaling in found:
                self.scalings.setdefault(id(scaling.layer), []).append(scaling)
            self.folded.add(id(gate.layer))
            return

    def _ahead(self, gate: Call, factor: np.ndarray) -> list[Scaling]:
        """The layers that read what ``gate``, or a layer behind it, delivers."""
        value = gate.outputs[0]
        if value in self.trace.outputs:
            raise Stuck
        readers = dict.fromkeys(self.trace.consumers.get(value, []))
        return [scaling for call in readers for scaling in self._into(call, value, factor)]

    def _into(self, call: Call, value: Value, factor: np.ndarray) -> list[Scaling]:
        layer = core(call.layer)
        self._check(call)
        if mixing(layer) or type(layer) in DEPTHWISE:
            scaling = Scaling(call.layer, factor, np.ones(call.outputs[0].shape[-1]))  # type: ignore[arg-type]
            _check_free(call.layer, scaling)
            return [scaling]
        if not scales_along(layer, factor) and not isinstance(layer, (*REARRANGED, layers.Concatenate)):
            raise Stuck
        entries = [factor if v is value else np.ones(len(self.channels.numbers[v])) for v in call.inputs]
        rows = follows(call)(call, entries)  # type: ignore[misc]
        if (rows != rows[0]).any():
            raise Stuck
        return self._ahead(call, rows[0])

    def _behind(self, call: Call, factor: np.ndarray) -> list[Scaling]:
        """The layer that makes what ``call`` gets, through layers that scale along."""
        (value,) = call.inputs
        maker = self.trace.producer[value]
        layer = core(maker.layer)
        alone = len(self.trace.consumers[value]) == 1 and value not in self.trace.outputs
        if not alone or isinstance(maker.layer, layers.InputLayer):
            raise Stuck
        self._check(maker)
        if mixing(layer) or type(layer) in DEPTHWISE or type(layer) is layers.BatchNormalization:
            width = len(self.channels.numbers[maker.inputs[0]]) if maker.inputs[0] in self.channels.numbers else 1
            scaling = Scaling(maker.layer, np.ones(width), factor)
            if activation_name(layer) not in ("linear", "relu") or _rectifies(layer, factor):
                raise Stuck
            _check_free(maker.layer, scaling)
            return [scaling]
        if not scales_along(layer, factor):
            raise Stuck
        return self._behind(maker, factor)

    def _check(self, call: Call) -> None:
        numbered = all(v in self.channels.numbers for v in (*call.inputs, *call.outputs))
        if not numbered or self.channels.uses(call.layer) > 1:
            raise Stuck
        try:
            check_format(core(call.layer))
        except Unknown:
            raise Stuck from None


def _rectifies(layer: Any, factor: np.ndarray) -> bool:
    return activation_name(layer) == "relu" and bool((factor < 0).any())


def _check_free(layer: Any, scaling: Scaling) -> None:
    """No weight that would change has a transform, and a batch norm has what is to be scaled."""
    inner = core(layer)
    changed = [slot for slot, f in factors(inner, scaling.inputs, scaling.outputs).items() if (f != 1).any()]
    held = isinstance(layer, Compressed) and any(slot in layer.transforms for slot in changed)
    if held or (isinstance(inner, layers.BatchNormalization) and not inner.scale):
        raise Stuck
