"""Puts transforms on the weights and outputs of a model, as rules say.

A rule is a regular expression on the names of layers and, for each slot, a prototype Transform. ``structure/plan.py``
decides which rule has the last word where; this module carries it out: layers with transformed weights go inside
``Compressed``, output transforms become layers of their own behind their groups. Nothing that a rule asks for is
skipped in silence: what cannot be done is an error that says what can.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from tfcompress.composite import open_composites
from tfcompress.compressed import Compressed
from tfcompress.recipes import check_rules, load_recipe
from tfcompress.structure import slots
from tfcompress.structure.groups import core
from tfcompress.structure.operations import as_layers
from tfcompress.structure.plan import Output, plan_outputs, plan_weights
from tfcompress.structure.rebuild import SKIP, clone, rebuild
from tfcompress.structure.separate import separate_activations
from tfcompress.structure.trace import trace
from tfcompress.transform import Chain, Transform, members


def compress(model: keras.Model, rules: Mapping[str, Any] | Sequence[Any] | str | os.PathLike[str]) -> keras.Model:
    """Returns a copy of ``model`` with transforms on its weights and outputs; the original is not changed.

    A rule ``regular expression -> {slot: Transform}`` applies to every layer whose name or path (``backbone/conv1``)
    matches as a whole. Where two rules speak of the same slot of a layer, the later one counts; None takes away what
    an earlier rule, or an earlier ``compress``, put there.

    * A weight slot is the name of a weight: ``kernel``, ``bias``, ``embeddings``, ``cell.recurrent_kernel``. On a layer
      without a weight of exactly that name it means all weights whose names end in it: ``kernel`` is
      ``depthwise_kernel`` and ``pointwise_kernel`` of a SeparableConv2D, both kernels of an LSTM. Layers that the rule
      matches and that have no such weight are left alone, with a warning if they hold other weights of rank 2 or more.
    * ``output`` puts the transform behind the group that the layer heads (conv, batch norm, ReLU are one group), as a
      layer called ``<last layer of the group>_output``; losses given by output name need the new names. A max pooling
      that alone reads the group comes first: the values are the same behind it, and fewer.
      An activation that does not fuse, the softmax of ``Dense(10, activation="softmax")``, becomes a layer of its own,
      ``<layer>_softmax``: the sums in front of it are a tensor on the chip, and get a transform, too.
      Nothing goes behind layers that only move data, nor behind a softmax, whose grid TFLite fixes.
    * A ``layers.ChannelGate`` becomes a nested model of its name, whose layers rules reach: ``gate/hidden``.
    * Transforms are prototypes: each use gets a fresh copy, whose arguments ``axis``, ``signed``, ``narrow_range`` and
      the like are decided by the slot where they are None. Those on weights are calibrated at once; for outputs call
      ``tfcompress.calibrate``.
    * A slot that is already compressed gets a ``Chain`` of old and new, with the state of the old. What fixes a grid
      must come last: if the old one does, ``compress`` refuses.

    Args:
        model: A built Sequential or Functional model, nested ones included.
        rules: A dict, what ``load_recipe`` returns, or the path of a JSON recipe.

    Returns:
        A new model, to be compiled.

    Raises:
        ValueError: A rule matches nothing, names an unknown slot or one inside a group, a transform cannot be
            applied, or the model's graph cannot be read (a subclassed model).
    """
    checked = check_rules(load_recipe(rules) if isinstance(rules, (str, os.PathLike)) else rules)
    model = open_composites(model)
    if any(wanted.get(slots.OUTPUT) is not None for _, wanted in checked):
        model = separate_activations(model)
    traced = trace(model)
    work = _Compress(plan_weights(traced, checked), plan_outputs(model, as_layers(traced), checked))
    small = rebuild(model, work.replace, work.append)
    work.finish()
    return small


class _Compress:
    """One compression in progress: what ``rebuild`` asks while it copies the model."""

    def __init__(self, weights: Mapping[int, Mapping[str, Transform | None]], outputs: Mapping[str, Output]) -> None:
        self.weights, self.outputs = weights, outputs
        self.dropped = {id(o.existing) for o in outputs.values() if o.existing is not None}
        self.fresh: list[tuple[str, keras.Variable, Transform | None, Transform]] = []
        self.placed: list[tuple[str, Output, Transform]] = []

    def replace(self, layer: Any, path: str) -> Any:
        """The layer with its new transforms; an output transform that a rule replaces goes."""
        if id(layer) in self.dropped:
            return SKIP
        if id(layer) not in self.weights:
            return None
        twin = clone(layer)
        inner, transforms = core(twin), dict(twin.transforms) if isinstance(twin, Compressed) else {}
        for slot, prototype in self.weights[id(layer)].items():
            old = transforms.pop(slot, None)
            if prototype is not None:
                transforms[slot] = self._weight_transform(inner, slot, prototype, old, f"Layer '{path}', slot '{slot}'")
        return Compressed(inner, transforms) if transforms else inner

    def append(self, name: str) -> Transform | None:
        """The transform behind a value."""
        output = self.outputs.get(name)
        if output is None or output.prototype is None:
            return None
        where = f"Output of layer '{name}'"
        made = _copy(output.prototype, slots.output_defaults(output.tail), output.layer_name, where)
        if output.existing is not None:
            made = Chain([clone(output.existing), made], name=output.layer_name)
        self.placed.append((where, output, made))
        return made

    def finish(self) -> None:
        """Checks what came to stand behind what, and calibrates the new transforms on the weights."""
        for where, output, made in self.placed:
            _check_order(where, members(made), ops.zeros([size or 1 for size in output.value.shape]))
        for where, variable, old, new in self.fresh:
            x = slots.tensor(variable)
            _check_order(where, [*([] if old is None else members(old)), *members(new)], x)
            new.calibrate(x if old is None else old(x, training=False))

    def _weight_transform(self, layer: Any, slot: str, prototype: Any, old: Transform | None, where: str) -> Transform:
        name = slot.replace(".", "_")
        new = _copy(prototype, slots.weight_defaults(layer, slot), name, where)
        self.fresh.append((where, slots.weight(layer, slot), old, new))
        return new if old is None else Chain([old, new], name=name)


def _check_order(where: str, transforms: Sequence[Transform], x: Any) -> None:
    """Only the last transform may own a grid: a later one would move the values off it."""
    for transform in transforms[:-1]:
        if transform.grid(x) is not None:
            raise ValueError(
                f"{where}: {_kind(transform)} fixes the grid of the values, so no transform may follow it. "
                f"Received: {', then '.join(map(_kind, transforms))}. Put {_kind(transform)} last in a Chain. If an "
                "earlier compress put it there, start from the original model, or take it away first: compress with "
                "None for this slot, then again."
            )


def _kind(transform: Transform) -> str:
    return type(transform).__name__


def _copy(prototype: Transform, defaults: Mapping[str, Any], name: str, where: str) -> Transform:
    """A new transform like the prototype; arguments left at None get what the slot decides."""
    try:
        config = {**_filled(prototype.get_config(), defaults), "name": name}
        return type(prototype).from_config(config)
    except Exception as error:
        raise ValueError(
            f"{where}: {_kind(prototype)} must be reproducible from `get_config()` and registered with "
            f"keras.saving.register_keras_serializable(). Received: {error}"
        ) from error


def _filled(config: Any, defaults: Mapping[str, Any]) -> Any:
    """Fills None in a configuration and in those of the members of a Chain."""
    if isinstance(config, (list, tuple)):
        return type(config)(_filled(item, defaults) for item in config)
    if not isinstance(config, dict):
        return config
    return {k: defaults[k] if v is None and k in defaults else _filled(v, defaults) for k, v in config.items()}
