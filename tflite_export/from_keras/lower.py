"""The walk over the calls of a Keras model.

It goes to the end even where it meets something that it cannot lower, so that one error names every such layer.
"""

import inspect
import json
from collections.abc import Mapping
from typing import Any

import keras
from keras import tree

from tfcompress.pass_through import PassThrough
from tfcompress.structure.expand import expand
from tfcompress.structure.groups import core, holds_tokens
from tfcompress.structure.operations import is_operation
from tfcompress.structure.trace import Call, Trace, Value, trace
from tfcompress.transform import Transform
from tfcompress.version import __version__
from tflite_export.from_keras.border import identity, transform
from tflite_export.from_keras.builder import Builder, static
from tflite_export.from_keras.grids import Unsupported
from tflite_export.from_keras.table import EXPANDED, LOWERINGS, MERGING, OPERATIONS, REFUSED, Lowering
from tflite_export.ir import Graph


def lower(model: keras.Model, lowerings: Mapping[type, Lowering] | None = None) -> Graph:
    """The float graph of a model: batch 1, weights as deployed, feature maps with the grids of their Transforms.

    Args:
        model: A built Sequential or Functional model; models inside it are opened.
        lowerings: Layer class -> lowering, for classes of the user's own and in place of those of the table.

    Raises:
        ValueError: The model's graph cannot be read, or layers are not supported; the message lists all of them. Or
            a key of ``lowerings`` is not a class of layers, or a value cannot be called.
    """
    own = _checked(lowerings or {})
    calls = expand(trace(model))
    builder = Builder(frozenset(value for value in calls.inputs if holds_tokens(calls, value)))
    problems = [problem for call in calls.calls if (problem := _lower(builder, call, own))]
    if problems:
        known = ", ".join(sorted(kind.__name__ for kind in (*LOWERINGS, *EXPANDED)))
        raise ValueError(
            f"Model '{model.name}' must consist of layers that can be exported. Received:\n  "
            + "\n  ".join(problems)
            + f"\nSupported are {known}, the tfcompress transforms, and tfcompress.Compressed around any of them. "
            "Layers of your own need a lowering: convert(model, lowerings={MyLayer: function})."
        )
    return _bordered(builder, calls, model)


def _checked(lowerings: Mapping[type, Lowering]) -> Mapping[type, Lowering]:
    for kind, lowering in lowerings.items():
        if not (isinstance(kind, type) and issubclass(kind, keras.layers.Layer) and callable(lowering)):
            raise ValueError(
                "`lowerings` must be a dict of layer class -> function (builder, call, *inputs) -> tensor. "
                f"Received: {kind!r}: {lowering!r}"
            )
    return lowerings


def _lower(builder: Builder, call: Call, own: Mapping[type, Lowering]) -> str | None:
    """Lowers one call; returns what is wrong with it, if anything, and lets the walk go on with a placeholder."""
    problem = None
    try:
        lowering = _of_the_user(call, own) or _lowering(call)
        if all(None not in value.shape[1:] for value in call.inputs):  # else the input at fault was named already
            static(call.outputs[0].shape)
            builder.samples = builder.shape(builder.tensors[call.inputs[0]])[0] if call.inputs else 1
            builder.tensors[call.outputs[0]] = lowering(builder, call, *(builder.tensors[v] for v in call.inputs))
            return None
    except ValueError as reason:
        problem = f"{call.path} ({type(core(call.layer)).__name__}): {reason}"
    builder.tensors.update({value: builder.placeholder(value) for value in call.outputs})
    return problem


def _of_the_user(call: Call, own: Mapping[type, Lowering]) -> Lowering | None:
    """What ``convert`` was given for the layer's class."""
    lowering = own.get(type(core(call.layer)))
    if lowering is not None and len(call.outputs) > 1:
        raise Unsupported(f"delivers {len(call.outputs)} tensors; supported is one")
    return lowering


def _lowering(call: Call) -> Any:
    layer = core(call.layer)
    if isinstance(layer, Transform):
        return transform
    if isinstance(layer, PassThrough):
        return identity
    if is_operation(layer) and type(layer).__name__ in OPERATIONS:
        return OPERATIONS[type(layer).__name__]
    if type(layer) in REFUSED:
        raise Unsupported(REFUSED[type(layer)])
    if type(layer) not in LOWERINGS:
        bases = [kind.__name__ for kind in LOWERINGS if isinstance(layer, kind)]
        raise Unsupported(f"no lowering for this type{f', a subclass of {bases[0]}' if bases else ''}")
    asked = any(argument is True for argument in (*call.args, call.kwargs.get("training")))
    if asked and not _trains_by_default(layer):
        raise Unsupported("called with training=True, which makes inference random; call it without")
    if len(call.inputs) > 1 and type(layer) not in MERGING:
        tensors = {key: any(isinstance(v, Value) for v in tree.flatten(value)) for key, value in call.kwargs.items()}
        named = [f"`{key}`" for key, found in tensors.items() if found]
        beside = f", {' and '.join(named)} among them" if named else ""
        raise Unsupported(f"called with {len(call.inputs)} tensors{beside}; supported is one")
    return LOWERINGS[type(layer)]


def _trains_by_default(layer: Any) -> bool:
    """Whether Keras says training=True where nobody asked, and overrules it at inference: image preprocessing."""
    training = inspect.signature(layer.call).parameters.get("training")
    return training is not None and training.default is True


def _bordered(builder: Builder, calls: Trace, model: Any) -> Graph:
    """Adds outputs, signature and metadata."""
    draft = builder.draft
    draft.outputs = [builder.tensors[value] for value in calls.outputs]
    names = [calls.producer[value].layer.name for value in calls.outputs]
    results = [name if name not in names[:k] else f"{name}_{k}" for k, name in enumerate(names)]
    asked = {"version": 1, "tfcompress": __version__, "layers": builder.requested}
    asked |= {"recurrent": builder.recurrent} if builder.recurrent else {}
    return Graph(
        tuple(draft.tensors),
        tuple(draft.ops),
        tuple(draft.inputs),
        tuple(draft.outputs),
        (
            "serving_default",
            {value.name: builder.tensors[value] for value in calls.inputs},
            dict(zip(results, draft.outputs, strict=True)),
        ),
        {"tfcompress": json.dumps(asked).encode()},
        model.name,
    )
