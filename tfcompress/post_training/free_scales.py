"""Which channels must be multiplied by the same factor, so that the network can undo it, and which may be shifted.

    conv_1 -> relu -> conv_2       conv_1 takes the factors into its weights, relu lets them through, conv_2 undoes them
    conv_1 -> swish                swish(f x) is not f swish(x): the factor is 1
    Add([a, b])                    channel c of both terms and of the sum: one factor; the shift of the sum is the sum
    x * sigmoid(s)                 the product has the factors of x; those of the other one are 1
    conv_2, zero padding           what is padded must be zero: no shift

Layers with weights (convolutions, Dense, batch norms) have factors of their own for what goes in and what comes out.
All others let factors through, as ``relations.py`` has it, or stop them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import layers

from tfcompress.compressed import Compressed
from tfcompress.constant_gate import ConstantGate
from tfcompress.structure.groups import activation_name, core
from tfcompress.structure.mixing import covers, mixing
from tfcompress.structure.numbering import Numbering, Numbers
from tfcompress.structure.relations import DEPTHWISE, MERGING, WINDOWS, Unknown, check_format, follows
from tfcompress.structure.scaling import REARRANGED, scales_along
from tfcompress.structure.trace import Call, Trace, Value

TERMS: dict[type, Callable[[np.ndarray], np.ndarray]] = {
    layers.Add: lambda rows: rows.sum(axis=0),
    layers.Average: lambda rows: rows.mean(axis=0),
    layers.Subtract: lambda rows: rows[0] - rows[1],
}
"""Layers that add up shifts -> how."""

UNSHIFTED = (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.Resizing)
"""Windows that may put zeros beside the channels."""

SHIFTS = (
    *(kind for kind in WINDOWS if kind not in UNSHIFTED), *TERMS, *REARRANGED,
    layers.Concatenate, layers.RepeatVector, layers.Identity,
)  # fmt: skip
"""Layers that let shifts through."""


def weighted(layer: Any) -> bool:
    """Whether a layer can take factors and shifts of its input and output into its weights."""
    kind = type(core(layer))
    return mixing(layer) is not None or kind in DEPTHWISE or kind is layers.BatchNormalization


def added(call: Call, shifts: Sequence[np.ndarray]) -> np.ndarray:
    """The shift of what ``call``, which lets shifts through, delivers."""
    rows = follows(call)(call, shifts)  # type: ignore[misc]
    return TERMS.get(type(core(call.layer)), lambda rows: rows[0])(rows)


class FreeScales(Numbering):
    """The channels of a model; those with one number have one factor, a positive one.

    Attributes:
        fixed: Number -> why the factor is 1 and the shift 0.
        unshifted: Number -> why the shift is 0.
    """

    def __init__(self, traced: Trace) -> None:
        """Numbers the channels of a model; nested models must be opened."""
        self._pins: list[tuple[Numbers, str]] = []
        super().__init__(traced)
        self.unshifted = self._by_number(self._pins)

    def _output(self, call: Call) -> Numbers:
        layer, entries, relation = core(call.layer), [self.numbers[v] for v in call.inputs], follows(call)
        rows = None if relation is None else relation(call, entries)
        if weighted(layer):
            return self._weighted(call)
        if rows is None:
            raise Unknown("does something else with them than multiply or add")
        if isinstance(layer, layers.Multiply):
            return self._product(call)
        ones = np.ones(1)
        if not scales_along(layer, ones) and not isinstance(layer, (*MERGING, *ALONG)):
            raise Unknown("does not scale with its input")
        if isinstance(layer, MERGING) and len({len(e) for e in entries}) > 1:
            raise Unknown("spreads one channel over all")
        meet = len(rows) > 1 and type(layer) not in TERMS
        if meet or not (type(layer) in SHIFTS or _is_linear(layer)):
            self._pin(call.inputs, f"go through '{call.path}' ({type(layer).__name__}), which shifts do not pass")
        return self._tie(rows)

    def _weighted(self, call: Call) -> Numbers:
        layer = core(call.layer)
        check_format(layer)
        if isinstance(call.layer, Compressed):
            raise Unknown(
                f"has transforms on {sorted(call.layer.transforms)}, whose grids would no longer fit; edit before "
                "compressing"
            )
        made = self._new(call.outputs[0].shape[-1])  # type: ignore[arg-type]
        if self.uses(call.layer) > 1:
            self._pins.append((made, f"come from '{call.path}', which is used more than once"))
            self._pin(call.inputs, f"are read by '{call.path}', which is used more than once")
        if not covers(layer):
            self._pin(call.inputs, f"are read by '{call.path}' ({type(layer).__name__}), which pads with zeros")
        ends = "linear" if isinstance(layer, layers.BatchNormalization) else activation_name(layer)
        if ends == "relu":
            self._pins.append((made, f"are cut off at zero by '{call.path}'"))
        elif ends != "linear":
            name = getattr(layer.activation, "__name__", layer.activation)
            self._reasons.append((made, f"come from '{call.path}', which ends in {name}"))
        return made

    def _product(self, call: Call) -> Numbers:
        """One factor keeps its scale; all others have none, so that the product scales as the first."""
        first, *others = sorted(call.inputs, key=_extent, reverse=True)
        if len({*call.inputs}) < len(call.inputs) or len(self.numbers[first]) != call.outputs[0].shape[-1]:
            raise Unknown("multiplies a tensor by itself, or spreads one channel over all")
        self._fix(others, f"are factors in '{call.path}'")
        self._pin(call.inputs, f"are multiplied by '{call.path}'")
        return self.numbers[first]

    def _pin(self, values: Sequence[Value], reason: str) -> None:
        self._pins += [(self.numbers[value], reason) for value in values if value in self.numbers]


ALONG = (layers.Concatenate, *REARRANGED, ConstantGate)


def _is_linear(layer: Any) -> bool:
    return isinstance(layer, layers.Activation) and activation_name(layer) == "linear"


def _extent(value: Value) -> int:
    return int(np.prod([size or 10**6 for size in value.shape[1:]], dtype=object))
