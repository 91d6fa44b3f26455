"""Sums and concatenations."""

import keras
import pytest
from keras import layers

from from_keras.helpers import assert_lowers, kinds, scramble
from tflite_export.from_keras import lower


def merged(layer: layers.Layer, *shapes: tuple[int, ...]) -> keras.Model:
    inputs = [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, layer(inputs))


def test_a_sum_of_two_is_one_add() -> None:
    assert kinds(assert_lowers(merged(layers.Add(), (3, 4), (3, 4)))) == ["ADD"]


def test_a_sum_of_four_is_a_chain_whose_links_have_names() -> None:
    graph = assert_lowers(merged(layers.Add(name="s"), *[(3, 4)] * 4))
    assert [graph.tensors[op.outputs[0]].name for op in graph.ops] == ["s/sum_1", "s/sum_2", "s"]


def test_a_tensor_may_be_added_to_itself() -> None:
    x = keras.Input((3,))
    model = keras.Model(x, layers.Add()([x, layers.Dense(3)(x), x]))
    scramble(model)
    assert_lowers(model)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_concatenation_counts_its_axis_from_the_front(axis: int) -> None:
    graph = assert_lowers(merged(layers.Concatenate(axis=axis), (3, 4), (3, 4), (3, 4)))
    assert graph.ops[0].options["axis"] == axis % 3


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Subtract, ["SUB"]),
        (layers.Multiply, ["MUL"]),
        (layers.Maximum, ["MAXIMUM"]),
        (layers.Minimum, ["MINIMUM"]),
        (layers.Average, ["ADD", "MUL"]),
    ],
)
def test_two_tensors_merge_by_one_op(layer: type, expected: list[str]) -> None:
    assert kinds(assert_lowers(merged(layer(), (3, 4), (3, 4)))) == expected


@pytest.mark.parametrize("layer", [layers.Multiply, layers.Maximum, layers.Minimum, layers.Average])
def test_more_tensors_merge_in_pairs(layer: type) -> None:
    assert_lowers(merged(layer(), (3, 4), (3, 1), (3, 4)))


@pytest.mark.parametrize("second", [(3, 1, 4), (1, 1, 4), (4,), (1,), (5, 4)])
def test_tensors_broadcast_as_in_keras(second: tuple[int, ...]) -> None:
    assert_lowers(merged(layers.Multiply(), (3, 5, 4), second))


def test_broadcasting_in_five_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a \(Add\): inputs of 5 dimensions that broadcast; supported are at most 4"):
        lower(merged(layers.Add(name="a"), (2, 3, 4, 5), (1, 3, 4, 5)))


def test_a_concatenation_of_batches_is_refused() -> None:
    with pytest.raises(ValueError, match=r"c \(Concatenate\): axis=0, the batch"):
        lower(merged(layers.Concatenate(axis=0, name="c"), (3, 4), (3, 4)))
