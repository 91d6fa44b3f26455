"""What is one operation on the chip: a layer with the batch norm and activation that fold into it.

A conv or dense layer, the batch norm behind it and a ReLU behind that leave one tensor in memory, the last;
so does a sum, difference or product of two tensors with its ReLU. Such a run of calls is a *group*, named after its
first layer, the head. Layers that only move data (``MOVERS``) belong to no group: their output lies on the grid of
their input. Every other layer heads a group, the model's InputLayers too, since a network's input is stored in
integers like any tensor, unless it holds token numbers.

``compress`` puts output transforms behind groups, and the exporter fuses by the same definition.
"""

from dataclasses import dataclass

import keras
from keras import layers

from tfcompress.channel_affine import ChannelAffine
from tfcompress.channel_switch import ChannelSwitch
from tfcompress.compressed import Compressed
from tfcompress.pass_through import PassThrough
from tfcompress.structure.trace import Call, Trace, Value
from tfcompress.transform import Transform

LINEAR = (
    layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv1DTranspose, layers.Conv2DTranspose,
    layers.DepthwiseConv1D, layers.DepthwiseConv2D, layers.SeparableConv1D, layers.SeparableConv2D,
    layers.EinsumDense, layers.BatchNormalization, layers.Rescaling, layers.Normalization, ChannelAffine,
)  # fmt: skip
"""Layers into which a following batch norm folds: they compute sums of products, and nothing behind them."""

FOLDING = (layers.BatchNormalization, layers.Rescaling, layers.Normalization, ChannelAffine)
"""Layers that fold into a linear one in front of them: a factor and an offset per channel."""

MERGES = (layers.Add, layers.Subtract, layers.Multiply)
"""Layers on two tensors that clamp their result at no cost."""

IDENTITY = (
    layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.GaussianNoise, layers.GaussianDropout,
    layers.AlphaDropout, layers.ActivityRegularization, layers.Identity, layers.RandomFlip, layers.RandomRotation,
    layers.RandomZoom, layers.RandomTranslation, layers.RandomContrast, layers.RandomBrightness,
    PassThrough,
)  # fmt: skip
"""Layers that deliver their input at inference."""

MOVERS = (
    *IDENTITY,
    layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector, layers.ZeroPadding1D, layers.ZeroPadding2D,
    layers.Cropping1D, layers.Cropping2D, layers.MaxPooling1D, layers.MaxPooling2D, layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D, layers.AveragePooling1D, layers.AveragePooling2D, layers.UpSampling1D,
    layers.UpSampling2D, layers.Resizing, Transform, ChannelSwitch,
)  # fmt: skip
"""Layers whose output keeps the grid of their input."""


@dataclass(frozen=True, eq=False)
class Group:
    """Calls that leave one tensor in memory: the head first, identities in between included."""

    members: tuple[Call, ...]

    @property
    def head(self) -> Call:
        """The call that the group is named after."""
        return self.members[0]

    @property
    def value(self) -> Value:
        """The tensor that the group leaves."""
        return self.members[-1].outputs[0]


def core(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer inside a Compressed wrapper, or the layer itself."""
    return layer.layer if isinstance(layer, Compressed) else layer


def holds_tokens(trace: Trace, value: Value) -> bool:
    """Whether a model's input holds token numbers: nobody reads it but Embedding layers, and it is not delivered."""
    readers = trace.consumers.get(value, [])
    embeds = all(isinstance(core(call.layer), layers.Embedding) for call in readers)
    return value in trace.inputs and bool(readers) and embeds and value not in trace.outputs


def activation_name(layer: keras.layers.Layer) -> str:
    """What a layer does last: ``linear``, a fusable ``relu`` or ``relu6``, or ``other``."""
    if isinstance(layer, layers.ReLU):
        plain = not layer.negative_slope and not layer.threshold
        return {None: "relu", 6: "relu6"}.get(layer.max_value, "other") if plain else "other"
    function = getattr(layer, "activation", None)
    name = "linear" if function is None else getattr(function, "__name__", "other")
    return name if name in ("linear", "relu", "relu6") else "other"


def moves(layer: keras.layers.Layer) -> bool:
    """Whether the output of a layer lies on the grid of its input: it computes nothing."""
    return isinstance(layer, MOVERS) or _is_identity(layer)


def has_fixed_grid(layer: keras.layers.Layer) -> bool:
    """Whether the file format fixes the grid of a layer's output: a softmax delivers multiples of 1/256."""
    return isinstance(layer, (layers.Softmax, layers.UnitNormalization)) or getattr(layer, "activation", None) in FIXED


FIXED = (keras.activations.softmax, keras.activations.sigmoid)
"""Activations whose result TFLite has on one grid only."""


def _is_identity(layer: keras.layers.Layer) -> bool:
    linear = isinstance(layer, layers.Activation) and activation_name(layer) == "linear"
    return linear or isinstance(layer, IDENTITY)


def groups(trace: Trace) -> list[Group]:
    """The groups of a model, in execution order of their heads."""
    found: list[Group] = []
    taken: set[Call] = set()
    for call in trace.calls:
        numbers = not call.inputs and holds_tokens(trace, call.outputs[0])
        if call not in taken and not numbers and not moves(core(call.layer)):
            found.append(Group(_grow(trace, call)))
            taken.update(found[-1].members)
    return found


def _grow(trace: Trace, head: Call) -> tuple[Call, ...]:
    linear = isinstance(core(head.layer), LINEAR) and activation_name(core(head.layer)) == "linear"
    open_end = linear or isinstance(core(head.layer), MERGES)
    members = [head]
    pending: list[Call] = []  # identities, which belong to the group only if something fuses behind them
    while open_end and (call := _only_consumer(trace, (pending or members)[-1])):
        layer = core(call.layer)
        if _is_identity(layer):
            pending.append(call)
            continue
        folds = linear and isinstance(layer, FOLDING)
        clamps = isinstance(layer, (layers.ReLU, layers.Activation)) and activation_name(layer) in ("relu", "relu6")
        if not folds and not clamps:
            break
        members, pending = [*members, *pending, call], []
        open_end = folds
    return tuple(members)


def _only_consumer(trace: Trace, call: Call) -> Call | None:
    (value, *others) = call.outputs
    consumers = trace.consumers.get(value, [])
    alone = len(consumers) == 1 and not others and value not in trace.outputs
    return consumers[0] if alone and len(consumers[0].inputs) == 1 else None
