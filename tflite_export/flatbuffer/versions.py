"""The lowest version of each op that may carry given types and options.

Runtimes refuse a version above what they know, so a file with the lowest runs in most places. The rules are
those of LiteRT's ``tools/versioning/op_version.cc``, with one exception: ``DEPTHWISE_CONV_2D`` on int4 weights is
written as 6 although the rule says 7, because the reference kernels register at most 6 and run it correctly.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tflite_export.flatbuffer.errors import InvalidModel
from tflite_export.ir import Op, Tensor

_ACTIVATIONS = (
    "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "SOFTMAX", "CONCATENATION", "PAD", "PADV2", "LOGISTIC", "TANH", "RELU",
    "RELU6", "REDUCE_MAX", "REDUCE_MIN", "MIRROR_PAD", "BATCH_MATMUL", "LESS", "GREATER_EQUAL", "PACK",
)  # fmt: skip
_INT8_IS_2 = (
    "SUM", "GREATER", "LESS_EQUAL", "LOG_SOFTMAX", "SQUARED_DIFFERENCE", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "ARG_MAX",
    "ARG_MIN", "GELU", "L2_NORMALIZATION", "SPLIT_V",
)  # fmt: skip

BY_TYPE: dict[str, dict[str, int]] = {
    **{kind: {"int8": 2, "int16": 3} for kind in _ACTIVATIONS},
    **{kind: {"int8": 2} for kind in _INT8_IS_2},
    **{kind: {"int8": 2, "int16": 4} for kind in ("MAXIMUM", "MINIMUM", "SLICE", "UNPACK")},
    **{kind: {"int8": 2, "int16": 2} for kind in ("EXP", "LOG", "SQRT", "REDUCE_PROD")},
    "STRIDED_SLICE": {"int8": 2, "bool": 3},
    "TRANSPOSE": {"int8": 2, "bool": 3, "int16": 5, "int4": 7},
    "GATHER": {"int8": 2, "bool": 3, "int16": 4, "int4": 7},
    "LEAKY_RELU": {"int16": 2},
    "RSQRT": {"int8": 2, "int16": 3},
    "TILE": {"int8": 3},
    "BROADCAST_TO": {"int8": 3, "int16": 3, "float32": 2, "int32": 2, "int64": 2, "bool": 2},
    "REVERSE_V2": {"int8": 3, "bool": 2},
    "EQUAL": {"int8": 2, "int16": 5},
    "NOT_EQUAL": {"int8": 2, "int16": 4},
    "ABS": {"int8": 2, "uint8": 2, "int16": 3, "int32": 5},
    "RESIZE_BILINEAR": {"int8": 2, "int16": 4},
    "RESIZE_NEAREST_NEIGHBOR": {"int8": 2, "int16": 4},
}
"""Version by type of the first input; 1 for a type that is not listed."""


def version(op: Op, tensors: Sequence[Tensor]) -> int:
    """The lowest version of ``op`` whose ``options`` are complete."""
    inputs = [tensors[i] if i >= 0 else None for i in op.inputs]
    outputs = [tensors[i] for i in op.outputs]
    if op.kind in RULES:
        rule, needed = RULES[op.kind]
        if not outputs or len(inputs) < needed or None in inputs[:needed]:
            raise InvalidModel(f"{op.kind} needs at least {needed} inputs and an output. Received: {op}")
        return rule(inputs, outputs, op.options)
    first = inputs[0] if inputs else None
    by_type = BY_TYPE.get(op.kind, {}).get(first.dtype, 1) if first else 1
    return max(by_type, _by_rank(op.kind, first), _by_option(op))


def _by_rank(kind: str, first: Tensor | None) -> int:
    rules = {"PAD": 4, "PADV2": 4, "STRIDED_SLICE": 4, "TRANSPOSE": 4, "SLICE": 5}
    return rules.get(kind, 1) if first and len(first.shape) > 4 else 1


def _by_option(op: Op) -> int:
    if op.kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        nearest = op.kind == "RESIZE_NEAREST_NEIGHBOR"
        return 3 if op.options["half_pixel_centers"] or (nearest and op.options["align_corners"]) else 1
    if op.kind == "STRIDED_SLICE":
        return 6 if op.options["ellipsis_mask"] or op.options["new_axis_mask"] else 1
    if op.kind == "GATHER":
        return 5 if op.options["batch_dims"] else 1
    return 1


def _conv(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    x, weights = inputs[:2]
    if x.dtype == "int16" and options["quantized_bias_type"] != "float32":
        return 8
    if x.shape[-1:] != weights.shape[-1:]:  # grouped
        return 6
    if x.dtype == "float32" and weights.dtype == "int8":
        return 5 if _per_channel(weights) else 2
    return {"int8": {"int4": 7}.get(weights.dtype, 3), "int16": 4}.get(x.dtype, 1)


def _depthwise(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    x, weights = inputs[:2]
    if x.dtype == "float32" and weights.dtype == "int8":
        return 6 if _per_channel(weights) else 4
    dilated = options["dilation_h_factor"] != 1 or options["dilation_w_factor"] != 1
    return {"int8": {"int4": 6}.get(weights.dtype, 3), "int16": 5}.get(x.dtype, 1 + dilated)


def _fully_connected(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    x, weights = inputs[:2]
    if weights.dtype == "int2":
        return 14
    if x.dtype == "int16":
        return {"int4": 13}.get(weights.dtype, 11 if options["quantized_bias_type"] != "float32" else 7)
    hybrid = x.dtype == "float32" and weights.dtype == "int8"
    if hybrid and _per_channel(weights):
        return 12
    if x.dtype == "int8" and weights.dtype == "int4":
        return 10
    if len(inputs) == 2:
        return 6
    if options["keep_num_dims"]:
        return 5
    if hybrid:
        return 9 if options["asymmetric_quantize_inputs"] else 3
    return 4 if x.dtype == "int8" else 1 + (options["weights_format"] != "DEFAULT")


def _transpose_conv(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    if inputs[2].dtype == "int16" and options["quantized_bias_type"] != "float32":
        return 5
    if options["fused_activation_function"] != "NONE":
        return 4
    if len(inputs) == 4 and inputs[3] is not None:
        return 3
    return 2 if inputs[1].dtype == "int8" else 1


def _add(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    int16 = 1 if options["pot_scale_int16"] else 3
    return {"int8": 2, "int16": int16, "int64": 4}.get(inputs[0].dtype, 1)


def _sub(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    int16 = 1 if options["pot_scale_int16"] else 5
    return {"int8": 2, "int16": int16, "int64": 4}.get(inputs[0].dtype, 1)


def _mul(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    grids = [t.quantization for t in (*inputs, *outputs)]
    if inputs[0].dtype == "int8" and all(grids):
        a, b, out = (grid.scale[0] for grid in grids)
        with np.errstate(all="ignore"):
            return 3 if a * b / out >= 1 else 2
    return {"int16": 4, "int64": 5, "int8": 2}.get(inputs[0].dtype, 1)


def _quantize(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    if "int4" in (inputs[0].dtype, outputs[0].dtype):
        return 4
    return 3 if _per_channel(outputs[0]) else {"int16": 2}.get(outputs[0].dtype, 1)


def _split(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    return {"int8": 2, "int32": 3, "int16": 4}.get(inputs[1].dtype, 1)


def _sequence_lstm(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    types = (inputs[0].dtype, inputs[2].dtype)
    if types == ("int16", "int8"):
        return 5
    if options["diagonal_recurrent_tensors"]:
        return 4
    return 2 + options["asymmetric_quantize_inputs"] if types == ("float32", "int8") else 1


def _cast(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    types = (inputs[0].dtype, outputs[0].dtype)
    return next((v for name, v in (("int2", 8), ("int4", 6), ("float16", 5), ("int8", 3)) if name in types), 1)


def _per_channel(tensor: Tensor) -> bool:
    return tensor.quantization is not None and len(tensor.quantization.scale) > 1


def _dequantize(inputs: Sequence[Any], outputs: Sequence[Tensor], options: Mapping[str, Any]) -> int:
    int8 = 5 if _per_channel(inputs[0]) else 2
    return {"int8": int8, "int16": 3, "float16": 3, "int4": 6, "int2": 7}.get(inputs[0].dtype, 1)


RULES: dict[str, tuple[Callable[[Sequence[Any], Sequence[Tensor], Mapping[str, Any]], int], int]] = {
    "CONV_2D": (_conv, 2),
    "DEPTHWISE_CONV_2D": (_depthwise, 2),
    "FULLY_CONNECTED": (_fully_connected, 2),
    "TRANSPOSE_CONV": (_transpose_conv, 3),
    "ADD": (_add, 2),
    "SUB": (_sub, 2),
    "MUL": (_mul, 2),
    "QUANTIZE": (_quantize, 1),
    "DEQUANTIZE": (_dequantize, 1),
    "SPLIT": (_split, 2),
    "CAST": (_cast, 1),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (_sequence_lstm, 3),
}
"""Ops whose version depends on more than the type of the first input, and how many inputs the rule looks at."""
