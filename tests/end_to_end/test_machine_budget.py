"""Training for the cycles of a machine: limits kept, tighter ones cheaper, and without prices neither."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

pytestmark = pytest.mark.slow

PIXELS, LABELS = load_digits(return_X_y=True)
X, LABELS = (PIXELS[:1792].reshape(-1, 8, 8, 1) / 16).astype("float32"), LABELS[:1792]
EPOCHS = 6


def machine(name="bit-serial"):
    chip = tfe.npu.load(name)
    return replace(chip, memory=replace(chip.memory, dram_bytes_per_cycle=64, dram_latency_cycles=0))


def network():
    keras.utils.set_random_seed(0)
    convolutions = [
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 1)), *convolutions, layers.Flatten(), layers.Dense(10, name="head")])
    bits = tfc.DifferentiableBits()
    small = tfc.compress(model, {".*": {"kernel": bits, "output": bits}})
    tfc.calibrate(small, X[:256])
    return small


def fit(model, *callbacks, first=0, last=EPOCHS):
    if not model.compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"], steps_per_execution=4)
    options = {"epochs": last, "initial_epoch": first, "shuffle": False, "verbose": 0}
    return model.fit(X, LABELS, batch_size=64, callbacks=list(callbacks), **options).history


def deployed(model):
    return tfe.npu.estimate(tfe.convert(model), machine()).totals["cycles_total"]


@pytest.fixture(scope="module")
def full():
    return deployed(network())


@pytest.fixture(scope="module")
def trained(full):
    """Share of the cycles -> model, callback, history."""
    made = {}
    for share in (0.5, 0.3):
        model, cycles = network(), tfe.npu.Cost(machine())
        budget = tfc.callbacks.Budget(share * full, cycles)
        made[share] = model, budget, fit(model, budget, tfc.callbacks.LogCost(cycles=cycles))
    return made


def test_limits_are_kept_in_the_cycles_of_the_file_and_tighter_ones_are_cheaper(trained, full):
    spent = {share: deployed(model) / full for share, (model, _, _) in trained.items()}
    assert all(0.75 * share < cost <= share for share, cost in spent.items()), spent
    for model, budget, history in trained.values():
        assert history["cycles"][-1] == budget.rows[-1]["cost"] == deployed(model)
        assert history["accuracy"][-1] > 0.9
        assert model.evaluate(X, LABELS, verbose=0)[1] > 0.9


def test_without_prices_the_cycles_stay(full):
    """The control: the same training, in which nothing pays for a bit."""
    model = network()
    fit(model, last=2)
    assert deployed(model) > 0.8 * full


def test_the_real_cost_and_the_surrogate_fall_together_and_the_surrogate_is_softer(trained):
    _, budget, _ = trained[0.3]
    before = budget.rows[:-1]
    assert all(0.5 * row["cost"] < row["surrogate"] <= row["cost"] for row in before)
    assert before[-1]["cost"] < 0.6 * before[0]["cost"] and before[-1]["surrogate"] < 0.6 * before[0]["surrogate"]


def test_a_training_that_is_cut_and_resumed_ends_in_the_same_network(trained, full, tmp_path):
    share, steps = 0.3, 28 * EPOCHS
    model = network()
    for first, last in ((0, 2), (2, EPOCHS)):
        budget = tfc.callbacks.Budget(share * full, tfe.npu.Cost(machine()), freeze=int(0.7 * steps))
        fit(model, budget, first=first, last=last)
        model.save(tmp_path / "cut.keras")
        model = keras.models.load_model(tmp_path / "cut.keras")
    for a, b in zip(trained[share][0].variables, model.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_multipliers_that_are_wide_anyway_save_channels_and_leave_the_bits():
    model = tfc.edits.insert_bottlenecks(network(), kl=0.0, seed=0, speed=60.0)
    cycles = tfe.npu.Cost(machine("systolic-16-os"), representative_dataset=X[:8])
    limit = 0.8 * cycles(model)
    fit(model, tfc.callbacks.Budget(limit, cycles))
    facts = tfc.costs.Facts(model)
    assert min(facts.widths().values()) >= 7 and not all(gate.keep.all() for gate in facts.gates())
    cut = tfe.convert(tfc.edits.remove_channels(model), X[:8])
    assert tfe.npu.estimate(cut, machine("systolic-16-os")).totals["cycles_total"] <= limit
    assert model.evaluate(X, LABELS, verbose=0)[1] > 0.85
