"""The callbacks that follow thresholds over the epochs: ``Trail`` and ``WarnStall``."""

import json

import keras
import numpy as np
import pytest

from tfcompress import (
    AnalyticThreshold,
    Chain,
    ConstantSparsity,
    LearnedThreshold,
    MagnitudePruning,
    callbacks,
    compress,
)


def network(first, second=None):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, name="one"), keras.layers.Dense(2, name="two")])
    return compress(model, {"one": {"kernel": first}, **({"two": {"kernel": second}} if second else {})})


def fit(model, *used, epochs=1, first=0):
    x = np.random.default_rng(0).normal(size=(48, 8))
    if not model.compiled:
        model.compile(keras.optimizers.Adam(0.01), "mse")
    options = {"initial_epoch": first, "validation_data": (x, x[:, 2:4]), "verbose": 0, "callbacks": list(used)}
    model.fit(x, x[:, :2], batch_size=8, epochs=epochs, **options)
    return model


def kernel(model, name):
    return np.array(model.get_layer(name).effective("kernel"))


def test_each_epoch_leaves_a_row_and_a_model_that_is_what_the_row_says(tmp_path):
    trail = callbacks.Trail(tmp_path / "trail")
    model = fit(network(LearnedThreshold(0.01), MagnitudePruning(0.5)), trail, epochs=3)
    assert [row["epoch"] for row in trail.rows] == [0, 1, 2]
    for row in trail.rows:
        loaded = keras.models.load_model(row["file"])
        zeros = {name: kernel(loaded, name) == 0 for name in ("one", "two")}
        assert row["sparsity"] == np.mean(np.concatenate([np.ravel(z) for z in zeros.values()]))
        assert sorted(row["layers"].values()) == sorted(np.mean(z) for z in zeros.values())
        assert row["layers"]["two/kernel"] == 0.5
        assert {"loss", "val_loss"} <= row["metrics"].keys()
    np.testing.assert_array_equal(kernel(loaded, "one"), kernel(model, "one"))
    assert trail.rows[0]["sparsity"] < trail.rows[2]["sparsity"]
    assert sorted(f.name for f in (tmp_path / "trail").iterdir()) == [
        "epoch_001.keras", "epoch_002.keras", "epoch_003.keras", "trail.json",
    ]  # fmt: skip


def test_resumed_training_adds_to_the_trail_and_training_anew_replaces_it(tmp_path):
    model = fit(network(LearnedThreshold(0.01)), callbacks.Trail(tmp_path), epochs=2)
    resumed = callbacks.Trail(tmp_path)
    fit(model, resumed, epochs=3, first=2)
    assert [row["epoch"] for row in resumed.rows] == [0, 1, 2]
    assert json.loads((tmp_path / "trail.json").read_text()) == resumed.rows
    anew = callbacks.Trail(tmp_path)
    fit(network(LearnedThreshold(0.01)), anew)
    assert [row["epoch"] for row in anew.rows] == [0]


def test_the_best_model_of_enough_zeros_is_picked(tmp_path):
    trail = callbacks.Trail(tmp_path)
    trail.rows = [
        {"sparsity": s, "metrics": {"val_accuracy": a, "val_loss": 1 - a}} for s, a in ((0.1, 9), (0.5, 7), (0.6, 8))
    ]
    assert trail.best(0.5)["sparsity"] == 0.6 and trail.best(0.0)["sparsity"] == 0.1
    assert trail.best(0.5, "val_loss", "min")["sparsity"] == 0.6
    for arguments in ((0.7,), (0.5, "accuracy"), (0.5, "val_loss", "least")):
        with pytest.raises(ValueError, match=r"at most 0\.600.*val_accuracy.*Received: "):
            trail.best(*arguments)


def stalled():
    """A threshold with next to no width, in the gap between small and large weights."""
    model = network(Chain([MagnitudePruning(ConstantSparsity(0.1)), LearnedThreshold(temperature=1e-6)]))
    weight = model.get_layer("one").layer.kernel
    signs = np.random.default_rng(1).choice([-1, 1], weight.shape)
    weight.assign(signs * np.where(np.arange(8)[:, None] < 2, 0.1, 1.0))
    threshold = model.get_layer("one").transforms["kernel"].transforms[1]
    threshold.ratio.assign(0.25 / float(threshold.unit))
    return model


def test_a_stall_below_the_target_is_told_once_with_the_remedy():
    with pytest.warns(
        UserWarning, match=r"'one/kernel' has stalled at 25\.0% zeros.*50\.0%.*Raise `temperature`"
    ) as told:
        fit(stalled(), callbacks.WarnStall(0.5), epochs=3)
    assert sum(w.category is UserWarning for w in told) == 1


@pytest.mark.parametrize("case", ["target met", "still moving", "frozen", "another technique"])
def test_no_warning_without_a_stall(case):
    makers = {
        "target met": stalled,
        "still moving": lambda: network(LearnedThreshold(1e-5)),
        "frozen": lambda: network(AnalyticThreshold(freeze_step=0)),
        "another technique": lambda: network(MagnitudePruning(0.1)),
    }
    fit(makers[case](), callbacks.WarnStall(0.2 if case == "target met" else 0.9))


def test_a_model_without_transforms_and_a_target_out_of_range_are_refused(tmp_path):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    for used in (callbacks.Trail(tmp_path), callbacks.WarnStall(0.5)):
        with pytest.raises(ValueError, match="must have transforms on weights"):
            fit(model, used)
    with pytest.raises(ValueError, match="`target`.*Received: target=1.5"):
        callbacks.WarnStall(1.5)
