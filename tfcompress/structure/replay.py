"""Computes any tensor of a model from tensors that are already known.

Feeding a layer with what the exported file delivered in front of it, and comparing what follows, shows which layer
of a long chain is the first to differ.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from tfcompress.structure.trace import Call, Trace, Value


def replay(trace: Trace, known: Mapping[Value, Any]) -> Callable[[Value], Any]:
    """Prepares to compute Values of a model.

    Args:
        trace: The model, expanded (``structure/expand.py``) where tensors inside of layers are asked for.
        known: The Values to start from, as arrays with the batch first.

    Returns:
        ``evaluate(value)``, the array of a Value: looked up, or computed by the layers between the known Values
        and it, as at inference. What is computed once is kept.

    Raises:
        ValueError: (from ``evaluate``) the Value depends on a model input that is not known.
    """
    values = dict(known)

    def evaluate(value: Value) -> Any:
        for call in _between(trace, values, value):
            args, kwargs = keras.tree.map_structure(
                lambda a: values[a] if isinstance(a, Value) else a, (call.args, call.kwargs)
            )
            outputs = keras.tree.flatten(call.layer(*args, **kwargs))
            values.update(zip(call.outputs, outputs, strict=True))
        return values[value]

    return evaluate


def _between(trace: Trace, known: Mapping[Value, Any], value: Value) -> list[Call]:
    """The calls that lead from the known Values to ``value``, in execution order."""
    needed: set[Call] = set()
    open_ends = [value]
    while open_ends:
        end = open_ends.pop()
        if end in known or trace.producer[end] in needed:
            continue
        call = trace.producer[end]
        if not call.inputs:
            raise ValueError(
                f"'{value.name}' depends on the model input '{end.name}', which must be known. "
                f"Received: {sorted(v.name for v in known)}"
            )
        needed.add(call)
        open_ends += call.inputs
    return [call for call in trace.calls if call in needed]
