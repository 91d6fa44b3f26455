import keras
import pytest
from keras import layers

from tfcompress.structure import slots


class Blocks(layers.Layer):
    """Holds its parts where Keras' own layers do not: in private lists, dicts and a model."""

    def __init__(self):
        super().__init__()
        self._blocks = [layers.Dense(2), layers.Dense(2)]
        self.heads = {"a": layers.Dense(2, use_bias=False)}
        self.inner = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="last")])

    def build(self, shape):
        for part in (*self._blocks, self.heads["a"]):
            part.build((None, 2))
        self.tables = [self.add_weight((2,), name="table")]


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Dense(3), (None, 4), ["kernel", "bias"]),
        (layers.SeparableConv1D(3, 2), (None, 8, 4), ["depthwise_kernel", "pointwise_kernel", "bias"]),
        (layers.Embedding(5, 3), (None, 4), ["embeddings"]),
        (layers.BatchNormalization(), (None, 4), ["gamma", "beta"]),
        (layers.GRU(3), (None, 5, 4), ["cell.kernel", "cell.recurrent_kernel", "cell.bias"]),
        (layers.TimeDistributed(layers.Dense(3)), (None, 5, 4), ["layer.kernel", "layer.bias"]),
        (layers.ReLU(), (None, 4), []),
        (
            Blocks(),
            (None, 2),
            [
                "inner.last.kernel", "inner.last.bias", "_blocks.0.kernel", "_blocks.0.bias", "_blocks.1.kernel",
                "_blocks.1.bias", "heads.a.kernel", "tables.0",
            ],
        ),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize("trainable", [True, False])
def test_slots_are_the_trainable_weights_by_attribute_path(layer, shape, expected, trainable):
    if not layer.built:
        layer.build(shape)
    layer.trainable = trainable
    assert list(slots.weight_slots(layer)) == expected


def test_seeds_statistics_and_states_are_variables_but_no_slots():
    layer = layers.LSTM(3, dropout=0.1, stateful=True)
    layer.build((2, 5, 4))
    assert set(slots.variables(layer)) - set(slots.weight_slots(layer)) == {
        "cell.seed_generator.state", "states.0", "states.1",
    }  # fmt: skip


def test_variable_without_an_attribute_is_found_by_number():
    class Hidden(layers.Layer):
        def build(self, shape):
            self.add_weight((2,), name="nameless")

    layer = Hidden()
    layer.build(None)
    assert list(slots.weight_slots(layer)) == ["variables.0"]


def test_short_names_stand_for_all_that_end_in_them():
    layer = layers.MultiHeadAttention(2, 3)
    layer.build((None, 5, 4), (None, 5, 4))
    kernels = [f"{part}_dense.kernel" for part in ("query", "key", "value", "output")]
    assert slots.matching(layer, "kernel") == kernels
    assert slots.matching(layer, "key_dense.kernel") == ["key_dense.kernel"]
    assert slots.matching(layer, "gamma") == []
    axes = [slots.weight_defaults(layer, slot)["axis"] for slot in kernels]
    assert axes == [(-2, -1)] * 3 + [(-1,)]


@pytest.mark.parametrize(
    ("layer", "signed"),
    [
        (layers.ReLU(), False),
        (layers.ReLU(6), False),
        (layers.ReLU(negative_slope=0.1), True),
        (layers.Softmax(), False),
        (layers.Activation("sigmoid"), False),
        (layers.Dense(3, activation="relu6"), False),
        (layers.Dense(3, activation="tanh"), True),
        (layers.Dense(3), True),
        (layers.Add(), True),
    ],
)
def test_outputs_that_cannot_be_negative_are_unsigned(layer, signed):
    expected = {"axis": (), "signed": signed, "narrow_range": False, "symmetric": False, "momentum": 0.99}
    assert slots.output_defaults(layer) == {**expected, "learned": True, "learned_exponent": False}


def test_the_step_of_an_input_is_not_learned():
    assert slots.output_defaults(layers.InputLayer((4,)))["learned"] is False
