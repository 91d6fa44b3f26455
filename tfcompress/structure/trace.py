"""A Keras model as a list of calls, nested models opened up.

    calls, in execution order:  outputs = layer(*args, **kwargs)

This module alone reads the private attributes by which Keras 3 links tensors to the layers that made them
(``_keras_history``, ``_inbound_nodes``); they are stable since Keras 3.0 but undocumented. (``steps.py`` reads the
other private thing that we need, the context of a running call.)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor on the way through the model, ``name``d after the call that made it; shape with None for the batch."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class Call:
    """One use of one layer. ``args`` and ``kwargs`` hold Values where Keras had tensors.

    ``slots`` says which slot of the model a slot of ``layer`` stands for, where the names differ (``expand.py``).
    """

    layer: Any
    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Value, ...]
    slots: dict[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Value]:
        """The Values among the arguments, in order."""
        return [a for a in keras.tree.flatten((self.args, self.kwargs)) if isinstance(a, Value)]


@dataclass(frozen=True, eq=False)
class Trace:
    """The calls of a model in execution order; the model's inputs are calls of its InputLayers.

    ``entries`` says what goes into the InputLayers of nested models, by their paths, at the first use of each.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    calls: tuple[Call, ...]
    entries: dict[str, Value] = field(default_factory=dict)
    producer: dict[Value, Call] = field(init=False, default_factory=dict)
    consumers: dict[Value, list[Call]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for call in self.calls:
            self.producer.update(dict.fromkeys(call.outputs, call))
            for value in call.inputs:
                self.consumers.setdefault(value, []).append(call)


def trace(model: keras.Model, nested: bool = True) -> Trace:
    """Lists the calls of a Sequential or Functional model.

    Args:
        model: A built model.
        nested: Opens models inside the model; a call's path is then ``outer/inner``. False lists them as calls.

    Raises:
        ValueError: The model, or one inside it, is subclassed or not built: its graph cannot be read.
    """
    names: dict[str, int] = {}
    calls: list[Call] = []
    entries: dict[str, Value] = {}
    inputs = []
    for tensor in _checked(model).inputs:
        inputs.append(_record(calls, names, tensor._keras_history.operation, "", (), {}, [tensor])[0])
    outputs = _walk(model, inputs, "", nested, names, calls, entries)
    return Trace(tuple(inputs), tuple(outputs), tuple(calls), entries)


def _checked(model: Any) -> Any:
    if not isinstance(model, (keras.Sequential,)) and not _is_functional(model):
        raise ValueError(
            f"Model '{model.name}' must be a Sequential or Functional model, whose graph can be read. "
            f"Received: {type(model).__name__}. Rebuild it with keras.Input(...) and keras.Model(inputs, outputs)."
        )
    if not model.built:
        raise ValueError(f"Model '{model.name}' must be built. Start it with keras.Input(shape=...) or call it once.")
    return model


def _is_functional(model: Any) -> bool:
    return isinstance(model, keras.Model) and getattr(model, "_nodes", None) is not None


def _walk(
    model: Any,
    inputs: list[Value],
    scope: str,
    nested: bool,
    names: dict[str, int],
    calls: list[Call],
    entries: dict[str, Value],
) -> list[Value]:
    """Records the calls between ``model.inputs`` and ``model.outputs``; returns the Values of the outputs."""
    known = {id(tensor): value for tensor, value in zip(_checked(model).inputs, inputs, strict=True)}
    for node in _nodes(model.outputs, set(known)):
        args, kwargs = keras.tree.map_structure(
            lambda a: known[id(a)] if isinstance(a, keras.KerasTensor) else a,
            (node.arguments.args, node.arguments.kwargs),
        )
        if nested and isinstance(node.operation, keras.Model):
            values = [a for a in keras.tree.flatten((args, kwargs)) if isinstance(a, Value)]
            inside = f"{scope}{node.operation.name}/"
            for tensor, value in zip(_checked(node.operation).inputs, values, strict=True):
                entries.setdefault(f"{inside}{tensor._keras_history.operation.name}", value)
            made = _walk(node.operation, values, inside, nested, names, calls, entries)
        else:
            made = _record(calls, names, node.operation, scope, args, kwargs, node.outputs)
        known.update({id(tensor): value for tensor, value in zip(node.outputs, made, strict=True)})
    return [known[id(tensor)] for tensor in model.outputs]


def _nodes(tensors: list[Any], known: set[int]) -> Iterator[Any]:
    """The nodes that make ``tensors`` from the known ones, producers first."""
    done: set[int] = set()
    stack = [(tensor, False) for tensor in reversed(tensors)]
    while stack:
        tensor, ready = stack.pop()
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if id(tensor) in known or id(node) in done:
            continue
        if ready:
            done.add(id(node))
            yield node
        else:
            stack.append((tensor, True))
            stack.extend((t, False) for t in reversed(node.arguments.keras_tensors))


def _record(
    calls: list[Call], names: dict[str, int], layer: Any, scope: str, args: Any, kwargs: Any, tensors: Any
) -> list[Value]:
    """Appends one call; a second use of the same layer is called ``name#1``."""
    path = f"{scope}{layer.name}"
    use = names[path] = names.get(path, -1) + 1
    path += f"#{use}" if use else ""
    values = [
        Value(f"{path}:{k}" if len(tensors) > 1 else path, tuple(t.shape), str(t.dtype)) for k, t in enumerate(tensors)
    ]
    calls.append(Call(layer, path, args, kwargs, tuple(values)))
    return values
