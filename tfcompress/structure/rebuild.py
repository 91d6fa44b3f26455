"""Copies a Sequential or Functional model, layer by layer, with layers replaced, left out or put in between.

Every edit of the structure goes through here: the model is traced and its calls are played again on new tensors.
A nested model stays a nested model, a layer used twice stays one layer used twice, names and weights are kept, and
the original is not touched.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras

from tfcompress.structure import slots
from tfcompress.structure.trace import Call, Trace, Value, trace

SKIP = object()
"""What ``replace`` returns for a layer that shall be left out: its input, the first of several, becomes its output."""


@dataclass(frozen=True)
class Looking:
    """A layer that is called on a list of what it stands behind and of another value, made before."""

    layer: keras.layers.Layer
    at: str


Appended: TypeAlias = "keras.layers.Layer | Looking | Sequence[keras.layers.Layer] | None"

TABLES = (keras.layers.StringLookup, keras.layers.IntegerLookup, keras.layers.TextVectorization)
"""Layers whose vocabulary is neither weight nor configuration; the copy uses the same object."""


def rebuild(
    model: keras.Model,
    replace: Callable[[Any, str], Any] = lambda layer, path: None,
    append: Callable[[str], Appended] = lambda name: None,
    entry: Callable[[Any, str], Any] = lambda layer, path: None,
) -> keras.Model:
    """Copies a model.

    Args:
        model: A built Sequential or Functional model.
        replace: ``(layer, path) -> layer`` to use instead, which may hold a ``clone`` of the old one; None for a
            plain copy, ``SKIP`` to leave the layer out. Asked once per layer, with the path of its first use; not
            asked for InputLayers and nested models, which are opened.
        append: ``value name -> layer`` to call on that value, for all who use it, or several, one after the other;
            None for nothing. Names are those of ``trace``: ``backbone/conv1``, ``dense#1`` for a second use,
            ``lstm:0`` for one of several outputs. Where a layer is ``Looking`` at another value as well, a Sequential
            model becomes a Functional one.
        entry: What ``replace`` is for other layers, for the InputLayers of the model and of nested models.

    Returns:
        A new model, not compiled.

    Raises:
        ValueError: The graph of the model cannot be read, or a layer cannot be copied; the message names it.
    """
    work = _Rebuild(replace, append, entry, trace(model).entries)
    twin = work.model(model, "")
    for layer, copy in work.copies:
        _copy_state(layer, copy)
    return twin


def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A copy of a built layer, built and with its weights.

    Raises:
        ValueError: The layer cannot be made from its configuration, or makes weights only when it is called.
    """
    copy = _from_config(layer)
    _copy_state(layer, copy)
    return copy


class _Rebuild:
    """One copy in progress; remembers which new layer stands for which old one."""

    def __init__(
        self,
        replace: Callable[[Any, str], Any],
        append: Callable[[str], Appended],
        entry: Callable[[Any, str], Any],
        entries: dict[str, Value],
    ) -> None:
        self.replace, self.append, self.entry, self.entries = replace, append, entry, entries
        self.twins: dict[int, Any] = {}
        self.extras: dict[str, Sequence[Any]] = {}
        self.copies: list[tuple[Any, Any]] = []

    def model(self, model: keras.Model, scope: str) -> keras.Model:
        calls = trace(model, nested=False)
        kind = self._kind(model, calls, scope)
        parts = self._layers(calls, scope) if issubclass(kind, keras.Sequential) else self._graph(model, calls, scope)
        try:
            return kind(*parts, name=model.name)
        except TypeError as error:
            raise ValueError(
                f"Model '{model.name}': its class {type(model).__name__} must be made as keras.Model is, from inputs, "
                f"outputs and name, or as keras.Sequential is. Received: {error}. Build it with keras.Model(...)."
            ) from error

    def _kind(self, model: keras.Model, found: Trace, scope: str) -> type:
        """The class of the copy: a Sequential model has no branches."""
        if not isinstance(model, keras.Sequential):
            return type(model)
        extras = [extra for call in found.calls for v in call.outputs for extra in self._extras(scope + v.name)]
        return keras.Model if any(isinstance(extra, Looking) for extra in extras) else type(model)

    def _extras(self, name: str) -> Sequence[Any]:
        """What comes behind a value; asked once."""
        if name not in self.extras:
            self.extras[name] = _each(self.append(name))
        return self.extras[name]

    def _layers(self, found: Trace, scope: str) -> tuple[list[Any]]:
        layers = [
            layer for call in found.calls for layer in (self._twin(call, scope), *self._extras(scope + call.path))
        ]
        return ([layer for layer in layers if layer is not SKIP],)

    def _graph(self, model: keras.Model, found: Trace, scope: str) -> tuple[Any, Any]:
        """The new input and output tensors, in the structures of the old ones."""
        raw: dict[Value, Any] = {}
        tensors: dict[Value, Any] = {}
        named: dict[str, Any] = {}
        for call in found.calls:
            made = _play(call, self._twin(call, scope), tensors)
            for value, name, tensor in zip(call.outputs, self._names(call, scope), made, strict=True):
                raw[value] = tensors[value] = tensor
                for extra in self._extras(scope + value.name):
                    looks = isinstance(extra, Looking)
                    tensors[value] = extra.layer([tensors[value], named[extra.at]]) if looks else extra(tensors[value])
                named[name] = tensors[value]
        straight = isinstance(model, keras.Sequential)  # which has `input` only once it was called
        before, after = (model.inputs[0], model.outputs[0]) if straight else (model.input, model.output)
        inputs = keras.tree.pack_sequence_as(before, [raw[value] for value in found.inputs])
        return inputs, keras.tree.pack_sequence_as(after, [tensors[value] for value in found.outputs])

    def _names(self, call: Call, scope: str) -> list[str]:
        """What the outputs of a call are called where nested models are opened: after the layer that made them."""
        if isinstance(call.layer, keras.Model):
            return [f"{scope}{call.path}/{value.name}" for value in trace(call.layer).outputs]
        names = [scope + value.name for value in call.outputs]
        return [self.entries[name].name if name in self.entries else name for name in names]

    def _twin(self, call: Call, scope: str) -> Any:
        """The new layer for a call's layer, made at its first call."""
        layer = call.layer
        if id(layer) not in self.twins:
            self.twins[id(layer)] = self._make(layer, scope + call.path)
        return self.twins[id(layer)]

    def _make(self, layer: Any, path: str) -> Any:
        if isinstance(layer, keras.Model):
            return self.model(layer, f"{path}/")
        new = (self.entry if isinstance(layer, keras.layers.InputLayer) else self.replace)(layer, path)
        if new is None:
            new = _from_config(layer)
            self.copies.append((layer, new))
        return new


def _each(layers: Appended) -> Sequence[Any]:
    return [layers] if isinstance(layers, (keras.layers.Layer, Looking)) else layers or []


def _play(call: Call, layer: Any, tensors: dict[Value, Any]) -> list[Any]:
    """Calls ``layer`` as ``call`` called the old one; returns the tensors it makes."""
    if isinstance(layer, keras.layers.InputLayer):
        return [layer.output]
    if layer is SKIP:
        return [tensors[value] for value in call.inputs][: len(call.outputs)]
    args, kwargs = keras.tree.map_structure(
        lambda a: tensors[a] if isinstance(a, Value) else a, (call.args, dict(call.kwargs))
    )
    if kwargs.get("mask", layer) is None:
        del kwargs["mask"]  # Keras notes it where nobody said it, and not every layer takes it
    if isinstance(layer, keras.layers.Wrapper):
        args = (*args, *_leading_tensors(call.layer, len(args), kwargs))
    return keras.tree.flatten(layer(*args, **kwargs))


def _leading_tensors(layer: Any, given: int, kwargs: dict[str, Any]) -> Iterator[Any]:
    """Takes out of ``kwargs`` what can be passed by position, since a wrapper does not share the layer's names."""
    for name in list(inspect.signature(layer.call).parameters)[given:]:
        if not isinstance(kwargs.get(name), keras.KerasTensor):
            return
        yield kwargs.pop(name)


def _from_config(layer: Any) -> Any:
    if isinstance(layer, TABLES):
        return layer
    try:
        copy = type(layer).from_config(layer.get_config())
    except Exception as error:
        if not getattr(layer, "variables", ()):
            return layer  # without state one object may serve two models (Lambda, operations on tensors)
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}) must be reproducible from its configuration. "
            f"Received: {error}. Give it `get_config` with all arguments of `__init__`."
        ) from error
    if getattr(layer, "built", False) and not copy.built and (shapes := layer.get_build_config()):
        copy.build_from_config(shapes)
    return copy


def _copy_state(layer: Any, copy: Any) -> None:
    """Copies every variable by its attribute path, and whether it is trained."""
    if copy is layer or not isinstance(layer, keras.layers.Layer):
        return
    old, new = slots.variables(layer), slots.variables(copy)
    if {path: v.shape for path, v in old.items()} != {path: v.shape for path, v in new.items()}:
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}): its copy must have the same weights, {list(old)}. "
            f"Received: {list(new)}. Create all weights in `__init__` or `build`, not in `call`."
        )
    for path, variable in old.items():
        new[path].assign(slots.numpy(variable))
        if new[path].trainable != variable.trainable:
            new[path].trainable = variable.trainable
    if isinstance(copy, keras.layers.Normalization):
        copy.finalize_state()
