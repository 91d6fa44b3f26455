"""Recipes: what a JSON file says is done, and what it must not say is refused in one line."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc

LSQ = {"class_name": "LSQ", "config": {"bits": 8}}
MAPS = {"regex": ".*", "slots": {"kernel": LSQ, "output": LSQ}}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    conv = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")
    parts = [conv, layers.BatchNormalization(name="norm"), layers.ReLU(name="relu"), layers.Flatten(name="flat")]
    dense = layers.Dense(16, activation="relu", name="dense")
    return keras.Sequential([keras.Input((6, 6, 1), name="image"), *parts, dense, layers.Dense(3, name="out")])


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((256, 6, 6, 1)).astype(np.float32)


@pytest.fixture
def loaded(tmp_path):
    """Writes parts to a file, and loads it."""

    def load(steps=None, **parts):
        (tmp_path / "recipe.json").write_text(json.dumps(parts))
        return tfc.presets.load(tmp_path / "recipe.json", steps)

    return load


def test_edits_come_before_rules_and_finish_behind_fit(loaded, model, x):
    narrow = {"edit": "narrow", "share": 0.5, "layers": "conv", "multiple_of": 2}
    recipe = loaded(edits=[{"edit": "pool_flattened"}, narrow], rules=[MAPS], finish=[{"edit": "remove_channels"}])
    small = recipe.start(model, x)
    assert small.get_layer("conv").transforms["kernel"].bits == 8
    assert small.get_layer("dense").layer.kernel.shape == (3 * 3 * 4, 16)
    assert not np.isnan(keras.ops.convert_to_numpy(small(x[:4], training=False))).any()  # calibrated
    small.get_layer("dense").layer.kernel.assign(np.zeros((36, 16)))
    assert recipe.finish(small, x).get_layer("dense").layer.kernel.shape[1] == 1


def test_rules_go_by_size_and_by_kind(loaded, model, x):
    four = {"class_name": "LSQ", "config": {"bits": 4}}
    two = {"class_name": "LSQ", "config": {"bits": 2}}
    rules = [MAPS, {"regex": ".*", "weights": [100, 1e9], "slots": {"kernel": four}}]
    rules.append({"regex": ".*", "kinds": ["Conv2D", "Conv1D"], "slots": {"kernel": two}})
    rules.append({"regex": ".*", "weights": [1e9, 2e9], "slots": {"kernel": two}})  # there is none so large
    small = loaded(rules=rules).start(model, x)
    bits = {name: small.get_layer(name).transforms["kernel"].bits for name in ("conv", "dense", "out")}
    assert bits == {"conv": 2, "dense": 4, "out": 8}


def test_percents_are_of_the_steps(loaded, model, x):
    decay = {"initial_sparsity": 0.0, "final_sparsity": 0.5, "begin_step": 0, "end_step": "66%"}
    schedule = {"class_name": "PolynomialDecay", "config": decay}
    rules = [
        {"regex": "dense", "slots": {"kernel": {"class_name": "MagnitudePruning", "config": {"schedule": schedule}}}}
    ]
    small = loaded(steps=200, rules=rules).start(model, x)
    assert small.get_layer("dense").transforms["kernel"].schedule.end_step == 132
    with pytest.raises(ValueError, match="'end_step' is 66% of the training steps"):
        loaded(rules=rules)


def test_a_recipe_says_how_fast_to_learn(loaded):
    assert loaded(rules=[MAPS]).learning_rate == 3e-4
    assert loaded(rules=[MAPS], learning_rate=1e-3).learning_rate == 1e-3


def test_callbacks_are_new_for_each_fit(loaded):
    ramp = {"class_name": "Ramp", "config": {"begin_step": "10%", "end_step": "50%", "final": 2.0}}
    recipe = loaded(40, rules=[MAPS], callbacks=[{"callback": "Anneal", "attribute": "l0", "schedule": ramp}])
    (first,), (second,) = recipe.callbacks(), recipe.callbacks()
    assert first is not second and float(first.schedule(12)) == pytest.approx(1.0) and first.attribute == "l0"


def test_an_optional_edit_is_left_out_with_a_warning(loaded, model, x):
    edit = {"edit": "narrow", "layers": "out"}
    with pytest.raises(ValueError, match="must keep its width"):
        loaded(rules=[MAPS], edits=[edit]).start(model, x)
    with pytest.warns(UserWarning, match="'recipe.json' goes on without 'narrow': .* must keep its width"):
        loaded(rules=[MAPS], edits=[{**edit, "optional": True}]).start(model, x)


def test_an_edit_of_layers_that_are_no_expression_is_refused(loaded, model, x):
    with pytest.raises(ValueError, match=r"must be a regular expression. Received: 'conv\[', where unterminated"):
        loaded(rules=[MAPS], edits=[{"edit": "narrow", "layers": "conv["}]).start(model, x)


def test_rules_alone_are_a_recipe(model, x, tmp_path):
    tfc.save_recipe({".*": {"kernel": tfc.LSQ(3)}}, tmp_path / "rules.json")
    small = tfc.presets.load(tmp_path / "rules.json").start(model, x)
    assert small.get_layer("dense").transforms["kernel"].bits == 3


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "must hold rules"),
        ({"rules": [MAPS], "more": 1}, "may hold"),
        ({"rules": {"a": 1}}, "of the types"),
        ({"rules": [MAPS], "edits": [{"edit": "system"}]}, "with a name of"),
        ({"rules": [MAPS], "edits": [{"edit": "narrow", "shares": 1}]}, "unexpected keyword argument 'shares'"),
        ({"rules": [MAPS], "callbacks": ["Anneal"]}, "with a name of"),
    ],
)
def test_refuses_what_is_no_recipe(loaded, parts, message):
    with pytest.raises(ValueError, match=message):
        loaded(**parts)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"regex": ".*"}, "A rule must be like"),
        ({"regex": ".*", "weights": [1], "slots": {"kernel": LSQ}}, "Layers must be"),
        ({"regex": "(", "kinds": ["Dense"], "slots": {"kernel": LSQ}}, r"Received: '\(', where missing \)"),
        ({"regex": ".*", "slots": {"kernel": {"class_name": "Model", "config": {}}}}, "not a registered Transform"),
        ({"regex": "nowhere", "slots": {"kernel": LSQ}}, "nowhere"),
    ],
)
def test_refuses_what_is_no_rule(loaded, model, x, rule, message):
    with pytest.raises(ValueError, match=message):
        loaded(rules=[rule]).start(model, x)


def test_the_recipe_of_the_page_is_one(tmp_path):
    page = (Path(__file__).resolve().parents[3] / "docs" / "presets.md").read_text(encoding="utf-8")
    (tmp_path / "page.json").write_text(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    recipe = tfc.presets.load(tmp_path / "page.json", steps=1000)
    assert recipe.about == "A sentence." and recipe.callbacks()[0].schedule.end_step == 560
    assert all(f"| `{name}` |" in page for name in tfc.presets.names())


def test_a_name_or_a_file(tmp_path):
    assert {"small", "precise", "tiny", "multiplierless", "balanced", "gated"} == {*tfc.presets.names()}
    with pytest.raises(ValueError, match="one of .*'small'.* Received: 'smal'"):
        tfc.presets.load("smal")
    with pytest.raises(ValueError, match="steps=0"):
        tfc.presets.load("small", 0)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match="recipe in JSON"):
        tfc.presets.load(tmp_path / "broken.json")


@pytest.mark.parametrize("name", tfc.presets.names())
def test_each_preset_starts_on_a_network_that_it_does_not_know(name, x):
    keras.utils.set_random_seed(0)
    convs = [layers.Conv2D(32, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    convs += [layers.Conv2D(32, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    head = [layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dense(3)]
    model = keras.Sequential([keras.Input((6, 6, 1)), *convs, *head])
    recipe = tfc.presets.load(name, steps=100)
    small = recipe.start(model, x)
    assert recipe.about and not np.isnan(keras.ops.convert_to_numpy(small(x[:4], training=False))).any()
    assert tfc.report(small).rows
