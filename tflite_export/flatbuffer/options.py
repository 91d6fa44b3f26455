"""Options of an op as a mapping, and as the table of the schema that holds them; one rule for all ops.

The schema calls the table of ``CONV_2D`` ``Conv2DOptions`` and its fields ``strideH``; we say ``stride_h``. Enums
are their names (``"SAME"``), tensor types the names that ``ir.STORAGE`` has (``"int8"``). A mapping made here is
*complete*: every number of the table is in it; lists and strings are only if the file has them.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_export.flatbuffer.errors import InvalidModel


def members(enum: type) -> dict[str, int]:
    """Name to number of a generated enum class."""
    return {name: number for name, number in vars(enum).items() if isinstance(number, int)}


OPERATORS = members(schema.BuiltinOperator)
TYPES = {name.lower(): number for name, number in members(schema.TensorType).items()}
UNIONS = (("builtinOptions", members(schema.BuiltinOptions)), ("builtinOptions2", members(schema.BuiltinOptions2)))

_REDUCERS = ("MEAN", "SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ANY", "REDUCE_ALL")
_RANDOM = ("RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "MULTINOMIAL")
_SHARED = {
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), "Pool2DOptions"),
    **dict.fromkeys(_REDUCERS, "ReducerOptions"),
    **dict.fromkeys(_RANDOM, "RandomOptions"),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), "MaximumMinimumOptions"),
    "L2_NORMALIZATION": "L2NormOptions",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNNOptions",
    "CONV_3D_TRANSPOSE": "Conv3DOptions",
}
"""Tables that are not named after their op."""

_NAMED = {name.lower(): name for _, union in UNIONS for name in union}

_ENUMS = {
    "padding": members(schema.Padding),
    "fused_activation_function": members(schema.ActivationFunctionType),
    "weights_format": members(schema.FullyConnectedOptionsWeightsFormat),
    "kernel_type": members(schema.LSTMKernelType),
    "combiner": members(schema.CombinerType),
    "mode": members(schema.MirrorPadMode),
    **dict.fromkeys(
        ("quantized_bias_type", "in_data_type", "out_data_type", "out_type", "output_type", "idx_out_type"), TYPES
    ),
}
_NAMES = {field: {number: name for name, number in enum.items()} for field, enum in _ENUMS.items()}


def table_name(kind: str) -> str | None:
    """The table with the options of an op kind, or None if it has none."""
    return _SHARED.get(kind) or _NAMED.get(kind.replace("_", "").lower() + "options")


def complete(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` with the schema's default wherever they say nothing, and every number as the file holds it.

    Raises:
        InvalidModel: The table of ``kind`` has no such option, or an enum has no such name.
    """
    if table_name(kind) is None:
        if options:
            raise InvalidModel(f"{kind} takes no options. Received: {', '.join(options)}")
        return {}
    return from_table(to_table(kind, options))


def to_table(kind: str, options: Mapping[str, Any]) -> Any:
    """The object of the schema that holds ``options``."""
    table = getattr(schema, f"{table_name(kind)}T")()
    fields = _fields(table)
    for key, value in options.items():
        if key not in fields:
            raise InvalidModel(f"{kind} has no option `{key}`. It has: {', '.join(fields)}")
        setattr(table, fields[key], _to_file(kind, key, value, getattr(table, fields[key])))
    return table


def from_table(table: Any) -> dict[str, Any]:
    """The options that an object of the schema holds."""
    values = {key: getattr(table, field) for key, field in _fields(table).items()}
    return {key: _from_file(key, value) for key, value in values.items() if value is not None}


def _fields(table: Any) -> dict[str, str]:
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", field).lower(): field for field in vars(table)}


def _to_file(kind: str, key: str, value: Any, default: Any) -> Any:
    """``value`` in the type of ``default``; lists and strings default to None."""
    if isinstance(value, str) and default is not None:
        if value not in _ENUMS.get(key, ()):
            raise InvalidModel(f"{kind}: `{key}` must be one of {', '.join(_ENUMS.get(key, ()))}. Received: {value!r}")
        return _ENUMS[key][value]
    if isinstance(default, float):
        return float(np.float32(value))
    if default is not None:
        return type(default)(value)
    return value if isinstance(value, str) else np.asarray(value).tolist()


def _from_file(key: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, np.ndarray)):
        return tuple(np.asarray(value).tolist())
    if key in _NAMES:
        if value not in _NAMES[key]:
            raise InvalidModel(f"`{key}` must be one of {', '.join(_ENUMS[key])}. Received: number {value}")
        return _NAMES[key][value]
    return value
