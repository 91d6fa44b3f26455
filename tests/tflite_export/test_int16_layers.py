"""Networks on int16 feature maps: what LiteRT's kernels compute, exactly, and near enough to Keras for `verify`."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.flatbuffer import read


def network(*inside: layers.Layer, shape: tuple[int, ...], dtype: str = "float32") -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(shape, dtype=dtype), *inside])


def verified(model: keras.Model, x: np.ndarray) -> set[str]:
    """Kinds of the ops of the int16 file, which equals the reference kernels, and Keras but for rounding."""
    blob = tfe.convert(model, x, activation_type="int16")
    tfe.verify(blob, x[:3], keras_model=model).raise_if_different()
    graph = read(blob)
    assert {t.dtype for t in graph.tensors if t.data is None} <= {"int16", "int32"}
    np.testing.assert_allclose(tfe.Interpreter(model_content=blob).predict(x), model(x), atol=2e-2)
    return {op.kind for op in graph.ops}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32)


def test_images_grow_and_bend_below_zero() -> None:
    growing = [
        layers.Conv2DTranspose(3, 3, strides=2, padding="same"), layers.LeakyReLU(0.1), layers.UpSampling2D(2),
        layers.PReLU("uniform"), layers.UpSampling2D(2, interpolation="bilinear"),
    ]  # fmt: skip
    found = verified(network(*growing, shape=(3, 3, 2)), normal(3, 3, 2))
    assert found == {"TRANSPOSE_CONV", "LEAKY_RELU", "PRELU", "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"}


def test_functions_are_as_near_to_keras_as_straight_lines_between_their_values() -> None:
    dense = [layers.Dense(6, activation=f) for f in ("gelu", "elu", "tanh", "exponential")]
    assert verified(network(*dense, shape=(5,)), normal(5)) >= {"GELU", "EXP", "TANH"}


def test_sequences_of_tokens_go_through_states_of_16_bits() -> None:
    behind = [layers.Bidirectional(layers.GRU(3, return_sequences=True)), layers.SimpleRNN(3), layers.Dense(2)]
    tokens = np.random.default_rng(0).integers(0, 9, (16, 4))
    found = verified(network(layers.Embedding(9, 4), *behind, shape=(4,), dtype="int32"), tokens)
    assert found >= {"GATHER", "PACK", "REVERSE_V2", "TANH", "LOGISTIC"}


def test_a_trained_grid_behind_a_tanh_is_reached_by_a_requantisation() -> None:
    small = tfc.compress(network(layers.Dense(4, activation="tanh"), shape=(5,)), {".*": {"output": tfc.LSQ(bits=16)}})
    tfc.calibrate(small, normal(5))
    assert verified(small, normal(5)) == {"FULLY_CONNECTED", "TANH", "QUANTIZE"}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.Activation("hard_silu", name="a"), r"'a' \(HARD_SWISH\)"),
        (layers.Activation("hard_tanh", name="a"), r"'a' \(RELU_N1_TO_1\)"),
        (layers.UnitNormalization(name="u"), r"'u' \(L2_NORMALIZATION\)"),
        (layers.LayerNormalization(name="n"), r"'n/inverse' \(RSQRT, whose int16 kernel draws straight lines"),
    ],
)
def test_what_int16_kernels_cannot_compute_is_refused_by_name(layer: layers.Layer, message: str) -> None:
    with pytest.raises(ValueError, match=rf"{message}.*Export with activation_type='int8'"):
        tfe.convert(network(layers.Dense(4), layer, shape=(5,)), normal(5), activation_type="int16")
