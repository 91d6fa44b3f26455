r"""Gate pruning: small weights of the gates of an LSTM or GRU become zero, those of its candidate never do.

The input, forget and output gates of an LSTM decide how much of a value counts; the candidate makes the value. The
gates stand a coarse decision, so each is pruned by a threshold in units of its own spread,

    T_g = q_g * std(W_g),        y = mask * w,        mask = 1 where |w| >= T_g or the gate is the candidate, else 0

with ``std`` the population's, taken over the gate's columns of this weight, or handed in where it shall be that of
several weights or cells. Instead of the quality ``q_g`` a sparsity ``s_g`` may be given: ``T_g`` is then the
``s_g``-quantile of ``|W_g|``, and ``q_g = T_g / std(W_g)`` is on record. Biases are never pruned.

The mask is made once, from trained weights, and held while the rest is trained further. The gradient is the true one of
``mask * w``: a pruned weight gets none, so that no optimizer, whatever momentum it carries, brings it back.

Reference: Georgiadis and Deng, "System and method for compressing LSTM networks" (selective gate pruning), US patents
10,657,426 (2020) and 11,151,428 (2021), https://patents.google.com/patent/US10657426B2. Differs from the source in the
GRU, whose update and reset gates are pruned likewise, and in the sparsity as a target.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress.structure.gates import CANDIDATES, gate_columns
from tfcompress.transform import Transform

FLAT = 1e-6
"""A gate whose deviation is a smaller part of its largest weight has no spread to speak of."""


def gate_threshold(w: Any, quality: Any, deviation: float | None = None) -> Any:
    """``quality * deviation``, of ``w`` (any shape) itself if no deviation is given."""
    return quality * (ops.std(w) if deviation is None else ops.convert_to_tensor(deviation, "float32"))


def sparsity_threshold(w: Any, sparsity: Any) -> Any:
    """The magnitude below which a share ``sparsity`` of ``w`` (any shape) lies."""
    return ops.quantile(ops.reshape(ops.abs(w), (-1,)), sparsity)


@keras.saving.register_keras_serializable("tfcompress")
class GatePruning(Transform):
    """Sets small weights of the gates to zero, on packed ``kernel`` or ``recurrent_kernel`` of an LSTM or GRU.

    The mask is made when ``tfcompress.compress`` puts the transform on a trained model. ``update`` makes it anew from
    the weights of the time, what is zero staying zero. ``factor``, a variable that is 1 at first, multiplies quality or
    sparsity: raise it by ``callbacks.Anneal("factor", ...)`` with ``callbacks.Refresh`` to prune in rounds.

    Args:
        quality: Threshold in deviations, a number for all gates or one for each, ``{"i": 1.0, "o": 0.5}``; a gate that
            is left out is not pruned. Default 1.
        sparsity: Share of zeros instead, 0 to below 1, a number or one for each gate.
        deviations: Standard deviation for each gate, e.g. ``tfcompress.gate_deviations(model)`` over all cells. None
            (default): that of the gate's columns in this very weight.
        begin_step: Training step at which the mask is made, where the weights are not trained yet. None (default):
            at once.
        gates: The gates' letters in the order of their columns. None (default) is decided by the slot: ``"ifco"`` for
            an LSTM, ``"zrh"`` for a GRU.

    Raises:
        ValueError: A number is out of range, a gate is unknown or the candidate, both quality and sparsity are given,
            or (when built) the weight does not divide into gates.
    """

    def __init__(
        self,
        quality: float | Mapping[str, float] | None = None,
        sparsity: float | Mapping[str, float] | None = None,
        deviations: Mapping[str, float] | None = None,
        begin_step: int | None = None,
        gates: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if quality is not None and sparsity is not None:
            raise ValueError(
                f"Either `quality` or `sparsity` may be given. Received: quality={quality}, sparsity={sparsity}"
            )
        if begin_step is not None and begin_step < 0:
            raise ValueError(f"`begin_step` must be at least 0. Received: begin_step={begin_step}")
        self.quality = _checked("quality", 1.0 if quality is None and sparsity is None else quality, np.inf)
        self.sparsity = _checked("sparsity", sparsity, 1.0)
        self.deviations = _checked("deviations", None if deviations is None else dict(deviations), np.inf)
        self.begin_step, self.gates = begin_step, gates

    def build(self, input_shape: Any) -> None:
        """Creates the mask (all True), the factor, the qualities on record, and the step counter."""
        shape = tuple(input_shape)
        if not self.gates or None in shape or shape[-1] % len(self.gates):
            raise ValueError(
                f"GatePruning '{self.name}' must be on a kernel of an LSTM or GRU, whose last axis divides into gates. "
                f"Received: shape={shape}, gates={self.gates!r}. Use MagnitudePruning on other layers."
            )
        for name in ("quality", "sparsity", "deviations"):
            unknown = {*_by_gate(getattr(self, name), self.gates)} - {*self.gates}
            if unknown:
                raise ValueError(
                    f"GatePruning '{self.name}': `{name}` must speak of the gates {list(self.gates)}. "
                    f"Received: {sorted(unknown)}"
                )
        self.mask = self.add_state("mask", "ones", shape, "bool")
        self.factor = self.add_state("factor", "ones")
        self.implied = self.add_state("implied", shape=(len(self.gates),))
        self.step = self.add_state("step", dtype="int32")

    def call(self, x: Any, training: bool | None = None) -> Any:
        """``mask * x``; a training call counts one step, and makes the mask if it is that of ``begin_step``."""
        if training:
            step = ops.convert_to_tensor(self.step)
            if self.begin_step is not None:
                self._begin(ops.stop_gradient(x), ops.equal(step, self.begin_step))
            self.step.assign(step + 1)
        return x * ops.cast(self.mask, x.dtype)

    def _begin(self, x: Any, due: Any) -> None:
        old = ops.convert_to_tensor(self.mask), ops.convert_to_tensor(self.implied)
        mask, implied = ops.cond(due, lambda: self._new_mask(x), lambda: old)
        self.mask.assign(mask)
        self.implied.assign(implied)

    def calibrate(self, x: Any) -> None:
        """Makes the mask from the weight ``x``, unless ``begin_step`` says when."""
        if self.begin_step is None:
            self._renew(ops.convert_to_tensor(x, "float32"), True)

    def update(self, x: Any) -> None:
        """Makes the mask anew; what was pruned stays pruned, and counts as zero."""
        kept = ops.convert_to_tensor(self.mask)
        self._renew(ops.convert_to_tensor(x, "float32") * ops.cast(kept, "float32"), kept)

    def _renew(self, x: Any, kept: Any) -> None:
        mask, implied = self._new_mask(x)
        self.mask.assign(ops.logical_and(mask, kept))
        self.implied.assign(implied)
        parts = {gate: ops.convert_to_numpy(x)[..., columns] for gate, columns in self._pruned(x.shape[-1]).items()}
        flat = [gate for gate, w in parts.items() if np.std(w) <= FLAT * np.abs(w).max(initial=0.0)]
        if flat:
            warnings.warn(
                f"GatePruning '{self.name}': the weights of gates {flat} hardly differ, so nothing of them is pruned. "
                "Train the model first, or give `begin_step`.",
                stacklevel=3,
            )

    def _pruned(self, columns: int) -> dict[str, slice]:
        """The gates that are pruned, and their columns."""
        wanted = self.sparsity if self.sparsity is not None else self.quality
        return {g: c for g, c in gate_columns(columns, self.gates or "").items() if g in _by_gate(wanted, self.gates)}

    def _new_mask(self, x: Any) -> tuple[Any, Any]:
        """The mask, and the quality of each gate."""
        pruned, thresholds, implied = self._pruned(x.shape[-1]), [], []
        for gate, columns in gate_columns(x.shape[-1], self.gates or "").items():
            w = x[..., columns]
            deviation = gate_threshold(w, 1.0, _by_gate(self.deviations, self.gates).get(gate))
            threshold = self._threshold(gate, w, deviation) if gate in pruned else ops.zeros(())
            thresholds.append(ops.broadcast_to(threshold, (columns.stop - columns.start,)))
            implied.append(threshold / ops.where(deviation > 0, deviation, 1.0))
        return ops.abs(x) >= ops.concatenate(thresholds), ops.stack(implied)

    def _threshold(self, gate: str, w: Any, deviation: Any) -> Any:
        factor = ops.convert_to_tensor(self.factor)
        if self.sparsity is not None:
            return sparsity_threshold(w, ops.minimum(factor * _by_gate(self.sparsity, self.gates)[gate], 1.0))
        return factor * _by_gate(self.quality, self.gates)[gate] * deviation

    @property
    def implied_quality(self) -> dict[str, float]:
        """Threshold over standard deviation of each gate, as the mask was last made."""
        return dict(zip(self.gates or "", map(float, ops.convert_to_numpy(self.implied)), strict=True))

    def get_config(self) -> dict[str, Any]:
        """Configuration; ``gates`` None stays None, for the slot to decide."""
        names = ("quality", "sparsity", "deviations", "begin_step", "gates")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _by_gate(value: float | Mapping[str, float] | None, gates: str | None) -> dict[str, float]:
    """One number for each gate; a single number is for all but the candidate."""
    if isinstance(value, Mapping):
        return dict(value)
    return {} if value is None else {gate: float(value) for gate in gates or "" if gate not in CANDIDATES}


def _checked(name: str, value: Any, limit: float) -> Any:
    """``value`` if its numbers are from 0 to below ``limit``, and none is for a candidate that would be pruned."""
    numbers = list(value.values()) if isinstance(value, Mapping) else [] if value is None else [value]
    if not all(0 <= number < limit for number in numbers):
        raise ValueError(f"`{name}` must be at least 0 and below {limit}. Received: {name}={value}")
    lost = sorted({*CANDIDATES} & {*value}) if isinstance(value, Mapping) and name != "deviations" else []
    if lost:
        raise ValueError(
            f"`{name}` must leave out the candidate gate, which is never pruned. Received: {lost}. "
            "Use MagnitudePruning to prune it as well."
        )
    return dict(value) if isinstance(value, Mapping) else value
