"""Recurrent files as users meet them: what `verify` and the receipt say, resets, files of other tools, damaged ones."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.flatbuffer import InvalidModel, read
from tflite_export.keras_peer import recurrent


def data(steps: int = 6) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(48, steps, 4)).astype(np.float32)


def model(*inside: layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((6, 4), name="x"), *inside])


def test_keras_is_told_and_not_judged_where_rounding_goes_round() -> None:
    plain = model(layers.LSTM(5, name="l"), layers.Dense(3, name="head"))
    blob = tfe.convert(plain, data())
    verification = tfe.verify(blob, data()[:8], keras_model=plain)
    verification.raise_if_different()
    judged = {row.name: row.peers["Keras"].allowed for row in verification.rows if "Keras" in row.peers}
    assert judged["l"] is None and judged["head"] >= 1
    assert all(row.peers["reference"].differing == 0 for row in verification.rows)


def test_what_follows_a_recurrent_layer_is_judged_again_from_its_output_on() -> None:
    small = tfc.compress(model(layers.GRU(5, name="g"), layers.Dense(3, name="head")), {".*": {"output": tfc.LSQ()}})
    tfc.calibrate(small, data())
    graph = read(tfe.convert(small, data()))
    names = {graph.tensors[index].name for index in recurrent(graph, small)}
    assert "g" in names and not names & {"g_output", "head_output"}


def test_the_receipt_holds_every_gate_against_the_model() -> None:
    plain = model(layers.Bidirectional(layers.LSTM(5), name="both"), layers.Reshape((1, 10)), layers.GRU(3, name="g"))
    small = tfc.compress(plain, {"both|g": {"kernel": tfc.Chain([tfc.GatePruning(), tfc.LSQ(bits=8)])}})
    receipt = tfe.receipt(tfe.convert(small, data()), keras_model=small)
    assert receipt.ok and len(receipt.requests) == 2 * 2 * 4 + 2 * 3
    zeros = {r["slot"]: r["delivered_zeros"] for r in receipt.requests if r["layer"] == "both"}
    assert zeros["forward_layer.cell.kernel/i"] > 5 > zeros["forward_layer.cell.kernel/c"]
    small.get_layer("both").layer.backward_layer.cell.kernel.assign_add(np.ones((4, 20)))
    wrong = {problem.split(": ")[1] for problem in tfe.receipt(tfe.convert(plain, data()), keras_model=small).problems}
    assert "backward_layer.cell.kernel/o" in wrong


def test_steps_of_an_unrolled_layer_share_their_weights_in_the_file() -> None:
    graph = read(tfe.convert(model(layers.GRU(5, name="g")), data()))
    names = [tensor.name for tensor in graph.tensors if tensor.data is not None and "kernel" in tensor.name]
    assert len(names) == len(set(names))


def test_a_batch_of_sequences_is_what_its_sequences_are() -> None:
    for layer in (layers.LSTM(5), layers.Bidirectional(layers.LSTM(3, return_sequences=True)), layers.GRU(4)):
        run = tfe.Interpreter(model_content=tfe.convert(model(layer), data()))
        together = run.predict(data())
        np.testing.assert_array_equal(together[::16], np.concatenate([run.predict(x[None]) for x in data()[::16]]))


@pytest.mark.slow
@pytest.mark.parametrize("layer", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_files_of_the_stock_converter_with_unrolled_layers_equal_the_reference_kernels(layer: type) -> None:
    import tensorflow as tf

    inputs = keras.Input(batch_shape=(1, 6, 4))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, layer(5, unroll=True)(inputs)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x[None]] for x in data()[:16])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with pytest.warns(UserWarning):
        blob = converter.convert()
    assert {op.kind for op in read(blob).ops} >= {"UNPACK", "FULLY_CONNECTED", "TANH"}
    tfe.verify(blob, data()[:8]).raise_if_different()


def test_damaged_lstm_files_end_in_one_clear_error() -> None:
    """Any byte changed, any length: refused with a ValueError, or it runs."""
    blob = tfe.convert(model(layers.LSTM(2)), data())
    rng, refused = np.random.default_rng(0), 0
    for position in rng.choice(len(blob), 250, replace=False):
        damaged = bytearray(blob)
        damaged[position] ^= int(rng.integers(1, 256))
        try:
            run = tfe.Interpreter(model_content=bytes(damaged))
            run.allocate_tensors()
            run.invoke()
        except ValueError:
            refused += 1
    assert refused > 30
    for length in rng.integers(0, len(blob), 50):
        with pytest.raises(InvalidModel):
            read(blob[:length])
