"""Budgets on the scikit-learn digits with a network of three dense layers, and what training leaves behind."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
from tfcompress.callbacks import Budget

PIXELS, LABELS = load_digits(return_X_y=True)
X, LABELS = (PIXELS[:1792] / 16).astype("float32"), LABELS[:1792]
SIZES = (24, 16)
EPOCHS = 6
SPEED = {"steps_per_execution": 2}


def network(gates: bool = False, transform=tfc.DifferentiableBits) -> keras.Model:
    """64 inputs, two hidden layers, ten classes; trained for a moment, and compressed."""
    keras.utils.set_random_seed(0)
    stack = [layers.Dense(size, activation="relu", name=f"hidden{k}") for k, size in enumerate(SIZES)]
    model = keras.Sequential([keras.Input((64,)), *stack, layers.Dense(10, name="head")])
    small = tfc.compress(model, {".*": {"kernel": transform(), "output": transform()}})
    tfc.calibrate(small, X[:256])
    return tfc.edits.insert_bottlenecks(small, kl=0.0, seed=0, speed=60.0) if gates else small


def fit(model: keras.Model, *used, epochs: int = EPOCHS, first: int = 0, **options) -> keras.Model:
    if options or not model.compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"], **options)
    model.fit(X, LABELS, batch_size=64, epochs=epochs, initial_epoch=first, shuffle=False, verbose=0, callbacks=used)
    return model


FLOAT = (64 * 24 + 24 * 16 + 16 * 10) * 32 * 32
"""Bit operations of the network in floats."""


def widths(model: keras.Model) -> list[int]:
    """Of the three kernels, then of the two hidden maps."""
    facts = tfc.costs.Facts(model)
    rows = facts.rows(facts.widths(), facts.gone())
    return [*(int(row.weight_bits) for row in rows), *(int(row.input_bits) for row in rows[1:])]


@pytest.fixture(scope="module")
def trained() -> dict[float, tuple[keras.Model, Budget]]:
    """Limit -> model and callback, with gates."""
    made = {}
    for share in (0.03, 0.015, 0.008):
        budget = Budget(share * FLOAT)
        made[share] = (fit(network(gates=True), budget, **SPEED), budget)
    return made


def test_hard_budgets_are_met_and_used(trained):
    found = {share: tfc.costs.bops(model) / FLOAT for share, (model, _) in trained.items()}
    assert all(0.8 * share <= cost <= share for share, cost in found.items()), found
    for share, (model, budget) in trained.items():
        assert tfc.costs.bops(tfc.edits.remove_channels(model)) == pytest.approx(found[share] * FLOAT)
        assert budget.rows[-1]["cost"] == pytest.approx(found[share] * FLOAT) and budget.rows[-1]["pressure"] == 0


def test_tighter_budgets_are_cheaper_and_all_still_work(trained):
    accuracies = [model.evaluate(X, LABELS, verbose=0)[1] for model, _ in trained.values()]
    spent = [tfc.costs.bops(model) for model, _ in trained.values()]
    assert spent == sorted(spent, reverse=True) and accuracies[0] > 0.9 and min(accuracies) > 0.75


def test_widths_are_mixed_and_channels_gone(trained):
    for model, _ in trained.values():
        assert len({*widths(model)}) >= 2
    kept = [[int(gate.keep.sum()) for gate in tfc.costs.Facts(model).gates()] for model, _ in trained.values()]
    assert sum(kept[-1]) < sum(SIZES) and all(sum(a) >= sum(b) for a, b in itertools.pairwise(kept))


def test_what_was_learned_is_whole_and_free_at_the_end(trained):
    for model in (
        trained[share][0] for share in (0.03, 0.015)
    ):  # training calls draw numbers; 0.008 is looked at below
        facts = tfc.costs.Facts(model)
        assert facts.widths(soft=True) == facts.widths()
        for transform in facts.learned():
            assert int(transform.fixed) == transform.width == pytest.approx(float(transform.soft_bits), abs=1e-3)
            assert float(transform.price) == 0
        soft, hard = np.array(model(X[:64], training=True)), np.array(model(X[:64]))
        lowest = hard == hard.min()  # the code that only inference has
        np.testing.assert_allclose(soft[~lowest], hard[~lowest], rtol=1e-5, atol=1e-5)  # no noise is left


def test_prices_rise_while_the_cost_is_above_the_limit_and_bits_fall(trained):
    _, budget = trained[0.008]
    costs, pressures = ([row[key] for row in budget.rows[:-1]] for key in ("cost", "pressure"))
    assert costs[0] > 5 * budget.limit and costs[-1] < 2 * budget.limit and min(pressures) >= 0
    assert pressures[0] == pytest.approx(0.3 * np.log(costs[0] / budget.limit), rel=0.2)


def test_without_the_callback_the_budget_is_missed():
    """The same network, trained as long at the same rate: bits and channels stay, as nothing pays for them."""
    model = fit(network(gates=True), epochs=2)
    assert tfc.costs.bops(model) > 0.05 * FLOAT and min(widths(model)) >= 7
    assert all(gate.keep.all() for gate in tfc.costs.Facts(model).gates())


@pytest.mark.slow
def test_training_resumed_is_training_never_interrupted(trained, tmp_path):
    """Cut before and behind ``freeze``, in the middle between two settings of the prices."""
    share, model = 0.008, None
    for first, last in ((0, 2), (2, 5), (5, EPOCHS)):
        if model is not None:
            model.save(tmp_path / "cut.keras")
            model = keras.models.load_model(tmp_path / "cut.keras")
        budget = Budget(share * FLOAT, freeze=int(0.7 * 28 * EPOCHS))
        model = fit(model or network(gates=True), budget, epochs=last, first=first, **({} if first else SPEED))
    whole, _ = trained[share]
    for a, b in zip(whole.variables, model.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)
    assert widths(whole) == widths(model)


@pytest.mark.slow
def test_bayesian_bits_meet_a_budget():
    model = fit(network(transform=lambda: tfc.BayesianBits(seed=0)), Budget(0.02 * FLOAT), epochs=8)
    assert 0.7 * 0.02 <= tfc.costs.bops(model) / FLOAT <= 0.02 and {*widths(model)} <= {2, 4, 8}
    assert model.evaluate(X, LABELS, verbose=0)[1] > 0.85


def begun(model: keras.Model, budget: Budget) -> keras.Model:
    """The first step of a training, without the training."""
    model.compile("sgd", "mse")
    budget.set_model(model)
    budget.set_params({"steps": 10, "epochs": 10})
    budget.on_train_begin()
    budget.on_epoch_begin(0)
    budget.on_train_batch_begin(0)
    return model


@pytest.mark.slow
def test_a_cost_of_the_users_own_is_met_by_what_it_depends_on():
    """Open channels, told by a function; widths cost nothing in multiplications, have no price, and stay."""
    asked = []

    def channels(model):
        asked.append(sum(int(gate.keep.sum()) for gate in tfc.costs.Facts(model).gates()))
        return float(asked[-1])

    model = begun(network(gates=True), Budget(25, channels, surrogate=tfc.costs.macs))
    facts = tfc.costs.Facts(model)
    assert asked == [40] and all(float(gate.kl) > 0 for gate in facts.gates())
    assert all(float(transform.price) == 0 for transform in facts.learned())
    begun(model, Budget(25, channels, surrogate=tfc.costs.macs, freeze=0))
    assert 20 <= channels(model) <= 25 and widths(model) == [8] * 5


def test_prices_are_the_slopes_of_the_logarithm_of_the_cost():
    """All bits of a kernel cost what its layer costs, those of a map what the layers cost that read it."""
    budget = Budget(1e4)
    model = begun(network(gates=True), budget)
    pressure = budget.rows[0]["pressure"]
    assert pressure == pytest.approx((0.3 + 0.3 * 10 / 70) * np.log(budget.rows[0]["cost"] / 1e4), rel=1e-6)
    shares = np.array([64 * 24, 24 * 16, 16 * 10]) / (64 * 24 + 24 * 16 + 16 * 10)
    kernels = [model.get_layer(name).transforms["kernel"] for name in ("hidden0", "hidden1", "head")]
    np.testing.assert_allclose([float(t.price) for t in kernels], pressure * shares / 8, rtol=1e-5)
    maps = [model.get_layer(name) for name in ("hidden0_output", "hidden1_output")]
    np.testing.assert_allclose([float(t.price) for t in maps], pressure * shares[1:] / 8, rtol=1e-5)
    gates = [model.get_layer(f"hidden{k}_bottleneck") for k in (0, 1)]
    behind = pressure * (shares[:2] + shares[1:]) / SIZES / 4.5
    np.testing.assert_allclose([float(gate.kl) for gate in gates], behind, rtol=1e-5)


@pytest.mark.slow
def test_bytes_of_the_weights_are_a_budget_and_maps_keep_their_bits():
    model = begun(network(), Budget(600, tfc.costs.weight_bytes, freeze=0))
    assert 480 <= tfc.costs.weight_bytes(model) <= 600
    small = [t for layer in model.layers for t in getattr(layer, "transforms", {}).values()]
    assert max(t.width for t in small) < 6 < min(t.width for t in model.layers if isinstance(t, tfc.Transform))


def test_a_budget_that_cannot_be_met_is_a_warning():
    with pytest.warns(UserWarning, match="The budget of 1000 is not met"):
        begun(network(), Budget(1000, freeze=0))


def test_nothing_to_price_is_an_error():
    plain = keras.Sequential([keras.Input((64,)), layers.Dense(10)])
    with pytest.raises(ValueError, match="must have something to price"):
        fit(plain, Budget(1.0), epochs=1)


@pytest.mark.parametrize("arguments", [{"limit": 0}, {"rate": 0}, {"damping": -1}, {"freeze": 1.5}, {"every": 0}])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must"):
        Budget(**{"limit": 1.0, **arguments})
