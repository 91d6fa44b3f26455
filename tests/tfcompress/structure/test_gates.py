import keras
import pytest
from keras import layers

from tfcompress import LSQ, MagnitudePruning, compress
from tfcompress.structure import slots
from tfcompress.structure.gates import gate_columns, gate_names


def test_gates_lie_side_by_side_in_the_order_of_keras() -> None:
    assert gate_names(layers.LSTMCell(2)) == "ifco" and gate_names(layers.GRUCell(2)) == "zrh"
    assert gate_names(layers.SimpleRNNCell(2)) is None and gate_names(layers.Dense(2)) is None
    assert gate_columns(6, "zrh") == {"z": slice(0, 2), "r": slice(2, 4), "h": slice(4, 6)}


@pytest.mark.parametrize(("layer", "axis"), [(layers.LSTM, ()), (layers.GRU, (-1,)), (layers.SimpleRNN, (-1,))])
def test_a_quantiser_on_an_lstm_gets_one_step_as_its_kernel_demands(layer: type, axis: tuple[int, ...]) -> None:
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, layer(5, name="r")(inputs))
    assert slots.weight_defaults(model.get_layer("r"), "cell.kernel")["axis"] == axis
    small = compress(model, {"r": {"kernel": LSQ(bits=4)}})
    for transform in small.get_layer("r").transforms.values():
        assert transform.axis == axis


def test_patterns_of_zeros_run_along_the_inputs_of_an_lstm_all_the_same() -> None:
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, layers.LSTM(5, name="r")(inputs))
    small = compress(model, {"r": {"kernel": MagnitudePruning(sparsity_m_by_n=(2, 4))}})
    assert small.get_layer("r").transforms["cell.kernel"].input_axis == 0
