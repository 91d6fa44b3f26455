import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress import GatePruning, testing
from tfcompress.structure import slots
from tfcompress.structure.gates import gate_columns


def applied(transform: GatePruning, w: np.ndarray) -> np.ndarray:
    """What a transform, calibrated on ``w``, makes of it."""
    transform.build(w.shape)
    transform.built = True
    transform.calibrate(w)
    return np.array(transform(w, training=False))


def gaussian(gates: str = "ifco", units: int = 64, rows: int = 300) -> np.ndarray:
    return np.random.default_rng(0).normal(0.0, 0.3, (rows, units * len(gates))).astype("float32")


def zeros_by_gate(w: np.ndarray, gates: str = "ifco") -> dict[str, float]:
    return {gate: float(np.mean(w[:, columns] == 0)) for gate, columns in gate_columns(w.shape[1], gates).items()}


def classifier(cell: str = "LSTM") -> keras.Model:
    """Two recurrent layers and a head."""
    keras.utils.set_random_seed(0)
    kind, inputs = getattr(layers, cell), keras.Input((5, 3))
    x = kind(4, return_sequences=True, name="first")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="head")(kind(6, name="second")(x)))


def fit(model: keras.Model, optimizer: object, epochs: int = 3) -> keras.Model:
    rng = np.random.default_rng(1)
    model.compile(optimizer, "mse")
    model.fit(rng.normal(size=(32, 5, 3)), rng.normal(size=(32, 2)), epochs=epochs, batch_size=8, verbose=0)
    return model


def test_weights_below_the_deviation_of_their_gate_become_zero() -> None:
    # columns i, i, f, f, c, c, o, o; population deviations: i 2, f 1, c 2, o 0.5
    w = np.array([[3, -1, 2, 0, 3, -1, 0.5, -0.5], [3, -1, 2, 0, 3, -1, 0.5, -0.5]], "float32")
    kept = np.array([[3, 0, 2, 0, 3, -1, 0.5, -0.5], [3, 0, 2, 0, 3, -1, 0.5, -0.5]], "float32")
    np.testing.assert_array_equal(applied(GatePruning(gates="ifco"), w), kept)
    only_output = np.array([[3, -1, 2, 0, 3, -1, 0, 0]] * 2, "float32")
    np.testing.assert_array_equal(applied(GatePruning({"o": 1.5}, gates="ifco"), w), only_output)
    np.testing.assert_array_equal(applied(GatePruning(deviations={"i": 0.5, "f": 0.5, "o": 0.6}, gates="ifco"), w)[0],
                                  [3, -1, 2, 0, 3, -1, 0, 0])  # fmt: skip


@pytest.mark.parametrize(("quality", "share"), [(1.0, 0.683), (0.5, 0.383)])
def test_gaussian_gates_lose_the_share_that_the_normal_distribution_says(quality: float, share: float) -> None:
    zeros = zeros_by_gate(applied(GatePruning(quality, gates="ifco"), gaussian()))
    for gate in "ifo":
        assert zeros[gate] == pytest.approx(share, abs=0.01)
    assert zeros["c"] == 0


def test_a_target_sparsity_is_met_and_its_quality_is_on_record() -> None:
    transform = GatePruning(sparsity={"i": 0.683, "f": 0.383}, gates="ifco")
    zeros = zeros_by_gate(applied(transform, gaussian()))
    assert zeros["i"] == pytest.approx(0.683, abs=1e-3) and zeros["f"] == pytest.approx(0.383, abs=1e-3)
    assert zeros["c"] == zeros["o"] == 0
    assert transform.implied_quality["i"] == pytest.approx(1.0, abs=0.03)
    assert transform.implied_quality["f"] == pytest.approx(0.5, abs=0.03)


def test_update_and_calibrate_of_a_gru_spare_the_candidate() -> None:
    zeros = zeros_by_gate(applied(GatePruning(gates="zrh"), gaussian("zrh")), "zrh")
    assert zeros["z"] > 0.6 and zeros["r"] > 0.6 and zeros["h"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize("optimizer", [keras.optimizers.Adam(0.02), keras.optimizers.SGD(0.1, momentum=0.9)])
def test_masks_hold_through_retraining_and_the_candidate_changes_without_zeros(cell: str, optimizer: object) -> None:
    dense = fit(classifier(cell), keras.optimizers.Adam(0.01))
    small = tfc.compress(dense, {"first|second": {"kernel": GatePruning(0.8)}})
    masks = [
        np.array(t.mask.numpy()) for name in ("first", "second") for t in small.get_layer(name).transforms.values()
    ]
    fit(small, type(optimizer).from_config(optimizer.get_config()))
    after = [
        np.array(t.mask.numpy()) for name in ("first", "second") for t in small.get_layer(name).transforms.values()
    ]
    assert all(np.array_equal(a, b) for a, b in zip(masks, after, strict=True)) and len(masks) == 4
    gates = "ifco" if cell == "LSTM" else "zrh"
    for name in ("first", "second"):
        for slot, transform in small.get_layer(name).transforms.items():
            weight = tfc.deployed(small.get_layer(name), slot)[0]
            old = slots.numpy(slots.weight(dense.get_layer(name), slot))
            np.testing.assert_array_equal(weight == 0, ~np.array(transform.mask.numpy()))
            candidate = gate_columns(weight.shape[1], gates)["c" if cell == "LSTM" else "h"]
            assert (weight[:, candidate] != 0).all() and not np.array_equal(weight[:, candidate], old[:, candidate])


@pytest.mark.slow
def test_deviations_over_all_cells_give_other_masks_than_each_weight_by_itself() -> None:
    model = classifier()
    second = model.get_layer("second").cell
    second.kernel.assign(10 * second.kernel)
    together = tfc.gate_deviations(model)
    own = tfc.compress(model, {"first|second": {"kernel": GatePruning()}})
    shared = tfc.compress(model, {"first|second": {"kernel": GatePruning(deviations=together)}})
    for layer, more in (("first", True), ("second", False)):
        zeros = [np.mean(tfc.deployed(m.get_layer(layer), "cell.kernel")[0] == 0) for m in (own, shared)]
        assert zeros[1] > zeros[0] if more else zeros[1] < zeros[0]


def test_deviations_are_those_of_the_union_of_the_columns() -> None:
    model = classifier()
    cells = [model.get_layer(name).cell for name in ("first", "second")]
    parts = [w.numpy()[:, : cell.units] for cell in cells for w in (cell.kernel, cell.recurrent_kernel)]
    assert tfc.gate_deviations(model)["i"] == pytest.approx(np.std(np.concatenate([p.ravel() for p in parts])))
    one = tfc.gate_deviations(model, layers="first", slot="recurrent_kernel")
    assert one["i"] == pytest.approx(np.std(model.get_layer("first").cell.recurrent_kernel.numpy()[:, :4]))
    with pytest.raises(ValueError, match="matches neither among"):
        tfc.gate_deviations(model, layers="head")


def test_rounds_prune_more_as_the_factor_rises_and_never_give_back() -> None:
    w = gaussian()
    transform = GatePruning(0.5, gates="ifco")
    first = applied(transform, w) == 0
    transform.factor.assign(2.0)
    transform.update(w)
    second = np.array(transform(w, training=False)) == 0
    assert (second | ~first).all() and second.sum() > 1.3 * first.sum()
    transform.factor.assign(0.0)
    transform.update(w)
    np.testing.assert_array_equal(np.array(transform(w, training=False)) == 0, second)


@pytest.mark.slow
def test_an_untrained_model_is_pruned_at_the_step_that_is_asked_for() -> None:
    small = tfc.compress(classifier(), {"second": {"recurrent_kernel": GatePruning(begin_step=4)}})
    (transform,) = small.get_layer("second").transforms.values()
    fit(small, keras.optimizers.Adam(0.01), epochs=1)
    assert transform.mask.numpy().all()
    fit(small, keras.optimizers.Adam(0.01), epochs=1)
    zeros = zeros_by_gate(tfc.deployed(small.get_layer("second"), "cell.recurrent_kernel")[0])
    assert min(zeros[gate] for gate in "ifo") > 0.3 and zeros["c"] == 0


def test_biases_and_cells_inside_of_wrappers_and_stacks_are_reached_by_slots() -> None:
    inputs = keras.Input((5, 3))
    bidirectional = layers.Bidirectional(layers.LSTM(4), name="both")(inputs)
    stack = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], name="stack")(inputs)
    model = keras.Model(inputs, layers.Concatenate()([bidirectional, stack]))
    small = tfc.compress(model, {"both|stack": {"kernel": GatePruning()}})
    found = {slot: t.gates for name in ("both", "stack") for slot, t in small.get_layer(name).transforms.items()}
    kernels = ("kernel", "recurrent_kernel")
    assert found == {
        **{f"{side}_layer.cell.{kernel}": "ifco" for side in ("forward", "backward") for kernel in kernels},
        **{f"cell.cells.0.{kernel}": "ifco" for kernel in kernels},
        **{f"cell.cells.1.{kernel}": "zrh" for kernel in kernels},
    }


def test_gates_without_spread_are_left_alone_with_a_warning() -> None:
    w = np.full((4, 8), 0.5, "float32")
    with pytest.warns(UserWarning, match=r"gates \['i', 'f', 'o'\] hardly differ"):
        np.testing.assert_array_equal(applied(GatePruning(gates="ifco"), w), w)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quality": {"c": 1.0}}, "must leave out the candidate gate"),
        ({"quality": -1.0}, "must be at least 0"),
        ({"sparsity": 1.0}, "at least 0 and below 1.0"),
        ({"quality": 1.0, "sparsity": 0.5}, "Either `quality` or `sparsity`"),
        ({"begin_step": -1}, "`begin_step` must be at least 0"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GatePruning(**arguments)


def test_other_layers_and_unknown_gates_are_refused_by_name() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(8, name="dense")])
    with pytest.raises(ValueError, match="must be on a kernel of an LSTM or GRU"):
        tfc.compress(model, {"dense": {"kernel": GatePruning()}})
    with pytest.raises(ValueError, match=r"must speak of the gates \['z', 'r', 'h'\]. Received: \['f'\]"):
        tfc.compress(classifier("GRU"), {"first": {"kernel": GatePruning({"f": 1.0})}})


def test_it_is_a_transform_like_any_other() -> None:
    testing.check_transform(lambda: GatePruning(0.8, gates="ifco"), shape=(8, 8))
