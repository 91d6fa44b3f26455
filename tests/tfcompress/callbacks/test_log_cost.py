"""Costs in the logs of ``fit``, on a network of one layer."""

import keras
import numpy as np
import pytest

import tfcompress as tfc
from tfcompress.callbacks import LogCost

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")


@pytest.fixture(scope="module")
def model():
    dense = keras.layers.Dense(2, name="dense")
    small = tfc.compress(keras.Sequential([keras.Input((4,)), dense]), {".*": {"kernel": tfc.LSQ(bits=4)}})
    small.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    return small


def falling():
    """Costs 30, 20, 20, 20, ... in turn."""
    numbers = iter([30, 20])
    return lambda model: next(numbers, 20)


def fit(model, *callbacks, epochs=3, verbose=0, **options):
    return model.fit(X, X[:, :2], epochs=epochs, verbose=verbose, callbacks=list(callbacks), **options)


def test_costs_stand_beside_loss_and_metrics(model, capsys):
    history = fit(model, LogCost(bops=tfc.costs.bops, cycles=falling()), verbose=2, validation_split=0.25).history
    assert history["bops"] == [4 * 2 * 4 * 32] * 3 and history["cycles"] == [30, 20, 20]
    assert {"loss", "mae", "val_loss"} < history.keys() and all(len(column) == 3 for column in history.values())
    assert capsys.readouterr().out.count("bops: 1024") == 3


def test_other_callbacks_monitor_it(model, tmp_path):
    stop = keras.callbacks.EarlyStopping(monitor="cycles", mode="min", patience=2)
    file = str(tmp_path / "{epoch}.keras")
    keep = keras.callbacks.ModelCheckpoint(file, monitor="cycles", mode="min", save_best_only=True)
    history = fit(model, LogCost(cycles=falling()), stop, keep, epochs=9).history
    assert history["cycles"] == [30, 20, 20, 20]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.keras", "2.keras"]


def test_resumed_training_goes_on_logging(model):
    log = LogCost(bops=tfc.costs.bops)
    assert fit(model, log, epochs=1).history["bops"] == fit(model, log, epochs=2, initial_epoch=1).history["bops"]


def test_a_name_that_is_taken_is_refused(model):
    with pytest.raises(ValueError, match=r"names of its own. Received: \['loss'\], which `fit` reports already"):
        fit(model, LogCost(loss=tfc.costs.bops))


@pytest.mark.parametrize("costs", [{}, {"cycles": "bit-serial"}])
def test_what_cannot_be_called_is_refused(costs):
    with pytest.raises(ValueError, match="must be given costs by name"):
        LogCost(**costs)
