import re

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.structure import slots
from tfcompress.transform import Transform


def small_cnn():
    """conv, batch norm and ReLU (a group), then a mover, then two dense layers."""
    return keras.Sequential(
        [
            keras.Input((6, 6, 3), name="image"),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.Flatten(name="flat"),
            layers.Dense(5, activation="tanh", name="hidden"),
            layers.Dense(3, activation="sigmoid", name="head"),
        ]
    )


def transforms(layer):
    return layer.transforms if isinstance(layer, tfc.Compressed) else {}


def test_rules_apply_in_order_and_the_later_one_wins(toys):
    small = tfc.compress(
        small_cnn(),
        {
            ".*": {"kernel": toys.Rounding(8), "bias": toys.Rounding(16)},
            "h.*": {"kernel": toys.Rounding(2)},
            "head": {"bias": None},
        },
    )
    bits = {layer.name: {slot: t.bits for slot, t in transforms(layer).items()} for layer in small.layers}
    assert bits["conv"] == {"kernel": 8, "bias": 16}
    assert bits["hidden"] == {"kernel": 2, "bias": 16}
    assert bits["head"] == {"kernel": 2}
    assert [layer.name for layer in small.layers] == [layer.name for layer in small_cnn().layers]


def test_model_is_copied_with_its_weights_and_left_alone(toys):
    model = small_cnn()
    x = toys.rng.normal(size=(4, 6, 6, 3))
    expected, weights = model.predict(x, verbose=0), model.get_weights()
    small = tfc.compress(model, {".*": {"kernel": toys.Unchanged(), "output": toys.Unchanged()}})
    np.testing.assert_array_equal(small.predict(x, verbose=0), expected)
    small.set_weights([w + 1 for w in small.get_weights()])
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not any(isinstance(layer, tfc.Compressed) for layer in model.layers)


def test_prototypes_are_cloned_and_calibrated_on_the_weights(toys):
    prototype = toys.Rounding(4)
    small = tfc.compress(small_cnn(), {".*": {"kernel": prototype}})
    made = [layer.transforms["kernel"] for layer in small.layers if transforms(layer)]
    assert len({id(t) for t in [*made, prototype]}) == 4 and not prototype.built
    for layer in (layer for layer in small.layers if transforms(layer)):
        largest = np.abs(slots.numpy(layer.layer.kernel)).reshape(-1, layer.layer.kernel.shape[-1]).max(0)
        np.testing.assert_allclose(slots.numpy(layer.transforms["kernel"].step).ravel(), largest / 7, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "slot", "axis"),
    [
        (layers.Dense(3), "kernel", (-1,)),
        (layers.Dense(3), "bias", ()),
        (layers.Conv2D(3, 2), "kernel", (-1,)),
        (layers.DepthwiseConv2D(2), "kernel", (-2, -1)),
        (layers.SeparableConv2D(3, 2), "depthwise_kernel", (-2, -1)),
        (layers.SeparableConv2D(3, 2), "pointwise_kernel", (-1,)),
        (layers.Conv2DTranspose(3, 2), "kernel", (-2,)),
        (layers.EinsumDense("abcd,dhk->abchk", (None, 4, 2, 3)), "kernel", (-2, -1)),
    ],
    ids=lambda value: value.name if isinstance(value, layers.Layer) else str(value),
)
def test_slot_decides_the_arguments_left_open(layer, slot, axis, toys):
    model = keras.Sequential([keras.Input((4, 4, 3)), layer])
    (small,) = tfc.compress(model, {".*": {slot: toys.Rounding()}}).layers
    made = small.transforms[slot]
    assert (made.axis, made.signed, made.narrow_range) == (axis, True, True)


def test_slot_decides_inside_a_chain_and_leaves_what_was_said(toys):
    chain = tfc.Chain([toys.Threshold(), toys.Rounding(4, axis=())])
    small = tfc.compress(small_cnn(), {"conv": {"kernel": chain}})
    _, rounding = small.get_layer("conv").transforms["kernel"].transforms
    assert (rounding.axis, rounding.signed) == ((), True)


def test_short_slot_means_all_weights_that_end_in_it(toys):
    model = keras.Sequential([keras.Input((5, 4)), layers.LSTM(3, name="lstm", return_sequences=True)])
    (small,) = tfc.compress(model, {".*": {"kernel": toys.Rounding(8), "cell.kernel": toys.Rounding(4)}}).layers
    assert {slot: t.bits for slot, t in small.transforms.items()} == {"cell.kernel": 4, "cell.recurrent_kernel": 8}
    model = keras.Sequential([keras.Input((8, 8, 2)), layers.SeparableConv2D(3, 3), layers.DepthwiseConv2D(3)])
    separable, depthwise = tfc.compress(model, {".*": {"kernel": toys.Rounding(8)}}).layers
    assert set(separable.transforms) == {"depthwise_kernel", "pointwise_kernel"}
    assert set(depthwise.transforms) == {"kernel"}


def test_weights_that_a_broad_rule_passes_by_are_warned_of(toys):
    model = keras.Sequential([keras.Input((6,)), layers.Embedding(9, 4, name="table"), layers.Dense(2)])
    with pytest.warns(UserWarning, match=r"'table' .* its \['embeddings'\] stays as it is"):
        tfc.compress(model, {".*": {"kernel": toys.Rounding()}})
    tfc.compress(model, {".*": {"kernel": toys.Rounding()}, "table": {"embeddings": None}})
    tfc.compress(model, {".*": {"bias": toys.Rounding()}})


def test_output_goes_behind_the_group(toys):
    small = tfc.compress(small_cnn(), {".*": {"output": toys.Rounding(8)}})
    names = [layer.name for layer in small.layers]
    assert names == [
        "image_output", "conv", "norm", "relu", "relu_output", "flat", "hidden", "hidden_output", "hidden_tanh",
        "hidden_tanh_output", "head", "head_output", "head_sigmoid",
    ]  # fmt: skip
    signs = {name: small.get_layer(name).signed for name in names if name.endswith("_output")}
    assert signs == {name: name != "relu_output" for name in names if name.endswith("_output")}
    assert all(small.get_layer(name).axis == () and not small.get_layer(name).narrow_range for name in signs)


def test_output_of_the_head_is_that_of_its_group(toys):
    small = tfc.compress(small_cnn(), {"conv": {"output": toys.Rounding(8)}, "head": {"output": toys.Rounding(8)}})
    assert [layer.name for layer in small.layers if isinstance(layer, Transform)] == ["relu_output", "head_output"]


@pytest.mark.parametrize("rule", ["norm", "relu", "(relu|head)"])
def test_output_inside_a_group_is_refused_naming_the_head(rule, toys):
    with pytest.raises(ValueError, match=r"computed together with 'conv'.*\{'conv': \{'output': \.\.\.\}\}"):
        tfc.compress(small_cnn(), {rule: {"output": toys.Rounding()}})


def test_output_of_layers_that_move_data_is_refused(toys):
    with pytest.raises(ValueError, match=r"\['flat'\].*a grid of its own: \['image', 'conv', 'hidden', .*\]"):
        tfc.compress(small_cnn(), {"flat": {"output": toys.Rounding()}})


def test_nothing_goes_behind_a_softmax_whose_grid_the_file_format_fixes(toys):
    model = keras.Sequential(
        [keras.Input((4,), name="x"), layers.Dense(3, name="head"), layers.Softmax(name="classes")]
    )
    small = tfc.compress(model, {".*": {"output": toys.Rounding()}})
    assert [layer.name for layer in small.layers] == ["x_output", "head", "head_output", "classes"]
    with pytest.raises(ValueError, match=r"\['classes'\].*a grid of its own: \['x', 'head'\]"):
        tfc.compress(model, {"classes": {"output": toys.Rounding()}})


@pytest.mark.parametrize("wrapped", [False, True])
def test_sums_in_front_of_a_softmax_get_a_transform(wrapped, toys):
    model = keras.Sequential([keras.Input((4,), name="x"), layers.Dense(3, activation="softmax", name="head")])
    if wrapped:
        model = tfc.compress(model, {".*": {"kernel": toys.Unchanged()}})
    small = tfc.compress(model, {".*": {"output": toys.Unchanged()}})
    assert [layer.name for layer in small.layers] == ["x_output", "head", "head_output", "head_softmax"]
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    np.testing.assert_allclose(small.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)


def test_activation_of_a_layer_used_twice_stands_behind_each_use(toys):
    inputs, shared = keras.Input((3,), name="x"), layers.Dense(3, activation="tanh", name="d")
    model = keras.Model(inputs, shared(shared(inputs)))
    small = tfc.compress(model, {".*": {"output": toys.Unchanged()}})
    assert {"d_tanh", "d_tanh_use1", "d_output", "d_output_use1"} <= {layer.name for layer in small.layers}
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    np.testing.assert_allclose(small.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


def test_integer_inputs_get_no_transform(toys):
    model = keras.Sequential([keras.Input((6,), dtype="int32", name="ids"), layers.Embedding(9, 4, name="table")])
    small = tfc.compress(model, {".*": {"output": toys.Rounding()}})
    assert [layer.name for layer in small.layers] == ["table", "table_output"]
    with pytest.raises(ValueError, match="holds integers"):
        tfc.compress(model, {"ids": {"output": toys.Rounding()}})


def test_every_output_of_a_layer_gets_its_own_transform(toys):
    inputs = keras.Input((5, 4), name="x")
    model = keras.Model(inputs, layers.LSTM(3, return_state=True, name="lstm")(inputs))
    small = tfc.compress(model, {"lstm": {"output": toys.Rounding()}})
    assert [v.name for v in small.outputs] and [layer.name for layer in small.layers][-3:] == [
        "lstm_output_0", "lstm_output_1", "lstm_output_2",
    ]  # fmt: skip


def test_rule_that_matches_nothing_lists_the_layers(toys):
    with pytest.raises(ValueError, match=r"'konv' must match .*\['image', 'conv', 'norm',.*Did you mean 'conv'\?"):
        tfc.compress(small_cnn(), {"konv": {"kernel": toys.Rounding()}})
    with pytest.raises(ValueError, match="'con' must match the whole name"):
        tfc.compress(small_cnn(), {"con": {"kernel": toys.Rounding()}})


@pytest.mark.parametrize(("rule", "slot"), [("conv", "kernal"), ("relu", "kernel"), (".*", "cell.kernel")])
@pytest.mark.parametrize("remove", [False, True])
def test_unknown_slot_lists_those_of_the_matching_layers(rule, slot, remove, toys):
    with pytest.raises(ValueError, match=rf"Rule '{re.escape(rule)}' .*Received: slot='{slot}'.*their slots: "):
        tfc.compress(small_cnn(), {rule: {slot: None if remove else toys.Rounding()}})


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "at least one rule"),
        ({"*": {"kernel": None}}, r"that for all layers is '\.\*'. Received: '\*'"),
        ({".*": {}}, "must name at least one slot"),
        ({".*": {"kernel": Transform}}, "A class needs its parentheses"),
        ([("conv", "kernel")], "at least one rule like"),
        ([".*"], "at least one rule like"),
    ],
)
def test_malformed_rules_are_refused(rules, message):
    with pytest.raises(ValueError, match=message):
        tfc.compress(small_cnn(), rules)


def test_transform_that_cannot_apply_names_the_layer(toys):
    with pytest.raises(ValueError, match=r"Layer 'conv' .*OnlyMatrices cannot be applied to slot 'kernel'"):
        tfc.compress(small_cnn(), {".*": {"kernel": toys.OnlyMatrices()}})


def test_transform_without_configuration_names_the_layer():
    class Nameless(Transform):
        def __init__(self, table):
            super().__init__()

        def get_config(self):
            return {}

    with pytest.raises(ValueError, match="Layer 'conv', slot 'kernel': Nameless must be reproducible"):
        tfc.compress(small_cnn(), {"conv": {"kernel": Nameless([1])}})


def test_subclassed_and_unbuilt_models_are_refused_with_the_way_out(toys):
    class Own(keras.Model):
        def call(self, x):
            return x

    rules = {".*": {"kernel": toys.Rounding()}}
    with pytest.raises(
        ValueError, match=r"'own' must be a Sequential or Functional model.*keras.Model\(inputs, outputs"
    ):
        tfc.compress(Own(name="own"), rules)
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match="'own' must be a Sequential or Functional"):
        tfc.compress(keras.Model(inputs, layers.Dense(3)(Own(name="own")(inputs))), rules)
    with pytest.raises(ValueError, match="'fresh' must be built"):
        tfc.compress(keras.Sequential([layers.Dense(3)], name="fresh"), rules)


def nested():
    """A backbone whose last conv is fused with a ReLU outside of it."""
    backbone = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3, name="conv1"),
            layers.ReLU(name="relu1"),
            layers.Conv2D(4, 3, name="conv2"),
        ],
        name="backbone",
    )
    inputs = keras.Input((6, 6, 3), name="image")
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.ReLU(name="relu2")(backbone(inputs))))


def test_rules_reach_into_nested_models_by_path_or_name(toys):
    rules = {
        "conv1": {"kernel": toys.Rounding(4)},
        "backbone/.*": {"output": toys.Rounding(8)},
        ".*2": {"bias": toys.Rounding()},
    }
    small = tfc.compress(nested(), rules)
    assert [layer.name for layer in small.layers] == ["image", "backbone", "relu2", "relu2_output", "head"]
    backbone = small.get_layer("backbone")
    assert [layer.name for layer in backbone.layers] == ["conv1", "relu1", "relu1_output", "conv2"]
    assert isinstance(backbone, keras.Sequential)
    assert set(transforms(backbone.get_layer("conv1"))) == {"kernel"}
    assert set(transforms(backbone.get_layer("conv2"))) == {"bias"}


def test_layer_called_twice_stays_one_layer_with_one_transform(toys):
    inputs = keras.Input((4,), name="x")
    dense = layers.Dense(4, name="dense")
    small = tfc.compress(
        keras.Model(inputs, dense(dense(inputs))), {".*": {"kernel": toys.Rounding(), "output": toys.Rounding()}}
    )
    assert [layer.name for layer in small.layers] == ["x", "x_output", "dense", "dense_output", "dense_output_use1"]
    small.compile("sgd", "mse")
    x = toys.rng.normal(size=(8, 4))
    small.fit(x, x, batch_size=4, verbose=0)
    assert int(small.get_layer("dense").transforms["kernel"].count.value) == 2
    only = tfc.compress(keras.Model(inputs, dense(dense(inputs))), {"dense#1": {"output": toys.Rounding()}})
    assert [layer.name for layer in only.layers] == ["x", "dense", "dense_output_use1"]


def twice(after_first):
    """A nested model that is used twice, once with a ReLU behind it if asked."""
    tower = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="dense")], name="tower")
    inputs = keras.Input((4,), name="x")
    first = tower(inputs)
    return keras.Model(inputs, tower(layers.ReLU(name="relu")(first) if after_first else first))


def test_nested_model_used_twice_gets_one_transform_inside(toys):
    small = tfc.compress(twice(False), {".*": {"kernel": toys.Rounding(), "output": toys.Rounding()}})
    assert [layer.name for layer in small.get_layer("tower").layers] == ["dense", "dense_output"]
    assert small.get_layer("tower").layers[0].transforms["kernel"].built


def test_nested_model_fused_in_only_one_of_its_uses_is_refused(toys):
    with pytest.raises(ValueError, match="'tower/dense' is part of a nested model that is used 2 times"):
        tfc.compress(twice(True), {".*": {"output": toys.Rounding()}})


def test_compressing_again_chains_behind_what_is_there_with_its_state(toys):
    once = tfc.compress(small_cnn(), {"conv": {"kernel": toys.Threshold(), "output": toys.Threshold()}})
    once.get_layer("conv").transforms["kernel"].threshold.assign(0.125)
    once.get_layer("relu_output").threshold.assign(0.25)
    both = tfc.compress(
        once, {"conv": {"kernel": toys.Rounding(4), "output": toys.Rounding(8), "bias": toys.Rounding()}}
    )
    for chain, threshold in (
        (both.get_layer("conv").transforms["kernel"], 0.125),
        (both.get_layer("relu_output"), 0.25),
    ):
        old, new = chain.transforms
        assert slots.numpy(old.threshold) == threshold and isinstance(new, toys.Rounding)
    assert set(both.get_layer("conv").transforms) == {"kernel", "bias"}
    weight, grid = tfc.deployed(both.get_layer("conv"), "kernel")
    latent = slots.numpy(both.get_layer("conv").layer.kernel)
    assert np.all(weight[np.abs(latent) <= 0.125] == 0)
    np.testing.assert_array_equal(grid.decode(grid.encode(weight)), weight)
    assert [layer.name for layer in both.layers] == [layer.name for layer in once.layers]


@pytest.mark.parametrize("slot", ["kernel", "output"])
def test_nothing_goes_behind_a_transform_that_owns_the_grid(slot, toys):
    once = tfc.compress(small_cnn(), {"conv": {slot: toys.Rounding()}})
    with pytest.raises(ValueError, match=r"fixes the grid.*Received: Rounding, then Threshold. Put Rounding last"):
        tfc.compress(once, {"conv": {slot: toys.Threshold()}})
    chain = tfc.Chain([tfc.Chain([toys.Threshold(), toys.Rounding()]), toys.Unchanged()])
    with pytest.raises(ValueError, match=r"Received: Threshold, then Rounding, then Unchanged"):
        tfc.compress(small_cnn(), {"conv": {slot: chain}})


def test_none_takes_away_what_an_earlier_compression_put_there(toys):
    once = tfc.compress(small_cnn(), {".*": {"kernel": toys.Rounding(), "output": toys.Rounding()}})
    plain = tfc.compress(once, {".*": {"kernel": None, "output": None}})
    assert not any(isinstance(layer, (Transform, tfc.Compressed)) for layer in plain.layers)
    assert {layer.name for layer in small_cnn().layers} <= {layer.name for layer in plain.layers}


def pooled_cnn():
    return keras.Sequential(
        [
            keras.Input((9, 9, 2), name="image"),
            layers.Conv2D(4, 3, name="conv"),
            layers.ReLU(name="relu"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(3, name="head"),
        ]
    )


def test_transform_behind_max_pooling_rounds_as_one_in_front(toys):
    small = tfc.compress(pooled_cnn(), {"conv": {"output": toys.Rounding(8)}})
    assert [layer.name for layer in small.layers] == ["conv", "relu", "pool", "relu_output", "flat", "head"]
    pool, transform = small.get_layer("pool"), small.get_layer("relu_output")
    transform.step.assign(np.full((1, 1, 1, 1), 0.03))
    x = toys.rng.normal(size=(5, 7, 7, 4)).astype("float32")
    np.testing.assert_array_equal(transform(pool(x)), pool(transform(x)))


def test_transform_behind_max_pooling_is_found_again(toys):
    once = tfc.compress(pooled_cnn(), {"conv": {"output": toys.Threshold()}})
    both = tfc.compress(once, {"conv": {"output": toys.Rounding(8)}})
    assert [type(t).__name__ for t in both.get_layer("relu_output").transforms] == ["Threshold", "Rounding"]
    plain = tfc.compress(both, {"conv": {"output": None}})
    assert [layer.name for layer in plain.layers] == [layer.name for layer in pooled_cnn().layers]


def test_frozen_layers_stay_frozen(toys):
    model = small_cnn()
    model.get_layer("conv").trainable = False
    small = tfc.compress(model, {"conv": {"kernel": toys.Rounding()}})
    (path,) = [v.path for v in small.get_layer("conv").trainable_variables]
    assert path.endswith("conv/kernel/step")


def test_compressed_functional_model_trains_and_reloads(toys, tmp_path):
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.SeparableConv2D(4, 3, padding="same", name="separable")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Add(name="add")([x, layers.Conv2D(4, 1, name="shortcut")(inputs)])
    x = layers.Conv2DTranspose(2, 2, name="transpose")(layers.ReLU(name="relu")(x))
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.GlobalAveragePooling2D(name="pool")(x)))
    small = tfc.compress(model, {".*": {"kernel": toys.Rounding(6), "output": toys.Rounding(8)}})
    data, labels = toys.rng.normal(size=(16, 8, 8, 3)), toys.rng.integers(0, 3, 16)
    tfc.calibrate(small, data)
    small.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    small.fit(data, labels, batch_size=8, verbose=0)
    small.save(tmp_path / "small.keras")
    again = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(small.predict(data, verbose=0), again.predict(data, verbose=0))
    assert str(tfc.report(small)) == str(tfc.report(again))
