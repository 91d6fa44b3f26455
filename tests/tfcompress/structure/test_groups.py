import keras
import pytest
from keras import layers

from tfcompress.compressed import Compressed
from tfcompress.structure.groups import activation_name, groups
from tfcompress.structure.trace import trace


def paths(*stack, shape=(8, 8, 3)):
    """The groups of a stack of layers, as lists of names, without that of the input."""
    model = keras.Sequential([keras.Input(shape), *stack])
    return [[call.path for call in group.members] for group in groups(trace(model))][1:]


def conv(name="conv", **kwargs):
    return layers.Conv2D(3, 3, name=name, **kwargs)


NORM, RELU = layers.BatchNormalization, layers.ReLU


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        (lambda: [conv(), NORM(name="norm"), RELU(name="relu")], [["conv", "norm", "relu"]]),
        (lambda: [conv(), RELU(name="relu"), NORM(name="norm")], [["conv", "relu"], ["norm"]]),
        (lambda: [conv(activation="relu"), RELU(name="relu")], [["conv"], ["relu"]]),
        (lambda: [conv(activation="relu"), NORM(name="norm")], [["conv"], ["norm"]]),
        (lambda: [conv(), RELU(6.0, name="relu6")], [["conv", "relu6"]]),
        (lambda: [conv(), RELU(5.0, name="relu5")], [["conv"], ["relu5"]]),
        (lambda: [conv(), RELU(negative_slope=0.1, name="leaky")], [["conv"], ["leaky"]]),
        (lambda: [conv(), layers.Activation("relu", name="act")], [["conv", "act"]]),
        (lambda: [conv(), layers.Activation("tanh", name="act")], [["conv"], ["act"]]),
        (lambda: [conv(), layers.Activation("linear", name="l"), RELU(name="relu")], [["conv", "l", "relu"]]),
        (lambda: [conv(), layers.Dropout(0.1, name="drop"), NORM(name="norm")], [["conv", "drop", "norm"]]),
        (lambda: [conv(), layers.Dropout(0.1, name="drop"), conv("next")], [["conv"], ["next"]]),
        (lambda: [conv(), layers.MaxPooling2D(name="pool"), RELU(name="relu")], [["conv"], ["relu"]]),
        (lambda: [conv(), layers.GlobalAveragePooling2D(name="pool")], [["conv"], ["pool"]]),
        (lambda: [NORM(name="norm"), NORM(name="again"), RELU(name="relu")], [["norm", "again", "relu"]]),
        (lambda: [layers.Softmax(name="softmax")], [["softmax"]]),
    ],
)
def test_what_fuses_is_one_group(stack, expected):
    assert paths(*stack()) == expected


def test_sum_takes_its_activation_and_nothing_else():
    inputs = keras.Input((4,), name="x")
    added = layers.Add(name="add")([layers.Dense(4, name="a")(inputs), inputs])
    model = keras.Model(inputs, layers.ReLU(name="relu")(added))
    assert [[c.path for c in g.members] for g in groups(trace(model))] == [["x"], ["a"], ["add", "relu"]]
    model = keras.Model(inputs, layers.BatchNormalization(name="norm")(added))
    assert [[c.path for c in g.members] for g in groups(trace(model))] == [["x"], ["a"], ["add"], ["norm"]]


def test_value_that_others_need_ends_the_group():
    inputs = keras.Input((4,), name="x")
    dense = layers.Dense(4, name="dense")(inputs)
    relu = layers.ReLU(name="relu")(dense)
    for outputs in (layers.Add(name="add")([dense, relu]), [dense, relu]):
        found = groups(trace(keras.Model(inputs, outputs)))
        assert [c.path for c in found[1].members] == ["dense"]


def test_group_is_named_after_its_head_and_leaves_its_last_value():
    found = groups(trace(keras.Sequential([keras.Input((4,), name="x"), layers.Dense(4, name="d"), RELU(name="relu")])))
    assert [(group.head.path, group.value.name) for group in found] == [("x", "x"), ("d", "relu")]


def test_groups_cross_the_border_of_a_nested_model_and_open_wrappers(toys):
    wrapped = Compressed(layers.Dense(4, name="dense"), {"kernel": toys.Unchanged()})
    tower = keras.Sequential([keras.Input((4,)), wrapped], name="tower")
    inputs = keras.Input((4,), name="x")
    found = groups(trace(keras.Model(inputs, layers.ReLU(name="relu")(tower(inputs)))))
    assert [call.path for call in found[1].members] == ["tower/dense", "relu"]


def test_transforms_between_layers_belong_to_no_group(toys):
    assert paths(conv(), toys.Unchanged(), RELU(name="relu")) == [["conv"], ["relu"]]


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (layers.ReLU(), "relu"),
        (layers.ReLU(6), "relu6"),
        (layers.ReLU(threshold=1.0), "other"),
        (layers.Dense(3), "linear"),
        (layers.Dense(3, activation="relu6"), "relu6"),
        (layers.Dense(3, activation="gelu"), "other"),
        (layers.Flatten(), "linear"),
    ],
)
def test_activation_names(layer, name):
    assert activation_name(layer) == name


def test_a_linear_activation_behind_an_add_is_no_group_of_its_own():
    inputs = keras.Input((4,), name="x")
    total = layers.Add(name="add")([layers.Dense(4, name="a")(inputs), inputs])
    found = groups(trace(keras.Model(inputs, layers.Activation("linear", name="l")(total))))
    assert [[c.path for c in g.members] for g in found] == [["x"], ["a"], ["add"]]


@pytest.mark.parametrize(("dtype", "also", "heads"), [
    ("int32", False, ["e"]), ("float32", False, ["e"]), ("float32", True, ["tokens", "e", "d"]),
])  # fmt: skip
def test_an_input_of_token_numbers_heads_no_group(dtype, also, heads):
    tokens = keras.Input((4,), dtype=dtype, name="tokens")
    rows = layers.Embedding(5, 2, name="e")(tokens)
    outputs = [rows, layers.Dense(2, name="d")(tokens)] if also else [rows]
    assert [group.head.path for group in groups(trace(keras.Model(tokens, outputs)))] == heads
