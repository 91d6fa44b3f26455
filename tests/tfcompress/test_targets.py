"""What five quantisers make of a base's outputs, by hand."""

import keras
import numpy as np
import pytest

from tfcompress.targets import Argmax, Levels, PowerOfTwo, Threshold, Uniform, checked, each

P = np.array([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]], np.float32)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_argmax_keeps_one_index_and_of_equals_the_first():
    codes = Argmax().encode(np.array([[0.1, 0.6, 0.3], [0.4, 0.2, 0.4]], np.float32))
    np.testing.assert_array_equal(codes, [1, 0])
    np.testing.assert_array_equal(Argmax().decode(codes, 3), [[0, 1, 0], [1, 0, 0]])
    maps = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    assert Argmax().encode(maps).shape == (2, 4, 4) and Argmax()(maps).shape == maps.shape


def test_uniform_rounds_and_scales_to_the_sum_of_one():
    """2 bits have three steps: 0.7 is two of them, 0.2 is one, 0.1 none."""
    quantizer = Uniform(2, from_logits=False)
    np.testing.assert_array_equal(quantizer.encode(P), [[2, 1, 0], [0, 0, 3]])
    np.testing.assert_allclose(quantizer(P), [[2 / 3, 1 / 3, 0], [0, 0, 1]], rtol=1e-6)


def test_where_nothing_is_left_the_largest_gets_all():
    flat = np.array([[0.24, 0.25, 0.25, 0.26], [0.25, 0.25, 0.25, 0.25]], np.float32)
    np.testing.assert_array_equal(Uniform(1, from_logits=False)(flat), [[0, 0, 0, 1], [1, 0, 0, 0]])


def test_logits_and_temperature():
    logits = np.log(P)
    np.testing.assert_array_equal(Uniform(6, from_logits=True).encode(logits), Uniform(6, from_logits=False).encode(P))
    root = np.sqrt(P) / np.sqrt(P).sum(-1, keepdims=True)
    warm = Uniform(6, from_logits=True, temperature=2)
    np.testing.assert_array_equal(warm.encode(logits), Uniform(6, from_logits=False).encode(root))


def test_powers_of_two_are_nearest_in_the_logarithm_down_to_a_floor():
    p = np.array([[0.72, 0.70, 0.36, 0.1, 0.02, 0.0]], np.float32)  # borders at 2**-0.5 = 0.707, 2**-1.5 = 0.354, ...
    quantizer = PowerOfTwo(4, from_logits=False)
    np.testing.assert_array_equal(quantizer.encode(p), [[0, 1, 1, 3, 4, 4]])
    parts = np.array([1, 1 / 2, 1 / 2, 1 / 8, 1 / 16, 1 / 16])
    np.testing.assert_allclose(quantizer(p)[0], parts / parts.sum(), rtol=1e-6)


def test_threshold_of_probabilities_and_of_logits():
    np.testing.assert_array_equal(Threshold(from_logits=False)(np.array([[0.5, 0.49, 0.9]])), [[1, 0, 1]])
    np.testing.assert_array_equal(Threshold(from_logits=True)(np.array([[0.0, -0.1, 3.0]])), [[1, 0, 1]])


def test_levels_clip_to_their_range_and_count_steps():
    quantizer = Levels(2, low=[0.0, -3.0], high=[3.0, 3.0])  # steps of 1 and of 2
    y = np.array([[0.4, 0.1], [2.6, 9.0], [-5.0, -1.2]], np.float32)
    np.testing.assert_array_equal(quantizer.encode(y), [[0, 2], [3, 3], [0, 1]])
    np.testing.assert_array_equal(quantizer(y), [[0, 1], [3, 3], [0, -1]])


def test_levels_take_their_range_from_quantiles_of_each_output():
    y = np.stack([np.arange(1001), np.full(1001, 7.0)], axis=-1)
    quantizer = Levels(8)
    with pytest.raises(ValueError, match="Levels must be calibrated.*calibrate\\(base.predict"):
        quantizer.check()
    quantizer.calibrate(y)
    assert quantizer.low == pytest.approx([1, 7]) and quantizer.high == pytest.approx([999, 7])
    np.testing.assert_array_equal(quantizer(y.astype(np.float32))[:, 1], y[:, 1])


@pytest.mark.parametrize(
    ("quantizer", "most"),
    [
        (Argmax(), 10),
        (Uniform(3, from_logits=True), 8),
        (PowerOfTwo(7, from_logits=True), 8),
        (Threshold(from_logits=True), 2),
        (Levels(3, low=[-1.0], high=[1.0]), 8),
    ],
    ids=lambda q: type(q).__name__,
)
def test_codes_are_few_and_configurations_come_back(quantizer, most):
    outputs = np.random.default_rng(0).normal(size=(500, 10), scale=4).astype(np.float32)
    codes = numpy(quantizer.encode(outputs))
    assert quantizer.count(10) == most and codes.min() >= 0 and len(np.unique(codes)) == most > codes.max()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(quantizer))
    assert again == quantizer and repr(again) == repr(quantizer)
    np.testing.assert_array_equal(again(outputs), quantizer(outputs))
    half = quantizer(keras.ops.cast(outputs, "bfloat16"))
    assert keras.backend.standardize_dtype(half.dtype) == "float32"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(0, from_logits=True), "`bits` must be a whole number from 1 to 16"),
        (lambda: Uniform(4, from_logits=False, temperature=2), "`temperature` must be .* 1 unless from_logits=True"),
        (lambda: PowerOfTwo(127, from_logits=True), "`octaves` must be"),
        (lambda: Levels(17), "`bits` must be"),
        (lambda: checked("argmax"), "`quantizer` must be one of Argmax"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_logits_or_probabilities_must_be_said():
    for kind in (Uniform, PowerOfTwo, Threshold):
        with pytest.raises(TypeError, match="from_logits"):
            kind()


def test_one_quantizer_serves_all_outputs_and_a_structure_one_each():
    outputs = {"a": np.eye(2, dtype=np.float32), "b": np.eye(3, dtype=np.float32)}
    same = each(lambda q, y: type(q).__name__, Argmax(), outputs)
    assert same == {"a": "Argmax", "b": "Argmax"}
    mine = each(lambda q, y: type(q).__name__, {"a": Argmax(), "b": Threshold(from_logits=False)}, outputs)
    assert mine == {"a": "Argmax", "b": "Threshold"}
