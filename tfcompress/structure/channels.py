"""Which channels of a network can only be removed together.

Each channel of each tensor gets a number. Channels with the same number live and die together: the two terms of a sum,
the channel in front of a batch norm and the one behind it, the 49 inputs that a Dense layer has for one channel of a
7 x 7 map. What follows is union-find over the relations of ``relations.py``:

    InputLayer -> conv_1 -> norm -> relu -> conv_2 -> Add    conv_1, norm, relu     0 .. 15
                               \\______________________/      conv_2, Add, conv_3    16 .. 47
                    conv_3 (shortcut)

A number may be *fixed*: its channels are inputs or outputs of the model, or a layer uses them in an unknown way.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from keras import layers

from tfcompress.structure.groups import core
from tfcompress.structure.mixing import groups, mixing
from tfcompress.structure.operations import as_layers, is_operation
from tfcompress.structure.relations import Unknown, check_activation, check_format, follows, met
from tfcompress.structure.trace import Call, Trace, Value

Numbers = np.ndarray


class Channels:
    """The channels of a model.

    Attributes:
        trace: The calls, operations on tensors read as layers where possible.
        numbers: Value -> number of each of its channels, int array; not there where the last axis has no size.
        fixed: Number -> why its channels must stay.
        count: Numbers are below this.
        entries: As in ``Trace``.
    """

    def __init__(self, traced: Trace) -> None:
        """Numbers the channels of a model; nested models must be opened."""
        self.trace, self.entries = as_layers(traced), traced.entries
        self._parents: list[int] = []
        self._reasons: list[tuple[Numbers, str]] = []
        self.numbers: dict[Value, Numbers] = {}
        for call, original in zip(self.trace.calls, traced.calls, strict=True):
            self._number(call, original)
        self._tie_uses()
        for value in traced.outputs:
            self._fix([value], "are an output of the model")
        self._settle()

    def reads(self) -> Iterator[tuple[Call, Value]]:
        """The calls that sum over channels, with what they read."""
        for call in self.trace.calls:
            if mixing(call.layer) and call.inputs[0] in self.numbers:
                yield call, call.inputs[0]

    def uses(self, layer: Any) -> int:
        """How often a layer is called."""
        return sum(call.layer is layer for call in self.trace.calls)

    def _number(self, call: Call, original: Call) -> None:
        """Numbers the output of a call, or fixes all of its channels."""
        try:
            if isinstance(call.layer, layers.InputLayer):
                raise Unknown("are an input of the model")
            _check_call(call, original, self.numbers)
            self.numbers[call.outputs[0]] = self._output(call)
        except Unknown as reason:
            for value in call.outputs:
                self._fresh(value)
            kind = type(core(call.layer)).__name__
            known = isinstance(call.layer, layers.InputLayer)
            why = str(reason) if known else f"go through '{call.path}' ({kind}), which {reason}"
            self._fix([*call.inputs, *call.outputs], why)

    def _output(self, call: Call) -> Numbers:
        entries = [self.numbers[value] for value in call.inputs]
        relation = follows(call)
        if relation is not None:
            rows = relation(call, entries)
            for numbers in (e for e in entries if len(e) < rows.shape[1] and relation is met):
                self._reasons.append((numbers, f"are spread over all channels by '{call.path}'"))
            return self._tie(rows)
        if mixing(call.layer) is None:
            raise Unknown("uses channels in a way that is not known here")
        layer = core(call.layer)
        check_format(layer)
        made = self._new(call.outputs[0].shape[-1])  # type: ignore[arg-type]
        for numbers in (entries[0], made) if groups(layer) > 1 else ():
            self._tie(numbers.reshape(groups(layer), -1))
        try:
            check_activation(layer)
        except Unknown as reason:
            self._reasons.append((made, f"go through '{call.path}' ({type(layer).__name__}), which {reason}"))
        return made

    def _fresh(self, value: Value) -> None:
        if value.shape and value.shape[-1] is not None:
            self.numbers[value] = self._new(value.shape[-1])

    def _fix(self, values: Sequence[Value], reason: str) -> None:
        self._reasons += [(self.numbers[value], reason) for value in values if value in self.numbers]

    def _tie_uses(self) -> None:
        """A layer that is used twice has one set of weights for both uses."""
        first: dict[int, Call] = {}
        for call in self.trace.calls:
            other = first.setdefault(id(call.layer), call)
            if other is not call and _has_channels(core(call.layer)):
                for a, b in zip((*other.inputs, *other.outputs), (*call.inputs, *call.outputs)):
                    if a in self.numbers and b in self.numbers and len(self.numbers[a]) == len(self.numbers[b]):
                        self._tie(np.stack([self.numbers[a], self.numbers[b]]))

    def _new(self, width: int) -> Numbers:
        start = len(self._parents)
        self._parents += range(start, start + width)
        return np.arange(start, start + width)

    def _tie(self, rows: Numbers) -> Numbers:
        """Gives all numbers of a column one root; returns the first row."""
        for row in rows[1:]:
            for a, b in {*zip(rows[0].tolist(), row.tolist(), strict=True)}:
                self._parents[self._root(b)] = self._root(a)
        return rows[0]

    def _root(self, number: int) -> int:
        while self._parents[number] != number:
            self._parents[number] = number = self._parents[self._parents[number]]
        return number

    def _settle(self) -> None:
        """Numbers become roots, counted from 0."""
        roots = np.array([self._root(k) for k in range(len(self._parents))], int)
        compact = np.unique(roots, return_inverse=True)[1]
        self.count = int(compact.max(initial=-1)) + 1
        self.numbers = {value: compact[numbers] for value, numbers in self.numbers.items()}
        self.fixed: dict[int, str] = {}
        for numbers, reason in self._reasons:
            for number in compact[numbers]:
                self.fixed.setdefault(int(number), reason)


def _check_call(call: Call, original: Call, known: dict[Value, Numbers]) -> None:
    """Refuses calls that are not ``layer(tensor)`` or ``layer([tensors])`` with channels of known number."""
    if len(call.outputs) != 1 or (len(call.inputs) > 1 and not isinstance(call.args[0], (list, tuple))):
        raise Unknown("takes or makes several tensors")
    if any(value not in known for value in call.inputs) or call.outputs[0].shape[-1:] in ((), (None,)):
        raise Unknown("takes or makes tensors with an unknown number of channels")
    if is_operation(original.layer) and _has_channels(core(call.layer)):
        raise Unknown("is an operation that holds a number for each channel; use a layer")


def _has_channels(layer: Any) -> bool:
    """Whether a layer knows how many channels there are."""
    lists = isinstance(layer, layers.Rescaling) and (np.ndim(layer.scale) or np.ndim(layer.offset))
    return bool(getattr(layer, "weights", ())) or isinstance(layer, layers.Reshape) or bool(lists)
