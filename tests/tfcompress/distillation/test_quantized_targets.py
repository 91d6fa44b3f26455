"""Targets computed once, kept in bytes, and paired with their inputs again: those, and in that order."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcompress as tfc
from tfcompress.distillation.pairs import checksum, inputs_of
from tfcompress.targets import Argmax, Levels, PowerOfTwo, Threshold, Uniform

LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)
QUANTIZERS = [
    Argmax(),
    Uniform(4, from_logits=True),
    PowerOfTwo(from_logits=True),
    Threshold(from_logits=True),
    Levels(8),
]


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=lambda q: type(q).__name__)
def test_kept_codes_decode_to_what_is_computed_on_the_fly(quantizer, base, student, digits):
    x = digits[0][:300]
    targets = tfc.quantized_targets(base, x, quantizer, batch_size=128)
    assert targets.codes.dtype == np.uint8
    assert targets.nbytes == (300 if isinstance(quantizer, Argmax) else 3000)
    derived = tfc.DerivedModel(base, student(), targets.quantizer)
    np.testing.assert_allclose(targets.decode(), derived.targets(x), atol=1e-6)
    assert Levels(8) == QUANTIZERS[-1]  # the one that was calibrated is a copy


def test_wide_codes_take_two_bytes(base, digits):
    assert tfc.quantized_targets(base, digits[0][:8], Uniform(12, from_logits=True)).codes.dtype == np.uint16


def test_a_student_of_kept_targets_learns_and_one_of_shuffled_targets_does_not(base, student, digits):
    x, _, x_test, y_test = digits
    targets = tfc.quantized_targets(base, x)
    wrong = tfc.QuantizedTargets(
        np.random.default_rng(0).permutation(targets.codes), Argmax(), 10, targets.sizes, targets.checksums
    )
    accuracies = []
    for source in (targets, wrong):
        model = student()
        model.compile(keras.optimizers.Adam(5e-3), LOSS, jit_compile=False)
        model.fit(source.attach(x, batch_size=64, shuffle=True, seed=0), epochs=5, verbose=0)
        accuracies.append(float(np.mean(model.predict(x_test, verbose=0).argmax(-1) == y_test)))
    reference = float(np.mean(base.predict(x_test, verbose=0).argmax(-1) == y_test))
    assert accuracies[0] > reference - 0.05 and accuracies[1] < 0.4


def test_every_epoch_shows_all_pairs_in_another_order(base, digits):
    x = digits[0][:100]
    targets = tfc.quantized_targets(base, x)
    pairs = targets.attach(x, batch_size=32, shuffle=True, seed=0)
    expected = dict(zip(map(bytes, x), targets.codes))
    orders = []
    for _ in range(2):
        seen = [pair for k in range(len(pairs)) for pair in zip(*pairs[k])]
        assert all(expected[bytes(a)] == t.argmax() for a, t in seen) and len(seen) == 100
        orders.append([bytes(a) for a, _ in seen])
        pairs.on_epoch_end()
    assert orders[0] != orders[1] and {*orders[0]} == {*orders[1]} == {*expected}


class Batches(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return -(-len(self.x) // 40)

    def __getitem__(self, k):
        part = self.x[40 * k : 40 * k + 40]
        return part, np.zeros(len(part)), np.full(len(part), 0.5)


def test_datasets_keep_their_kind_lose_their_labels_and_keep_their_weights(base, digits):
    x = digits[0][:100]
    whole = tfc.quantized_targets(base, x)
    for source in (Batches(x), tf.data.Dataset.from_tensor_slices((x, np.zeros(100), np.full(100, 0.5))).batch(40)):
        targets = tfc.quantized_targets(base, source)
        np.testing.assert_array_equal(targets.codes, whole.codes)
        paired = targets.attach(source)
        batches = list(paired) if isinstance(paired, tf.data.Dataset) else [paired[k] for k in range(len(paired))]
        assert isinstance(paired, (tf.data.Dataset, keras.utils.PyDataset)) and len(batches) == 3
        np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), x)
        np.testing.assert_array_equal(np.concatenate([b[1] for b in batches]), whole.decode())
        assert {float(w) for b in batches for w in b[2]} == {0.5}


def test_structures_of_inputs_and_outputs():
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((3,), name="b")}
    h = keras.layers.Add()(list(inputs.values()))
    model = keras.Model(inputs, [keras.layers.Dense(4)(h), keras.layers.Dense(2, activation="sigmoid")(h)])
    x = {name: np.random.default_rng(0).normal(size=(50, 3)).astype("float32") for name in "ab"}
    targets = tfc.quantized_targets(model, x, [Argmax(), Threshold(from_logits=False)], batch_size=20)
    assert [codes.shape for codes in targets.codes] == [(50,), (50, 2)]
    first = targets.attach(x, batch_size=20)[0]
    assert first[0]["b"].shape == (20, 3) and [t.shape for t in first[1]] == [(20, 4), (20, 2)]
    (_, made), *_ = targets.attach(tf.data.Dataset.from_tensor_slices(x).batch(20))
    for a, b in zip(made, first[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_inputs_or_another_order_are_noticed(base, digits):
    x = digits[0][:100]
    targets = tfc.quantized_targets(base, x, batch_size=40)
    for wrong in (x[::-1], x[:80], np.concatenate([x, x]), digits[0][100:200]):
        with pytest.raises(ValueError, match="must be the inputs that the targets were made of"):
            targets.attach(wrong)
    rolling = targets.attach(Batches(np.roll(x, 1, axis=0)))
    with pytest.raises(ValueError, match="another batch 0.*shuffle what `attach` returns"):
        rolling[0]
    with pytest.raises(ValueError, match="another batch 0"):
        targets.attach(tf.data.Dataset.from_tensor_slices(x).shuffle(100, seed=0).batch(40))
    with pytest.raises(ValueError, match="`x` must be arrays or a PyDataset, or"):
        targets.attach(iter([x]))
    with pytest.raises(ValueError, match="`x` must hold at least one sample"):
        tfc.quantized_targets(base, x[:0])


def test_pairs_of_a_batch():
    assert inputs_of((1, 2, 3)) == 1 and inputs_of([1, 2]) == [1, 2]
    assert checksum([np.ones(3), np.zeros(2)]) != checksum([np.zeros(2), np.ones(3)])
