import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfcompress as tfc
from tfcompress.structure import slots


def chain(toys, bits=3):
    """Two dense layers with coarse outputs, so that the second sees what the first one rounds."""
    model = keras.Sequential(
        [
            keras.Input((4,), name="x"),
            layers.Dense(6, activation="relu", name="first"),
            layers.Dropout(0.5),
            layers.Dense(3, name="second"),
        ]
    )
    return tfc.compress(model, {".*": {"output": toys.Rounding(bits)}})


def steps(model):
    return {layer.name: float(slots.numpy(layer.step).item()) for layer in model.layers if hasattr(layer, "step")}


def test_each_transform_sees_what_the_calibrated_ones_before_it_deliver(toys):
    model = chain(toys)
    x = toys.rng.normal(size=(40, 4)).astype("float32")
    tfc.calibrate(model, x, batch_size=16)

    def rounded(x, name):
        layer = model.get_layer(name)
        np.testing.assert_allclose(steps(model)[name], np.abs(x).max() / layer.levels()[1], rtol=1e-5)
        return np.array(layer(x))

    hidden = rounded(np.array(model.get_layer("first")(rounded(x, "x_output"))), "first_output")
    rounded(np.array(model.get_layer("second")(hidden)), "second_output")


def batches(x, y):
    yield from ((x[k : k + 8], y[k : k + 8]) for k in range(0, len(x), 8))


class Sequence(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 5

    def __getitem__(self, k):
        return self.x[8 * k : 8 * k + 8], None


def test_every_kind_of_data_gives_the_same_calibration(toys):
    x = toys.rng.normal(size=(40, 4)).astype("float32")
    kinds = [
        x,
        x.astype("float64"),
        [x],
        {"x": x},
        tf.constant(x),
        tf.data.Dataset.from_tensor_slices(x).batch(8),
        tf.data.Dataset.from_tensor_slices((x, x)).batch(16),
        batches(x, x),
        ([batch] for batch, _ in batches(x, x)),
        Sequence(x),
    ]
    model = chain(toys)
    found = []
    for data in kinds:
        tfc.calibrate(model, data)
        found.append(steps(model))
    assert all(other == pytest.approx(found[0], rel=1e-5) for other in found)


def test_no_more_samples_are_read_than_asked_for(toys):
    model = chain(toys)
    x = np.ones((64, 4), "float32")
    x[20:] = 100.0
    tfc.calibrate(model, x, batch_size=8, samples=20)
    assert steps(model)["x_output"] == pytest.approx(1 / 3)

    def endless():
        while True:
            yield x[:8]

    tfc.calibrate(model, endless(), samples=100)


def test_several_inputs_come_as_lists_or_by_name(toys):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    model = tfc.compress(keras.Model([a, b], layers.Add(name="add")([a, b])), {".*": {"output": toys.Rounding(8)}})
    ones, twos = np.ones((4, 3), "float32"), np.full((4, 3), 2.0, "float32")
    tfc.calibrate(model, [ones, twos])
    by_list = steps(model)
    tfc.calibrate(model, {"b": twos, "a": ones})
    assert steps(model) == by_list == pytest.approx({"a_output": 1 / 127, "b_output": 2 / 127, "add_output": 3 / 127})


def test_transform_on_two_tensors_is_calibrated_on_both(toys):
    tower = keras.Sequential([keras.Input((None, 2)), layers.Conv1D(2, 1, use_bias=False, name="conv")], name="tower")
    tower.get_layer("conv").kernel.assign(np.eye(2)[None])
    a, b = keras.Input((4, 2), name="a"), keras.Input((6, 2), name="b")
    model = tfc.compress(keras.Model([a, b], [tower(a), tower(b)]), {"conv": {"output": toys.Rounding(8)}})
    tfc.calibrate(model, [np.ones((2, 4, 2), "float32"), np.full((2, 6, 2), 5.0, "float32")])
    assert steps(model.get_layer("tower")) == pytest.approx({"conv_output": 5 / 127})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.ones((0, 4), "float32"), "at least one sample"),
        (iter(()), "at least one sample"),
        (np.ones((8, 5), "float32"), r"Input 'x' must get batches of shape \(None, 4\). Received: shape=\(8, 5\)"),
        (tf.data.Dataset.from_tensor_slices(np.ones((8, 4))), r"single samples needs .batch\(32\)"),
        ([np.ones((8, 4)), np.ones((8, 4))], r"one array for each of the inputs \['x'\]. Received: 2 arrays"),
        ({"y": np.ones((8, 4))}, r"inputs \['x'\]. Received: \['y'\]"),
        (17, "`x` must be arrays or an iterable of batches. Received: int"),
    ],
)
def test_data_that_does_not_fit_is_refused(data, message, toys):
    with pytest.raises(ValueError, match=message):
        tfc.calibrate(chain(toys), data)


def test_model_without_output_transforms_stays_as_it_is(toys):
    model = tfc.compress(keras.Sequential([keras.Input((4,)), layers.Dense(3)]), {".*": {"kernel": toys.Rounding()}})
    before = model.get_weights()
    tfc.calibrate(model, np.ones((2, 4), "float32"))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
