"""What moves numbers about: Flatten, Reshape, Permute, ZeroPadding, Cropping, slices."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.checks import channels_last
from tflite_export.from_keras.grids import Unsupported
from tflite_export.from_keras.shapes import reshape_to

Bounds = Sequence[tuple[int, int]]


def flatten(builder: Builder, call: Call, x: int) -> int:
    """Flatten: one dimension beside the batch."""
    if len(builder.shape(x)) > 2:
        channels_last(core(call.layer))
    return reshape(builder, call, x)


def reshape(builder: Builder, call: Call, x: int) -> int:
    """Reshape to the shape that Keras found."""
    (value,) = call.outputs
    return reshape_to(builder, x, value.name, builder.static(value.shape))


def permute(builder: Builder, call: Call, x: int) -> int:
    """Permute, whose axes count from 1; the batch stays in front."""
    (value,) = call.outputs
    order = builder.constant(f"{value.name}/order", np.array((0, *core(call.layer).dims), np.int32))
    return builder.emit("TRANSPOSE", (x, order), value.name, builder.static(value.shape))


def zero_padding(builder: Builder, call: Call, x: int) -> int:
    """ZeroPadding1D and 2D; a pass folds it into a convolution behind it where TFLite's SAME means the same."""
    return pad(builder, x, call.outputs[0].name, _bounds(channels_last(core(call.layer)).padding))


def pad_operation(builder: Builder, call: Call, x: int) -> int:
    """ops.pad with zeros."""
    widths = [tuple(pair) for pair in call.layer.pad_width]
    value = call.kwargs.get("constant_values", call.args[1] if len(call.args) > 1 else None)
    if call.layer.mode != "constant" or value or len(widths) != len(builder.shape(x)) or any(widths[0]):
        raise Unsupported(f"mode={call.layer.mode}, pad_width={widths}; supported are zeros around all but the batch")
    return pad(builder, x, call.outputs[0].name, widths[1:])


def pad(builder: Builder, x: int, name: str, amounts: Bounds) -> int:
    """Appends a PAD with zeros; ``amounts`` (before, after) for the axes behind the batch, the last ones may lack."""
    shape = builder.shape(x)
    widths = [(0, 0), *amounts, *[(0, 0)] * (len(shape) - 1 - len(amounts))]
    operand = builder.constant(f"{name}/paddings", np.array(widths, np.int32))
    made = tuple(size + before + after for size, (before, after) in zip(shape, widths, strict=True))
    return builder.emit("PAD", (x, operand), name, made)


def cropping(builder: Builder, call: Call, x: int) -> int:
    """Cropping1D and 2D."""
    (value,), shape = call.outputs, builder.shape(x)
    amounts = _bounds(channels_last(core(call.layer)).cropping)
    slices = [slice(before, size - after) for size, (before, after) in zip(shape[1:-1], amounts, strict=True)]
    return _sliced(builder, x, value.name, [slice(None), *slices, slice(None)])


def get_item(builder: Builder, call: Call, x: int) -> int:
    """``x[:, 2:8, ..., 0]``: slices, numbers, ``...`` and new axes; the batch stays whole."""
    (value,), shape = call.outputs, builder.shape(x)
    key = call.kwargs["key"] if "key" in call.kwargs else call.args[1]
    key = [part for part in (key if isinstance(key, (tuple, list)) else (key,)) if part is not None]
    if any(not isinstance(part, (int, slice, type(...))) for part in key):
        raise Unsupported(f"the index {key}; supported are slices, numbers, `...` and None")
    gap = next((k for k, part in enumerate(key) if part is ...), len(key))
    key = [*key[:gap], *[slice(None)] * (len(shape) - len(key) + (gap < len(key))), *key[gap + 1 :]]
    if key[0] != slice(None):
        raise Unsupported(f"the index {key[0]} into the batch; supported is all of it, x[:, ...]")
    slices = [slice(k % n, k % n + 1) if isinstance(k, int) else k for k, n in zip(key, shape, strict=True)]
    target = builder.static(value.shape)
    kept = tuple(len(range(n)[part]) for part, n in zip(slices, shape, strict=True))
    y = _sliced(builder, x, value.name if kept == target else f"{value.name}/slice", slices)
    return y if kept == target else reshape_to(builder, y, value.name, target)


def _sliced(builder: Builder, x: int, name: str, slices: Sequence[slice]) -> int:
    """Appends a STRIDED_SLICE; an end in front of the first element, as slices backwards have it, opens the end."""
    shape = builder.shape(x)
    ranges = [range(n)[part] for n, part in zip(shape, slices, strict=True)]
    numbers: dict[str, Any] = {
        "begin": [r.start for r in ranges], "end": [r.stop for r in ranges], "strides": [r.step for r in ranges],
    }  # fmt: skip
    opened = sum(1 << axis for axis, r in enumerate(ranges) if r.stop < 0 or axis == 0)
    operands = [builder.constant(f"{name}/{part}", np.array(values, np.int32)) for part, values in numbers.items()]
    return builder.emit(
        "STRIDED_SLICE", (x, *operands), name, tuple(map(len, ranges)), begin_mask=1, end_mask=opened,
    )  # fmt: skip


def _bounds(amounts: Any) -> Bounds:
    """Amounts of a 1D layer, (before, after), or of a 2D layer, one such pair an axis."""
    return [amounts] if isinstance(amounts[0], int) else amounts
