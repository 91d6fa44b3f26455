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


def test_transform_stands_behind_the_max_pooling_that_alone_reads_the_group(toys):
    inputs = keras.Input((8, 8, 3), name="x")
    x = layers.ReLU(name="relu")(layers.Conv2D(4, 3, name="conv")(inputs))
    model = keras.Model(inputs, layers.Flatten()(layers.MaxPooling2D(name="pool")(x)))
    (output,) = plan_outputs(model, trace(model), [("conv", {"output": toys.Rounding(8)})]).values()
    assert (output.value.name, output.source.name, output.layer_name) == ("pool", "relu", "relu_output")
    assert output.tail is model.get_layer("relu")


def test_transform_stands_in_front_of_a_pooling_that_is_not_alone_or_not_of_the_same_model(toys):
    inputs = keras.Input((8, 8, 4), name="x")
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    inner = keras.Sequential([keras.Input((4, 4, 4)), layers.Conv2D(4, 3, name="last")], name="inner")
    end = layers.MaxPooling2D(name="behind")(inner(layers.MaxPooling2D(name="pool")(x)))
    model = keras.Model(inputs, [end, layers.Add(name="sum")([x, inputs])])
    plan = plan_outputs(model, trace(model), [(".*", {"output": toys.Rounding(8)})])
    assert {"conv", "inner/last"} < plan.keys() and not {"pool", "behind"} & plan.keys()


def test_average_pooling_stays_behind_the_transform(toys):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv"), layers.AveragePooling2D(2)])
    assert "conv" in plan_outputs(model, trace(model), [(".*", {"output": toys.Rounding(8)})])
