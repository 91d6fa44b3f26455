"""Embedding layers: rows of a table, token numbers as inputs, trained tables, and what tools make of such a file."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
import tflite_export as tfe
from from_keras.helpers import Fixed, kinds, outputs_of, scramble
from tfcompress.compressed import Compressed
from tflite_export.flatbuffer import read
from tflite_export.from_keras import lower

TOKENS = np.random.default_rng(0).integers(0, 30, (40, 6))


def model(*behind: Any, dtype: str = "int32", table: Any = None) -> keras.Model:
    embedding = table or layers.Embedding(30, 4, name="e")
    made = keras.Sequential([keras.Input((6,), dtype=dtype, name="tokens"), embedding, *behind])
    scramble(made)
    return made


def dense() -> list[Any]:
    return [layers.Flatten(), layers.Dense(3, name="head")]


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
def test_numbers_of_any_type_go_in_as_int32_and_fetch_the_rows_that_keras_fetches(dtype: str) -> None:
    plain = model(dtype=dtype)
    graph = lower(plain)
    assert kinds(graph) == ["GATHER"] and graph.tensors[graph.inputs[0]].dtype == "int32"
    np.testing.assert_array_equal(outputs_of(graph, [TOKENS.astype(np.int32)])[0], plain(TOKENS.astype(dtype)))


def test_a_single_token_is_a_row() -> None:
    inputs = keras.Input((), dtype="int32")
    graph = lower(keras.Model(inputs, layers.Embedding(5, 2)(inputs)))
    assert graph.tensors[graph.outputs[0]].shape == (1, 2)


@pytest.mark.parametrize("options", [{}, {"weight_bits": 4}, {"activation_type": "int16"}], ids=str)
def test_a_file_equals_the_reference_kernels_and_needs_no_data_for_the_table(options: dict[str, Any]) -> None:
    plain = model()
    blob = tfe.convert(plain, **options)
    tfe.verify(blob, TOKENS, keras_model=plain).raise_if_different()
    bits = {"weight_bits": 4, "activation_type": 16}.get(*options, 8) if options else 8
    step = np.abs(plain.get_layer("e").embeddings.numpy()).max() / (2 ** (bits - 1) - 1)
    predicted = tfe.Interpreter(model_content=blob).predict(TOKENS)
    np.testing.assert_allclose(predicted, plain(TOKENS), atol=0.51 * step)


def test_a_trained_table_arrives_code_by_code_with_one_step() -> None:
    small = tfc.compress(model(*dense()), {"e": {"embeddings": tfc.LSQ(bits=4)}, "head": {"kernel": tfc.LSQ(bits=8)}})
    blob = tfe.convert(small, TOKENS)
    assert tfe.receipt(blob).ok and tfe.receipt(blob, keras_model=small).ok
    (row,) = [row for row in tfe.receipt(blob).rows if row["tensor"] == "e/embeddings"]
    assert (row["op"], row["true_bits"]) == ("GATHER", 4) and row["distinct"] > 8
    tfe.verify(blob, TOKENS[:8], keras_model=small).raise_if_different()


def test_output_transforms_leave_token_numbers_alone() -> None:
    for dtype in ("int32", "float32"):
        small = tfc.compress(model(*dense(), dtype=dtype), {".*": {"output": tfc.LSQ(bits=8)}})
        tfc.calibrate(small, TOKENS)
        assert [layer.name for layer in small.layers if layer.name.endswith("_output")] == ["e_output", "head_output"]
        graph = read(tfe.convert(small))
        assert kinds(graph) == ["GATHER", "RESHAPE", "FULLY_CONNECTED"]  # the table lies on the grid behind it


def test_two_inputs_share_a_table_and_what_is_joined_has_one_grid() -> None:
    first, second = (keras.Input((6,), dtype="int32", name=name) for name in "ab")
    shared = layers.Embedding(30, 4, name="e")
    joined = layers.Concatenate()([shared(first), shared(second), layers.Embedding(30, 2, name="f")(second)])
    plain = keras.Model([first, second], layers.Dense(3)(layers.Flatten()(joined)))
    scramble(plain)
    blob = tfe.convert(plain, [[TOKENS, TOKENS[::-1]]], inference_input_type="float32", inference_output_type="float32")
    graph = read(blob)
    assert [graph.tensors[t].dtype for t in (*graph.inputs, *graph.outputs)] == ["int32", "int32", "float32"]
    assert [t.name for t in graph.tensors].count("e/embeddings") == 1
    tfe.verify(blob, [TOKENS, TOKENS[::-1]], keras_model=plain).raise_if_different()


def test_the_npu_reads_a_row_for_each_token_and_an_ethos_u55_leaves_that_to_the_cpu() -> None:
    blob = tfe.convert(model(*dense()), TOKENS)
    (row, *_) = tfe.npu.estimate(blob, machine="balanced-16x16", data=TOKENS[:2]).rows
    assert row["op"] == "GATHER" and row["macs"] == 0 and row["cycles_total"] > 0
    verdicts = {row["op"]: row["verdict"] for row in tfe.npu.check(blob, machine="ethos-u55-128").rows}
    assert verdicts == {"GATHER": "CPU", "RESHAPE": "PASS", "FULLY_CONNECTED": "PASS"}


def test_numbers_outside_of_the_table_and_between_numbers_are_refused() -> None:
    blob = tfe.convert(model())
    with pytest.raises(ValueError, match=r"expected numbers from 0 to 29\. Received: 30 to 30"):
        tfe.Interpreter(model_content=blob).predict(np.full((1, 6), 30))
    with pytest.raises(ValueError, match="whole numbers, one for each token"):
        tfe.convert(model(*dense()), TOKENS + 0.5)


def test_what_cannot_be_looked_up_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"e \(Embedding\): mask_zero=True.*mask_zero=False"):
        lower(model(table=layers.Embedding(30, 4, mask_zero=True, name="e")))
    with pytest.raises(ValueError, match=r"e \(Embedding\): a table with several scales"):
        lower(model(table=Compressed(layers.Embedding(30, 4, name="e"), {"embeddings": Fixed([[1, 2, 4, 8]])})))
    numbers = keras.Input((6,))
    with pytest.raises(ValueError, match=r"e \(Embedding\): token numbers that.*other layers read"):
        lower(keras.Model(numbers, [layers.Embedding(30, 4, name="e")(numbers), layers.Dense(2)(numbers)]))
