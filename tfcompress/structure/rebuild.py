"""Copies a Sequential or Functional model, layer by layer, with layers replaced, left out or put in between.

Every edit of the structure goes through here: the model is traced and its calls are played again on new tensors.
A nested model stays a nested model, a layer used twice stays one layer used twice, names and weights are kept, and
the original is not touched.
"""

from collections.abc import Callable
from typing import Any

import keras

from tfcompress.structure import slots
from tfcompress.structure.trace import Call, Trace, trace

Replace = Callable[[keras.layers.Layer, str], keras.layers.Layer | None]
Append = Callable[[str], keras.layers.Layer | None]

SKIP = keras.layers.Identity(name="skip")
"""What ``replace`` returns for a layer that shall be left out: its input becomes its output."""


def rebuild(model: keras.Model, replace: Replace | None = None, append: Append | None = None) -> keras.Model:
    """Copies a model.

    Args:
        model: A built Sequential or Functional model.
        replace: ``(layer, path) -> layer``: the layer to use instead, which may hold a ``clone`` of the old one;
            None for a plain copy, ``SKIP`` to leave the layer out. Asked once per layer, with the path of its first
            use; not asked for nested models, which are opened, nor for InputLayers.
        append: ``value name -> layer`` to call on that value, for all who use it; None for nothing. Names are those of
            ``trace``, e.g. ``backbone/conv1``, ``dense#1`` for a second use, ``lstm:0`` for one of several outputs.

    Returns:
        A new model, not compiled.

    Raises:
        ValueError: The graph of the model cannot be read, or a layer cannot be copied; the message names it.
    """
    return _Rebuild(replace or (lambda layer, path: None), append or (lambda name: None)).model(model, "")


def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A built copy of a built layer, with its weights.

    Raises:
        ValueError: The layer cannot be made from its configuration, or makes its weights only when called.
    """
    twin = _from_config(layer)
    _copy_state(layer, twin)
    return twin


def _from_config(layer: Any) -> Any:
    try:
        twin = type(layer).from_config(layer.get_config())
    except Exception as error:
        if not getattr(layer, "variables", ()):
            return layer  # without state one object may serve two models (Lambda, operations like `x + y`)
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}) cannot be copied from its configuration: {error} "
            "Give it `get_config` and register it with keras.saving.register_keras_serializable()."
        ) from error
    if getattr(layer, "built", False) and not twin.built and (shapes := layer.get_build_config()):
        twin.build_from_config(shapes)
    return twin


def _copy_state(layer: Any, twin: Any) -> None:
    """Copies all variables by attribute path, and whether each is trained."""
    if twin is layer or not isinstance(layer, keras.layers.Layer):
        return
    old, new = slots.variables(layer), slots.variables(twin)
    if [(path, v.shape) for path, v in old.items()] != [(path, v.shape) for path, v in new.items()]:
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}): its copy must have the same weights. "
            f"Received: {list(old)} and, in the copy, {list(new)}. Create all weights in `__init__` or `build`."
        )
    for path, variable in old.items():
        new[path].assign(variable)
        if new[path].trainable != variable.trainable:
            new[path].trainable = variable.trainable


class _Rebuild:
    """One copy in progress; remembers which new layer stands for which old one."""

    def __init__(self, replace: Replace, append: Append) -> None:
        self.replace, self.append = replace, append
        self.twins: dict[int, Any] = {}
        self.copies: list[tuple[Any, Any]] = []

    def model(self, model: keras.Model, scope: str) -> keras.Model:
        found = trace(model, nested=False)
        make = self._sequential if isinstance(model, keras.Sequential) else self._functional
        try:
            twin = make(model, found, scope)
        except TypeError as error:
            raise ValueError(
                f"Model '{model.name}' must be made again from its inputs and outputs, which its class "
                f"{type(model).__name__} does not accept: {error}. Build it with keras.Model(inputs, outputs)."
            ) from error
        for old, new in self.copies:
            _copy_state(old, new)
        return twin

    def _sequential(self, model: keras.Sequential, found: Trace, scope: str) -> keras.Model:
        layers = []
        for call in found.calls:
            layers += [layer for layer in (self._twin(call, scope), self.append(scope + call.path)) if layer]
        return type(model)([layer for layer in layers if layer is not SKIP], name=model.name)

    def _functional(self, model: keras.Model, found: Trace, scope: str) -> keras.Model:
        tensors: dict[Any, Any] = {}
        inputs = {}
        for call in found.calls:
            layer = self._twin(call, scope)
            if call.outputs[0] in found.inputs:
                made = inputs[call.outputs[0]] = layer.output
            else:
                args, kwargs = keras.tree.map_structure(lambda a: tensors.get(a, a), (call.args, call.kwargs))
                made = layer(*args, **kwargs)
            for value, tensor in zip(call.outputs, keras.tree.flatten(made), strict=True):
                extra = self.append(scope + value.name)
                tensors[value] = extra(tensor) if extra else tensor
        return type(model)(
            keras.tree.pack_sequence_as(model.input, [inputs[v] for v in found.inputs]),
            keras.tree.pack_sequence_as(model.output, [tensors[v] for v in found.outputs]),
            name=model.name,
        )

    def _twin(self, call: Call, scope: str) -> Any:
        """The new layer for a call's layer, made at the first call."""
        layer = call.layer
        if id(layer) not in self.twins:
            self.twins[id(layer)] = self._make(layer, scope + call.path)
        return self.twins[id(layer)]

    def _make(self, layer: Any, path: str) -> Any:
        if isinstance(layer, keras.Model):
            return self.model(layer, f"{path}/")
        new = None if isinstance(layer, keras.layers.InputLayer) else self.replace(layer, path)
        if new is None:
            new = _from_config(layer)
            self.copies.append((layer, new))
        return new
