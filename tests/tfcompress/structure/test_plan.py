import keras
from keras import layers

from tfcompress.structure.plan import plan_outputs, plan_weights
from tfcompress.structure.trace import trace


def test_last_word_on_a_weight_is_that_of_the_last_rule_that_names_it(toys):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a"), layers.Dense(4, name="b")])
    broad, narrow = toys.Rounding(8), toys.Rounding(4)
    plan = plan_weights(
        trace(model), [(".*", {"kernel": broad, "bias": broad}), ("b", {"kernel": narrow, "bias": None})]
    )
    assert plan[id(model.get_layer("a"))] == {"kernel": broad, "bias": broad}
    assert plan[id(model.get_layer("b"))] == {"kernel": narrow, "bias": None}


def test_output_plan_is_keyed_by_the_last_value_of_the_group(toys):
    model = keras.Sequential(
        [keras.Input((4,), name="x"), layers.Dense(4, name="a"), layers.ReLU(name="relu"), layers.Dense(4, name="b")]
    )
    plan = plan_outputs(model, trace(model), [(".*", {"output": toys.Rounding(8)}), ("b", {"output": None})])
    assert {name: output.prototype is not None for name, output in plan.items()} == {
        "x": True,
        "relu": True,
        "b": False,
    }
    assert plan["relu"].tail is model.get_layer("relu") and plan["relu"].layer_name == "relu_output"


def test_model_shared_by_two_parents_is_planned_at_its_first_place(toys):
    shared = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="dense")], name="shared")
    left, right = (keras.Sequential([keras.Input((4,)), shared], name=name) for name in ("left", "right"))
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, right(left(inputs)))
    plan = plan_outputs(model, trace(model), [("dense", {"output": toys.Rounding(8)})])
    assert list(plan) == ["left/shared/dense"]
