"""Channels that hold one number, whatever the input of the model.

A kernel column of zeros leaves the bias; batch norm and ReLU behind it make another number of that, often zero; a gate
that is closed makes zero of anything. Such a number is known without data:

    known[value][c] = the number at all positions of channel c, or NaN if it varies

A layer that works on each channel by itself is asked: it is called on a tensor that holds the numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import layers, ops

from tfcompress.channel_affine import ChannelAffine
from tfcompress.channel_switch import ChannelSwitch
from tfcompress.constant_gate import ConstantGate
from tfcompress.pass_through import PassThrough
from tfcompress.structure.channels import Channels
from tfcompress.structure.groups import IDENTITY, core
from tfcompress.structure.mixing import bias, covers, depthwise_matrix, mixing
from tfcompress.structure.relations import DEPTHWISE, MERGING, WINDOWS, follows
from tfcompress.structure.trace import Call, Value
from tfcompress.transform import Transform

Known = np.ndarray


def constants(channels: Channels, given: Mapping[Value, Known] | None = None) -> dict[Value, Known]:
    """The constant channels of every value whose channels are numbered.

    Args:
        channels: Of the model.
        given: Value -> what its channels could be made, NaN for as they are: a gate that is not there yet. Each channel
            is then asked about by itself, so that sums over channels vary.
    """
    known: dict[Value, Known] = {}
    for call in channels.trace.calls:
        for value in (value for value in call.outputs if value in channels.numbers):
            known[value] = np.full(len(channels.numbers[value]), np.nan)
            if all(v in known for v in call.inputs) and len(call.outputs) == 1:
                sums = given is not None and mixing(call.layer) is not None
                known[value] = known[value] if sums else _of_call(call, [known[v] for v in call.inputs])
            if given is not None and value in given:
                known[value] = np.where(np.isnan(given[value]), known[value], given[value])
    return known


def _of_call(call: Call, inputs: Sequence[Known]) -> Known:
    layer = core(call.layer)
    width = call.outputs[0].shape[-1]
    if mixing(layer):
        return _mixed(call, inputs[0])
    relation = follows(call)
    if relation is None or not inputs:
        return np.full(width, np.nan)  # type: ignore[arg-type]
    if isinstance(layer, ConstantGate):
        return np.where(layer.factor == 0, 0.0, inputs[0] * layer.factor)
    if isinstance(layer, PassThrough):
        return inputs[0]
    if isinstance(layer, ChannelSwitch):
        features, logits = inputs
        return np.where(logits <= 0, 0.0, np.where((logits > 0) | (features == 0), features, np.nan))
    if isinstance(layer, (Transform, ChannelAffine)) or type(layer) in ASKED:
        return _asked(call, inputs)
    if type(layer) in RULES:
        return RULES[type(layer)](call, inputs)
    try:
        rows = relation(call, inputs)
    except ValueError:
        return np.full(width, np.nan)  # type: ignore[arg-type]
    return np.where((rows == rows[0]).all(axis=0), rows[0], np.nan)


def _mixed(call: Call, x: Known) -> Known:
    """Constant where all inputs that are not multiplied by zero are; at borders only zeros stay what they are."""
    matrix = np.asarray(mixing(call.layer).matrix(call.layer))  # type: ignore[union-attr]
    sums = matrix.sum(axis=0)
    varies = np.isnan(x) if covers(core(call.layer)) else x != 0
    constant = ~(matrix != 0).any(axis=0)[varies].any(axis=0)
    total = np.nan_to_num(x) @ sums + bias(call.layer)
    return _activated(core(call.layer), np.where(constant, total, np.nan))


def _depthwise(call: Call, inputs: Sequence[Known]) -> Known:
    kernel = depthwise_matrix(call.layer)
    x = np.repeat(inputs[0], core(call.layer).depth_multiplier)
    varies = np.isnan(x) if covers(core(call.layer)) else x != 0
    total = np.nan_to_num(x) * kernel.sum(axis=0) + bias(call.layer)
    return _activated(core(call.layer), np.where(varies & (kernel != 0).any(axis=0), np.nan, total))


def _asked(call: Call, inputs: Sequence[Known]) -> Known:
    """Calls the layer on the numbers; a factor of zero makes a number of what varies, too."""
    zero, one = ([np.where(np.isnan(x), fill, x) for x in inputs] for fill in (0.0, 1.0))
    at_zero = _call(call, zero)
    affine = isinstance(core(call.layer), (layers.BatchNormalization, layers.Rescaling, ChannelAffine))
    varies = np.any([np.isnan(x) for x in inputs], axis=0)
    return np.where(varies & ~((at_zero == _call(call, one)) & affine), np.nan, at_zero)


def _call(call: Call, numbers: Sequence[Known]) -> Known:
    tensors = [
        ops.convert_to_tensor(n.reshape([1] * (len(v.shape) - 1) + [-1]).astype(np.float32))
        for n, v in zip(numbers, call.inputs, strict=True)
    ]
    argument = tensors if isinstance(call.args[0], (list, tuple)) else tensors[0]
    return np.asarray(ops.convert_to_numpy(ops.cast(call.layer(argument), "float32")), np.float64).reshape(-1)


def _activated(layer: Any, numbers: Known) -> Known:
    function = layer.activation or (lambda x: x)
    made = ops.convert_to_numpy(function(ops.convert_to_tensor(np.nan_to_num(numbers)[None].astype(np.float32))))
    return np.where(np.isnan(numbers), np.nan, np.asarray(made, np.float64)[0])


def _merged(call: Call, inputs: Sequence[Known]) -> Known:
    """The sum of numbers is a number, and a product with zero is zero."""
    made = _call(call, [np.nan_to_num(x) for x in inputs])
    varies = np.logical_or.reduce(np.broadcast_arrays(*map(np.isnan, inputs)))
    if not isinstance(core(call.layer), layers.Multiply):
        return np.where(varies, np.nan, made)
    zero = np.logical_or.reduce(np.broadcast_arrays(*(x == 0 for x in inputs)))
    return np.where(zero, 0.0, np.where(varies, np.nan, made))


def _zeros(call: Call, inputs: Sequence[Known]) -> Known:
    """Only zeros stay equal at all positions."""
    return np.where(inputs[0] == 0, 0.0, np.nan)


def _moved(call: Call, inputs: Sequence[Known]) -> Known:
    return inputs[0]


ASKED = (
    layers.BatchNormalization, layers.Rescaling, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Activation,
)  # fmt: skip

RULES: dict[type, Callable[[Call, Sequence[Known]], Known]] = {
    **dict.fromkeys(IDENTITY, _moved),
    **dict.fromkeys(WINDOWS, _moved),
    **dict.fromkeys((layers.ZeroPadding1D, layers.ZeroPadding2D, layers.PReLU, layers.Resizing), _zeros),
    **dict.fromkeys(DEPTHWISE, _depthwise),
    **dict.fromkeys(MERGING, _merged),
}
