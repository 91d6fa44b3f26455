"""What a Keras model costs on a machine, and what prices are made from: two convolutions on the scikit-learn digits."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe
from tfcompress.callbacks import Budget
from tflite_export import machine_cost
from tflite_export.machine_cost import QUANTITIES
from tflite_export.npu import Cost

X = (load_digits().images[:32, ..., None] / 16).astype("float32")


def machine(base, name, **memory):
    chip = tfe.npu.load(base)
    return replace(chip, name=name, memory=replace(chip.memory, **memory))


ARRAY = machine("bit-serial", "array", dram_bytes_per_cycle=1e9, dram_latency_cycles=0, sram_bytes_per_cycle=1e9)
"""Where the array takes all of the time, and widths are what it takes time for."""

MEMORY = machine("bit-serial", "memory", dram_bytes_per_cycle=0.05, dram_latency_cycles=0, dram_burst_bytes=1)
"""Where weights take all of the time."""

WIDE = machine("systolic-16-os", "wide", dram_bytes_per_cycle=1e9, dram_latency_cycles=0, sram_bytes_per_cycle=1e9)
"""Where all widths up to 8 take the same time."""


def network(gates=False):
    keras.utils.set_random_seed(0)
    convolutions = [
        layers.Conv2D(32, 3, padding="same", activation="relu", name="first"),
        layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="second"),
    ]
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), *convolutions, layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10, name="head")]
    )
    bits = tfc.DifferentiableBits()
    small = tfc.compress(model, {".*": {"kernel": bits, "output": bits}})
    tfc.calibrate(small, X)
    return tfc.edits.insert_bottlenecks(small, kl=0.0, seed=0) if gates else small


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def gated():
    """Of 32 channels each gate leaves the first 16."""
    made = network(gates=True)
    for gate in tfc.costs.Facts(made).gates():
        gate.open.assign(np.arange(32) < 16)
        gate.fixed.assign(1.0)
    return made


def rows(model):
    facts = tfc.costs.Facts(model)
    return facts.rows(facts.widths(), facts.gone())


@pytest.fixture(scope="module")
def costs():
    """On each machine; what they have seen of a model they remember."""
    return {chip.name: Cost(chip, representative_dataset=X) for chip in (ARRAY, MEMORY, WIDE)}


def test_the_cost_is_the_estimate_of_the_exported_file(model, costs):
    blob = tfe.convert(model, X)
    for chip in (ARRAY, MEMORY, WIDE):
        estimate = tfe.npu.estimate(blob, chip)
        assert costs[chip.name](model) == estimate.totals["cycles_total"]
    assert {column for columns in QUANTITIES.values() for column in columns} < estimate.totals.keys()


def test_closed_channels_are_not_in_the_file(gated):
    cut, cost = tfe.convert(tfc.edits.remove_channels(gated), X), Cost("bricks-16x16", "energy_pj", X)
    assert cost(gated) == pytest.approx(tfe.npu.estimate(cut, "bricks-16x16").totals["energy_total_uj"] * 1e6)
    assert cost.near(gated, rows(gated)).count(rows(gated)) == pytest.approx(cost(gated), rel=1e-12)


def test_the_surrogate_has_the_real_value_where_the_model_is(model, costs):
    for cost in costs.values():
        assert cost.near(model, rows(model)).count(rows(model)) == pytest.approx(cost(model), rel=1e-12)


@pytest.mark.parametrize("chip", ["array", "memory"])
def test_the_surrogate_tells_what_half_of_the_bits_will_cost(model, costs, chip):
    cost, before = costs[chip], rows(model)
    near, kernel = cost.near(model, before), model.get_layer("second").transforms["kernel"]
    kernel.fixed.assign(4.0)
    after, real = rows(model), cost(model)
    kernel.fixed.assign(0.0)
    assert [row.weight_bits for row in after] == [8, 4, 8]
    assert real < 0.8 * cost(model) and near.count(after) == pytest.approx(real, rel=0.05)


def saved(cost, model, **shares):
    """What the surrogate saves if these numbers of the second convolution become so many times theirs."""
    there = rows(model)
    near, now = cost.near(model, there), there[1]
    changed = replace(now, **{name: share * getattr(now, name) for name, share in shares.items()})
    return 1 - near.count([there[0], changed, there[2]]) / near.count(there)


def test_a_memory_bound_machine_asks_no_price_for_bits_of_maps(model, costs):
    array, memory = costs["array"], costs["memory"]
    assert saved(array, model, input_bits=0.5) == pytest.approx(saved(array, model, weight_bits=0.5), rel=0.05)
    assert saved(memory, model, input_bits=0.5) == 0 < 0.3 < saved(memory, model, weight_bits=0.5)


def test_a_machine_of_wide_multipliers_asks_a_price_for_channels_only(model, costs):
    cost = costs["wide"]
    assert saved(cost, model, input_bits=0.5, weight_bits=0.5) == 0
    assert saved(cost, model, kept_outputs=0.5) > 0.2


def test_pooling_costs_what_the_channels_in_front_of_it_do(model, costs):
    cost = costs["array"]
    pool = next(row["cycles_total"] for row in cost.estimate(model).rows if row["op"] == "MAX_POOL_2D")
    own = next(row["cycles_total"] for row in cost.estimate(model).rows if "second" in row["layer"])
    assert saved(cost, model, kept_outputs=0.5) * cost(model) == pytest.approx((pool + own) / 2, rel=0.02)


def test_a_state_that_was_seen_is_not_exported_again(model, monkeypatch):
    exports = []
    export = machine_cost.integer_graph
    monkeypatch.setattr(machine_cost, "integer_graph", lambda *args, **options: exports.append(1) or export(*args))
    cost = Cost(ARRAY, representative_dataset=X)
    kernel = model.get_layer("second").transforms["kernel"]
    first = cost(model)
    cost.near(model, rows(model))
    assert len(exports) == 1
    kernel.fixed.assign(4.0)
    assert cost(model) < first and len(exports) == 2
    kernel.fixed.assign(0.0)
    assert cost(model) == first and len(exports) == 2


def begun(model, budget):
    """The first step of a training, without the training."""
    model.compile("sgd", "mse")
    budget.set_model(model)
    budget.set_params({"steps": 10, "epochs": 10})
    budget.on_train_begin()
    budget.on_epoch_begin(0)
    budget.on_train_batch_begin(0)
    return budget


def priced(model):
    """Prices of the widths of kernels, of maps, and the open channels."""
    facts = tfc.costs.Facts(model)
    kernels = [float(kernel.transform.price) for kernel in facts.kernels]
    maps = [float(model.get_layer(f"{name}_output").price) for name in ("first", "second")]
    return kernels, maps


def test_prices_are_slopes_of_the_machine(model, costs):
    """Where weights are waited for, all bits of a kernel cost the cycles that its bytes take."""
    cost = costs["memory"]
    budget = begun(model, Budget(0.5 * cost(model), cost))
    kernels, maps = priced(model)
    row = budget.rows[0]
    assert row["cost"] == row["surrogate"] == cost(model) and row["pressure"] > 0
    assert min(kernels) > 0 == max(maps)
    cycles = np.array([9 * 32, 9 * 32 * 32, 2 * 2 * 32 * 10]) / MEMORY.memory.dram_bytes_per_cycle
    np.testing.assert_allclose(kernels, row["pressure"] * cycles / cost(model) / 8, rtol=0.01)


def test_a_budget_is_kept_in_real_cycles(model, costs):
    """All is settled at once: without a training, nothing but the rounding makes the model cheaper."""
    cost = costs["array"]
    full = cost(model)
    budget = begun(model, Budget(0.4 * full, cost, freeze=0))
    found = tfe.npu.estimate(tfe.convert(model, X), ARRAY).totals["cycles_total"]
    assert budget.rows[-1] == {"step": 0, "cost": found, "surrogate": found, "pressure": 0.0}
    assert 0.3 * full < found <= 0.4 * full
    for transform in tfc.costs.Facts(model).learned():
        transform.fixed.assign(0.0)
    assert cost(model) == full


def test_widths_that_buy_nothing_are_a_warning_that_says_what_does(model, costs):
    cost = costs["wide"]
    with pytest.warns(UserWarning, match="nothing that it learns .* changes that.*insert_bottlenecks"):
        begun(model, Budget(0.5 * cost(model), cost))


def test_errors_say_what_to_do(model):
    with pytest.raises(ValueError, match=r"`of` must be one of \['cycles'.*Received: of='joy'"):
        Cost("bit-serial", of="joy")
    with pytest.raises(ValueError, match="Received: an iterator, which can be read once"):
        Cost("bit-serial", representative_dataset=iter([X]))
    with pytest.raises(ValueError, match="bit-serial"):
        Cost("bit-cereal")
    bare = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="dense")], name="bare")
    with pytest.raises(ValueError, match=r"Model 'bare' must be one that can be exported.*representative_dataset=x"):
        Cost("bit-serial")(bare)
    with pytest.raises(ValueError, match="calibrate"):
        Cost("bit-serial")(tfc.compress(bare, {".*": {"kernel": tfc.LSQ(), "output": tfc.LSQ()}}))


def test_every_kernel_is_found_in_the_file():
    """Separable, in a model inside the model, and used twice."""
    inner = keras.Sequential([keras.Input((4, 4, 4)), layers.Conv2D(4, 1, use_bias=False), layers.ReLU()], name="inner")
    inputs, shared = keras.Input((8, 8, 3)), layers.Conv2D(4, 1, name="shared")
    x = layers.SeparableConv2D(4, 3, strides=2, padding="same", name="separable")(inputs)
    x = layers.Flatten()(shared(layers.Add()([shared(x), inner(x)])))
    each = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    there = rows(each)
    near = Cost(ARRAY, "weight_bytes", np.zeros((1, 8, 8, 3), "float32")).near(each, there)
    assert len(there) == 6
    for k, row in enumerate(there):
        fewer = [*there[:k], replace(row, weight_bits=row.weight_bits / 2), *there[k + 1 :]]
        assert near.count(fewer) < near.count(there), row.path
