import numpy as np
import pytest

from tflite_export import flatbuffer
from tflite_export.npu import estimate, load, machines
from tflite_export.npu.machine import FOLDER

from .graphs import Net, mobilenet, small


@pytest.fixture(scope="module")
def graph():
    return small(density=0.5)


def test_bytes_path_and_graph_give_the_same_rows(graph, tmp_path):
    blob = flatbuffer.write(graph)
    path = tmp_path / "model.tflite"
    path.write_bytes(blob)
    assert estimate(blob).rows == estimate(path).rows == estimate(str(path)).rows == estimate(graph).rows


def test_rows_carry_layer_op_and_the_actual_weights(graph):
    row = estimate(graph).rows[0]
    assert (row["layer"], row["op"], row["macs"]) == ("c1", "CONV_2D", 32 * 32 * 32 * 144)
    assert (row["weight_count"], row["weight_stored_bytes"]) == (4608, 4608)
    assert 0.45 < row["weight_zeros"] / row["weight_count"] < 0.55
    assert row["weight_entropy_bytes"] < 0.7 * row["weight_stored_bytes"]


def test_entropy_coded_weights_travel_on_the_dot_engine_and_dense_ones_on_the_systolic_array(graph):
    coded, dense = (estimate(graph, name).rows[3] for name in ("ethos-u55-128-like", "systolic-16-os"))
    assert coded["weight_moved_bytes"] == coded["weight_entropy_bytes"] + 10 * 128
    assert dense["weight_moved_bytes"] == dense["weight_stored_bytes"] + 10 * 128
    assert coded["dram_read_bytes"] < 0.7 * dense["dram_read_bytes"]


def test_energy_is_counted_from_macs_and_bytes(graph):
    row = estimate(graph).rows[0]
    assert row["energy_mac_pj"] == pytest.approx(0.3 * row["macs"])
    assert row["energy_sram_pj"] == pytest.approx(2.5 * (row["sram_read_bytes"] + row["sram_write_bytes"]))
    assert row["energy_dram_pj"] == pytest.approx(160 * row["dram_read_bytes"])


def test_an_error_names_the_layer():
    with pytest.raises(ValueError, match=r"layer `wave`: no cost is known for this op. Received: SIN"):
        estimate(Net(1, 4).op("SIN", (1, 4), name="wave").graph())


def test_an_sram_without_room_is_an_error_that_names_the_layer(tmp_path):
    text = (FOLDER / "systolic-16-os.toml").read_text()
    (tmp_path / "tiny.toml").write_text(text.replace("262_144", "16"))
    with pytest.raises(ValueError, match=r"layer `c`: its smallest tile needs .* bytes of SRAM, the machine has 16"):
        estimate(Net(1, 8, 8, 16).conv(16, name="c").graph(), tmp_path / "tiny.toml")


def test_a_file_that_is_no_model_is_refused():
    with pytest.raises(flatbuffer.InvalidModel):
        estimate(b"not a model at all")


def test_data_adds_counted_zeros():
    net = Net(1, 8, 8, 4).op("RELU", (1, 8, 8, 4)).conv(8).op("RELU", (1, 8, 8, 8)).graph()
    found = estimate(net, data=np.random.default_rng(0).integers(-128, 128, (5, 8, 8, 4)).astype(np.int8))
    assert found.samples == 5
    assert found.rows[1]["activation_count"] == 5 * 8 * 8 * 4
    assert 0.4 < found.rows[1]["activation_zeros"] / found.rows[1]["activation_count"] < 0.6
    assert found.totals["activation_zeros"] == sum(row["activation_zeros"] for row in found.rows)
    assert "activation_zeros" not in estimate(net).rows[0]


@pytest.mark.parametrize("machine", machines())
def test_every_machine_estimates_a_mobilenet(machine):
    found = estimate(mobilenet(1.0, 96), machine)
    assert len(found.rows) == 29
    assert 0 < found.totals["utilisation"] <= 1


def test_a_loaded_machine_may_be_handed_over(graph):
    assert estimate(graph, load("systolic-16-ws")).machine.name == "systolic-16-ws"
