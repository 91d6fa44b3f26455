"""Numbers for the channels of every tensor: union-find over the relations of ``relations.py``.

Channels get the same number where something must be the same for them, whether they stay (``channels.py``) or what they
are multiplied by (``free_scales.py``). A number may be *fixed*, with a reason.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import layers

from tfcompress.structure.groups import core
from tfcompress.structure.operations import as_layers, is_operation
from tfcompress.structure.relations import Unknown
from tfcompress.structure.trace import Call, Trace, Value

Numbers = np.ndarray


class Numbering:
    """The channels of a model. A subclass says in ``_output`` which of them share a number.

    Attributes:
        trace: The calls, operations on tensors read as layers where possible.
        numbers: Value -> number of each of its channels, int array; not there where the last axis has no size.
        fixed: Number -> why its channels must stay as they are.
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

    def _output(self, call: Call) -> Numbers:
        """The numbers of what ``call`` delivers, known or new.

        Raises:
            Unknown: All channels that go in or come out are to be fixed.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `_output`.")

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
        self._compact = compact = np.unique(roots, return_inverse=True)[1]
        self.count = int(compact.max(initial=-1)) + 1
        self.numbers = {value: compact[numbers] for value, numbers in self.numbers.items()}
        self.fixed = self._by_number(self._reasons)

    def _by_number(self, reasons: Sequence[tuple[Numbers, str]]) -> dict[int, str]:
        """The first reason of each number; numbers as they were before `_settle`."""
        found: dict[int, str] = {}
        for numbers, reason in reasons:
            for number in self._compact[numbers]:
                found.setdefault(int(number), reason)
        return found


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
