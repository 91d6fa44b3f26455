from dataclasses import replace

from tflite_export.npu import estimate, load
from tflite_export.npu.cost import cost_of
from tflite_export.npu.memory import place

from .graphs import Net

MACHINE = load("systolic-16-os")


def with_sram(size):
    return replace(MACHINE, memory=replace(MACHINE.memory, sram_bytes=size))


def placed(graph, machine):
    return place(graph, [cost_of(op, graph.tensors, machine) for op in graph.ops], machine)


def skip_net():
    """16 KiB -> relu (16 KiB) -> pool to 4 KiB, added to its own relu."""
    net = Net(1, 32, 32, 16).op("RELU", (1, 32, 32, 16), name="relu")
    net.op("MAX_POOL_2D", (1, 16, 16, 16), name="pool", filter_height=2, filter_width=2, stride_h=2, stride_w=2)
    pooled = net.last
    net.op("RELU6", (1, 16, 16, 16), name="clip")
    return net.op("ADD", (1, 16, 16, 16), pooled, name="sum").graph()


def test_maps_live_from_their_maker_to_their_last_reader():
    assert placed(skip_net(), MACHINE).alive_bytes == (32_768, 16_384 + 4096, 8192, 3 * 4096)


def test_a_map_stays_if_all_of_its_life_fits():
    graph = skip_net()
    names = {graph.tensors[t].name for t in placed(graph, with_sram(25_000)).resident}
    assert names == {"pool", "clip", "sum"}
    assert len(placed(graph, with_sram(40_000)).resident) == 5
    assert placed(graph, with_sram(40_000)).fits == (True,) * 4


def test_resident_maps_cost_no_main_memory_traffic():
    rows = estimate(skip_net(), with_sram(40_000)).rows
    assert {row["dram_read_bytes"] + row["dram_write_bytes"] for row in rows} == {0}
    assert {row["loop_order"] for row in rows} == {"resident"}


def test_maps_that_do_not_fit_travel():
    rows = estimate(skip_net(), with_sram(25_000)).rows
    assert [row["dram_read_bytes"] for row in rows] == [16_384, 16_384, 0, 0]
    assert [row["dram_write_bytes"] for row in rows] == [16_384, 0, 0, 0]
    assert [row["loop_order"] for row in rows] == ["streamed", "streamed", "resident", "resident"]


def test_a_reshape_shares_the_place_of_its_input():
    net = Net(1, 8, 8, 4).op("RELU", (1, 8, 8, 4))
    shape = net.constant("shape", (2,), "int32", data=[1, 256])
    graph = net.op("RESHAPE", (1, 256), shape).dense(10).graph()
    assert placed(graph, MACHINE).alive_bytes == (512, 256, 256 + 10)
    row = estimate(graph, MACHINE).rows[1]
    assert (row["cycles_total"], row["dram_read_bytes"], row["loop_order"]) == (0, 0, "none")


def test_tiles_are_used_only_where_an_op_does_not_fit():
    rows = estimate(Net(1, 32, 32, 16).conv(64, name="a").conv(16, stride=4, name="b").graph(), with_sram(70_000)).rows
    assert rows[0]["loop_order"] in ("weight_outer", "input_outer")
    assert len(rows[0]["tile"].split("x")) == 4
    fitting = estimate(Net(1, 32, 32, 16).conv(64).graph(), with_sram(100_000)).rows[0]
    assert (fitting["loop_order"], fitting["tile"]) == ("resident", "")
