import keras
import numpy as np
from keras import layers

import tfcompress as tfc
from tfcompress.grid import Grid
from tfcompress.transform import Transform


@keras.saving.register_keras_serializable("tests")
class Nearest(Transform):
    """Puts every value on the nearest entry of a codebook; ``claim`` is the codebook that it says it used."""

    def __init__(self, values, claim=None, **kwargs):
        super().__init__(**kwargs)
        self.values, self.claim = list(values), list(claim or values)

    def call(self, x, training=None):
        table = np.array(self.values, np.float32)
        return keras.ops.take(table, keras.ops.argmin(keras.ops.abs(x[..., None] - table), axis=-1))

    def grid(self, x):
        return Grid(values=np.array(self.claim, np.float32), bits=2)

    def get_config(self):
        return {**super().get_config(), "values": self.values, "claim": self.claim}


def dense(weights, transform=None):
    """The report's row of a Dense kernel with given weights."""
    weights = np.array(weights, "float32")
    model = keras.Sequential(
        [keras.Input((weights.shape[0],)), layers.Dense(weights.shape[1], use_bias=False, name="head")]
    )
    model.set_weights([weights])
    report = tfc.report(tfc.compress(model, {"head": {"kernel": transform}}) if transform else model)
    (row,) = report.rows
    return row


def test_figures_of_an_affine_weight_match_those_counted_by_hand(toys):
    weights = np.repeat([0.0, 0.0, 1.0, -3.0], 64).reshape(16, 16)
    row = dense(weights, toys.Rounding(5, axis=()))  # largest code 15: step 0.2, codes 0, 5 and -15
    assert row["layer"] == "head" and row["slot"] == "kernel" and row["shape"] == (16, 16)
    assert row["transform"] == "Rounding" and row["requested"] == 5 and row["delivered"] == 5
    assert row["zeros"] == 0.5 and row["distinct"] == 3
    assert row["bytes"] == 256 * 5 / 8
    assert row["coded_bytes"] == 256 * 1.5 / 8 + 3 * 2, "1.5 bits each; a code and its probability are two bytes"


def test_delivered_is_the_width_that_the_codes_need(toys):
    transform = toys.Rounding(8, axis=())
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, use_bias=False)])
    small = tfc.compress(model, {".*": {"kernel": transform}})
    (layer,) = small.layers
    layer.transforms["kernel"].step.assign([[1.0]])
    for codes, bits in (
        ([0, 0, 0, 0], 1),
        ([0, 1, 0, -1], 2),
        ([3, 0, 0, 0], 3),
        ([-4, 3, 0, 0], 3),
        ([4, 0, 0, 0], 4),
    ):
        layer.layer.kernel.assign(np.reshape(codes, (2, 2)))
        (row,) = tfc.report(small).rows
        assert (row["requested"], row["delivered"]) == (8, bits)


def test_codebook_counts_its_table():
    row = dense([[0.1, 0.9], [-0.8, 0.0]], Nearest([-1.0, 0.0, 1.0]))
    assert (row["requested"], row["delivered"], row["distinct"], row["zeros"]) == (None, 2, 3, 0.5)
    assert row["bytes"] == 4 * 2 / 8 + 3 * 4 == row["coded_bytes"], "a coder that gains nothing is left out"


def test_values_off_the_claimed_grid_count_as_floats():
    row = dense([[0.1, 0.9], [-0.8, 0.0]], Nearest([-1.0, 0.0, 1.0], claim=[-1.0, 0.0, 2.0]))
    assert row["delivered"] == 32 and row["bytes"] == 16


def test_floats_are_counted_as_they_are():
    row = dense(np.arange(256).reshape(16, 16) % 2)
    assert (row["transform"], row["requested"], row["delivered"]) == (None, None, 32)
    assert (row["zeros"], row["distinct"], row["bytes"]) == (0.5, 2, 1024)
    assert row["coded_bytes"] == 256 / 8 + 2 * 5


def test_every_weight_has_a_row_and_totals_are_their_sums(toys):
    inner = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm")], name="inner"
    )
    inputs = keras.Input((6, 6, 3), name="image")
    head = layers.Dense(4, name="head")
    model = keras.Model(inputs, head(head(layers.Flatten()(layers.Dropout(0.1)(inner(inputs)))[:, :4])))
    small = tfc.compress(
        model, {"conv": {"kernel": toys.Rounding(4), "output": tfc.Chain([toys.Threshold(), toys.Rounding(8)])}}
    )
    report = tfc.report(small)
    assert [(row["layer"], row["slot"]) for row in report.rows] == [
        ("inner/conv", "kernel"), ("inner/conv", "bias"), ("inner/norm", "gamma"), ("inner/norm", "beta"),
        ("inner/norm", "moving_mean"), ("inner/norm", "moving_variance"), ("inner/norm", "output"),
        ("head", "kernel"), ("head", "bias"),
    ]  # fmt: skip
    output = report.rows[6]
    assert output["transform"] == "Threshold+Rounding" and (output["requested"], output["delivered"]) == (8, 8)
    assert output["bytes"] is None
    assert report.bytes == sum(row["bytes"] or 0 for row in report.rows)
    assert report.float_bytes == 4 * model.count_params() == tfc.report(model).bytes


def test_table_is_readable(toys):
    model = keras.Sequential([keras.Input((32,)), layers.Dense(16, name="head")])
    text = str(tfc.report(tfc.compress(model, {"head": {"kernel": toys.Rounding(4)}})))
    header, line, kernel, bias, _, total = text.splitlines()
    assert header.split()[:4] == ["layer", "slot", "shape", "transform"]
    assert set(line) == {"-"}
    assert kernel.split()[:6] == ["head", "kernel", "32x16", "Rounding", "4", "4"]
    assert bias.split()[3:6] == ["-", "-", "32"]
    assert "2,112 uncompressed" in total
