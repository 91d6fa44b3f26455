import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_export.flatbuffer import InvalidModel
from tflite_export.flatbuffer.options import OPERATORS, UNIONS, complete, from_table, table_name, to_table


def test_missing_options_get_the_default_of_the_schema():
    assert complete("CONV_2D", {"stride_h": 2}) == {
        "padding": "SAME",
        "stride_w": 0,
        "stride_h": 2,
        "fused_activation_function": "NONE",
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
        "quantized_bias_type": "float32",
    }


def test_enums_are_names_here_and_numbers_in_the_file():
    table = to_table("MAX_POOL_2D", {"padding": "VALID", "fused_activation_function": "RELU6"})
    assert (table.padding, table.fusedActivationFunction) == (1, 3)
    assert from_table(table)["fused_activation_function"] == "RELU6"


def test_tensor_types_among_the_options_are_named_like_tensor_types():
    assert complete("CAST", {"in_data_type": "int8", "out_data_type": "float32"})["in_data_type"] == "int8"


def test_a_float_option_is_what_the_file_holds():
    assert complete("SOFTMAX", {"beta": 0.1}) == {"beta": float(np.float32(0.1))}


def test_lists_are_tuples_and_absent_ones_stay_absent():
    assert complete("RESHAPE", {"new_shape": np.array([1, -1])}) == {"new_shape": (1, -1)}
    assert complete("RESHAPE", {"new_shape": ()}) == {"new_shape": ()}
    assert complete("RESHAPE", {}) == {}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("CONV_2D", {"strides": 2}, "CONV_2D has no option `strides`. It has: padding, stride_w, stride_h"),
        ("CONV_2D", {"padding": "FULL"}, "`padding` must be one of SAME, VALID. Received: 'FULL'"),
        ("LOGISTIC", {"beta": 1.0}, "LOGISTIC takes no options"),
    ],
)
def test_what_the_schema_cannot_say_is_refused(kind, options, message):
    with pytest.raises(InvalidModel, match=message):
        complete(kind, options)


def test_every_table_of_the_schema_belongs_to_an_operator():
    named = {name for _, union in UNIONS for name in union} - {"NONE"}
    assert named == {table_name(kind) for kind in OPERATORS} - {None}


@pytest.mark.parametrize("kind", [kind for kind in OPERATORS if table_name(kind)])
def test_the_defaults_of_every_operator_survive_the_table(kind):
    assert from_table(to_table(kind, complete(kind, {}))) == complete(kind, {})


def test_no_options_table_holds_another_table():
    for kind in filter(table_name, OPERATORS):
        reader = getattr(schema, table_name(kind))
        assert not [name for name in vars(reader) if name.endswith("Type") and name[:-4] in vars(reader)]
