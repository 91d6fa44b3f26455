"""The student learns from the base, from nothing else, and the base stands still."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.targets import Argmax, Levels, Threshold, Uniform

LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def trained(base, student, data, quantizer=None, epochs=6, **kwargs):
    keras.utils.set_random_seed(1)
    derived = tfc.DerivedModel(base, student, quantizer, **kwargs)
    derived.compile(keras.optimizers.Adam(5e-3), LOSS, metrics=["accuracy"], jit_compile=False)
    history = derived.fit(*data, batch_size=64, epochs=epochs, verbose=0)
    return derived, history.history


def right(model, x, y):
    return float(np.mean(model.predict(x, verbose=0).argmax(-1) == y))


def values(model):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]


def test_without_labels_the_student_comes_near_the_base_which_does_not_move(base, student, digits):
    x, _, x_test, y_test = digits
    before, flags = values(base), [v.trainable for v in base.variables]
    derived, history = trained(base, student(), [x])
    assert history["accuracy"][-1] > 0.94 > history["accuracy"][0]  # agreement with the base, for want of labels
    agreement = right(derived, x_test, base.predict(x_test, verbose=0).argmax(-1))
    assert agreement > 0.93 and derived.evaluate(x_test, verbose=0)[1] == pytest.approx(agreement)
    assert right(derived.student, x_test, y_test) > right(base, x_test, y_test) - 0.04
    for old, new in zip(before, values(base), strict=True):
        np.testing.assert_array_equal(old, new)
    assert flags == [v.trainable for v in base.variables]
    assert len(derived.variables) == len(derived.student.variables)  # the optimizer has nothing else to move


def test_labels_are_not_read(base, student, digits):
    x, y, _, _ = digits
    rng = np.random.default_rng(0)
    weights = []
    for labels in (y[:128], rng.permutation(y[:128])):
        derived = tfc.DerivedModel(base, student())
        derived.compile("adam", LOSS, run_eagerly=True)
        keras.utils.set_random_seed(0)
        derived.fit(x[:128], labels, batch_size=64, verbose=0)
        weights.append(derived.student.get_weights())
    for honest, cheated in zip(*weights, strict=True):
        np.testing.assert_array_equal(honest, cheated)


def test_targets_are_the_quantised_outputs_of_the_base_at_inference(base, student, digits):
    x = digits[0][:20]
    logits = base.predict(x, verbose=0)
    derived = tfc.DerivedModel(base, student(), Uniform(3, from_logits=True))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    codes = np.rint(p * 7)
    np.testing.assert_allclose(derived.targets(x), codes / codes.sum(-1, keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(derived.targets(x), derived.targets(x))  # no dropout
    assert not np.array_equal(derived(x, training=True), derived(x, training=True))  # but in the student


def test_the_loss_depends_on_the_quantizer(base, student, digits):
    x, one = digits[0][:64], student()
    losses = []
    for quantizer in (Argmax(), Uniform(8, from_logits=True), Uniform(1, from_logits=True)):
        derived = tfc.DerivedModel(base, one, quantizer)
        derived.compile("sgd", LOSS)
        losses.append(float(derived.compute_loss(x, None, derived(x))))
        assert losses[-1] == pytest.approx(float(LOSS(derived.targets(x), one(x))), rel=1e-6)
    assert abs(losses[0] - losses[1]) > 1e-4


def test_a_copy_agrees_before_training_and_compressed_students_learn(base, digits):
    x, _, x_test, _ = digits
    small = tfc.compress(base, {".*": {"kernel": tfc.LSQ(3)}})
    tfc.calibrate(small, x[:64])
    derived, _ = trained(base, small, [x], epochs=2)
    assert derived.evaluate(x_test, verbose=0)[1] > 0.95
    assert tfc.DerivedModel(base, tfc.strip(small)).name.endswith("_derived")
    assert right(small, x_test, base.predict(x_test, verbose=0).argmax(-1)) > 0.95


def test_labels_get_their_share(base, student, digits):
    x, y = digits[0][:64], keras.utils.to_categorical(digits[1][:64], 10)
    derived = tfc.DerivedModel(base, student(), label_share=0.25)
    derived.compile("sgd", LOSS, jit_compile=False)
    logits = derived.predict(x, verbose=0)
    mixed = 0.25 * float(LOSS(y, logits)) + 0.75 * float(LOSS(derived.targets(x), logits))
    assert derived.evaluate(x, y, verbose=0, batch_size=64) == pytest.approx(mixed, rel=1e-5)
    with pytest.raises(ValueError, match="labels must have the shape of the targets.*to_categorical"):
        derived.evaluate(x, digits[1][:64], verbose=0)
    with pytest.raises(ValueError, match="fit must get labels. Received: y=None"):
        derived.fit(x, verbose=0)


def test_saved_and_loaded_it_goes_on_as_if_nothing_had_happened(base, student, digits, tmp_path):
    x, plain = digits[0][:128], student()
    plain.get_layer("dropout").rate = 0.0  # Keras does not save the state of its random numbers
    derived = tfc.DerivedModel(base, plain, Uniform(4, from_logits=True))
    derived.compile(keras.optimizers.Adam(5e-3), LOSS, run_eagerly=True)
    derived.fit(x, batch_size=64, shuffle=False, verbose=0)
    derived.save(tmp_path / "derived.keras")
    again = keras.models.load_model(tmp_path / "derived.keras")
    assert again.quantizer == derived.quantizer and again.name == derived.name
    np.testing.assert_array_equal(again.targets(x), derived.targets(x))
    for model in (derived, again):
        model.run_eagerly = True
        model.fit(x, batch_size=64, shuffle=False, verbose=0)
    for one, other in zip(derived.student.get_weights(), again.student.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_several_inputs_and_outputs_with_a_quantizer_each():
    def two(seed):
        keras.utils.set_random_seed(seed)
        a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
        h = layers.Concatenate()([layers.Dense(8, activation="relu")(a), b])
        outputs = {"class": layers.Dense(4)(h), "tags": layers.Dense(3, activation="sigmoid")(h)}
        return keras.Model({"a": a, "b": b}, {**outputs, "value": layers.Dense(1)(h)})

    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(64, 3)).astype("float32"), "b": rng.normal(size=(64, 2)).astype("float32")}
    teacher = two(0)
    levels = Levels(4)
    with pytest.raises(ValueError, match="Levels must be calibrated"):
        tfc.DerivedModel(teacher, two(1), {"class": Argmax(), "tags": Threshold(from_logits=False), "value": levels})
    levels.calibrate(teacher.predict(x, verbose=0)["value"])
    each = {"class": Argmax(), "tags": Threshold(from_logits=False), "value": levels}
    derived = tfc.DerivedModel(teacher, two(1), each)
    derived.compile("adam", {"class": LOSS, "tags": "binary_crossentropy", "value": "mse"}, jit_compile=False)
    losses = derived.fit(x, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    counts = {name: len(np.unique(t)) for name, t in derived.targets(x).items()}
    assert counts["class"] == counts["tags"] == 2 and 8 < counts["value"] <= 16


def test_refusals(base, student):
    with pytest.raises(ValueError, match="must have its own variables.*clone_model"):
        tfc.DerivedModel(base, keras.Sequential([keras.Input((64,)), base.get_layer("hidden"), layers.Dense(10)]))
    with pytest.raises(ValueError, match="`base` and `student` must be built"):
        tfc.DerivedModel(base, keras.Sequential([layers.Dense(10)]))
    with pytest.raises(ValueError, match="`label_share` must be from 0 to below 1. Received: label_share=1"):
        tfc.DerivedModel(base, student(), label_share=1)
    with pytest.raises(ValueError, match="`quantizer` must be one of"):
        tfc.DerivedModel(base, student(), "argmax")
