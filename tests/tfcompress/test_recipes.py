import json

import keras
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.transform import Transform


def test_recipe_gives_back_the_rules_in_their_order(toys, tmp_path):
    path = tmp_path / "recipe.json"
    chain = tfc.Chain([toys.Threshold(), toys.Rounding(4)])
    tfc.save_recipe({".*": {"kernel": chain, "output": toys.Rounding(8)}, "head": {"kernel": None}}, path)
    (first, broad), (second, head) = tfc.load_recipe(path)
    assert (first, second) == (".*", "head") and head == {"kernel": None}
    assert [type(t) for t in broad["kernel"].transforms] == [toys.Threshold, toys.Rounding]
    assert broad["output"].bits == 8 and broad["output"].axis is None
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.json"]


def test_same_rules_make_the_same_file(toys, tmp_path):
    for name in ("a.json", "b.json"):
        tfc.save_recipe({".*": {"kernel": tfc.Chain([toys.Threshold(), toys.Rounding(4)])}}, tmp_path / name)
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


def test_compress_takes_a_path_or_the_loaded_rules(toys, tmp_path):
    path = tmp_path / "recipe.json"
    tfc.save_recipe([("head", {"kernel": toys.Rounding(8)}), ("head", {"kernel": toys.Rounding(3)})], path)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="head")])
    for rules in (path, str(path), tfc.load_recipe(path)):
        small = tfc.compress(model, rules)
        assert small.get_layer("head").transforms["kernel"].bits == 3


def test_recipe_of_a_built_transform_holds_no_state(toys, tmp_path):
    transform = toys.Rounding()
    transform.build((2, 2))
    tfc.save_recipe({".*": {"kernel": transform}}, tmp_path / "recipe.json")
    ((_, loaded),) = tfc.load_recipe(tmp_path / "recipe.json")
    assert not loaded["kernel"].built


def item(**changes):
    """The text of a recipe with one rule, a Chain that is changed."""
    chain = {"module": None, "class_name": "Chain", "config": {"transforms": []}, "registered_name": "tfcompress>Chain"}
    return json.dumps([{"regex": ".*", "slots": {"kernel": {**chain, **changes}}}])


OWN = {"module": "os", "class_name": "system", "config": "true", "registered_name": "os>system"}
LAMBDA = {"class_name": "__lambda__", "config": {"value": "gAN9"}}
LAYER = {"module": "keras.layers", "class_name": "Lambda", "config": {}, "registered_name": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ('{"a": 1}', "not like"),
        ("17", "not iterable"),
        ("[]", "at least one rule"),
        ('[{"regex": ".*"}]', "not like"),
        ('[{"regex": "*", "slots": {"kernel": null}}]', r"all layers is '\.\*'"),
        ('[{"regex": ".*", "slots": {"kernel": 4}}]', "something that is no Transform"),
        ("[" * 100_000, "recursion"),
        (item(registered_name="os>system"), "not a registered Transform"),
        (item(class_name="Threshold"), "not a registered Transform"),
        (item(config={"transforms": [OWN]}), "class 'system'"),
        (item(config={"transforms": [LAMBDA]}), "class '__lambda__'"),
        (item(config={"name": LAYER}), "class 'Lambda'"),
        (item(registered_name="tfcompress>Compressed", class_name="Compressed"), "not a registered Transform"),
        (item(config={"transforms": []}), "non-empty list of Transforms"),
        (item(config={"bits": 3}), "transforms"),
    ],
    ids=range(16),
)
def test_bad_recipe_is_one_clear_error(text, message, toys, tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(
        ValueError, match=rf"recipe.json' must be a recipe as tfcompress.save_recipe writes it. .*{message}"
    ):
        tfc.load_recipe(path)


def test_binary_and_missing_files_are_refused(tmp_path):
    (tmp_path / "recipe.json").write_bytes(b"\x80\x00\xff")
    with pytest.raises(ValueError, match="must be a recipe"):
        tfc.load_recipe(tmp_path / "recipe.json")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        tfc.compress(keras.Sequential([keras.Input((4,)), layers.Dense(3)]), str(tmp_path / "nowhere.json"))


def test_class_that_could_not_be_read_is_not_written(tmp_path):
    class Unregistered(Transform):
        pass

    with pytest.raises(ValueError, match=r"'Unregistered'.*register_keras_serializable"):
        tfc.save_recipe({".*": {"kernel": Unregistered()}}, tmp_path / "recipe.json")
    assert not list(tmp_path.iterdir())


def test_recipe_that_cannot_be_written_leaves_the_old_one(toys, tmp_path):
    path = tmp_path / "recipe.json"
    tfc.save_recipe({".*": {"kernel": toys.Rounding(4)}}, path)
    before = path.read_text()
    with pytest.raises(ValueError, match="parentheses"):
        tfc.save_recipe({".*": {"kernel": toys.Rounding}}, path)
    assert path.read_text() == before
