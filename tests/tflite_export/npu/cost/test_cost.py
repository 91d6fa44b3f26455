import numpy as np
import pytest

from tflite_export.interpreter.kernels import KERNELS
from tflite_export.ir import Op, Tensor
from tflite_export.npu import load
from tflite_export.npu.cost import COSTS, cost_of

from ..graphs import Net

MACHINE = load("systolic-16-os")


def cost(net, machine=MACHINE):
    return cost_of(net.ops[-1], net.tensors, machine)


def test_every_op_that_the_interpreter_runs_has_a_cost():
    assert set(COSTS) == set(KERNELS)


def test_an_unknown_op_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"Received: SIN\. Known: ADD, .*TRANSPOSE"):
        cost(Net(1, 4).op("SIN", (1, 4)))


def test_floating_point_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"RELU must have integer tensors.*`input` in floating point. Quantise"):
        cost(Net(1, 4, dtype="float32").op("RELU", (1, 4)))


def test_float_is_allowed_at_the_border():
    assert cost(Net(1, 4, dtype="float32").op("QUANTIZE", (1, 4))).vector_ops == 4


def test_a_grouped_dilated_convolution_counts_its_real_macs():
    found = cost(Net(1, 8, 8, 6).conv(4, groups=2, dilation=2))
    assert found.macs == 64 * 9 * 3 * 4
    assert (found.loops.groups, found.loops.in_channels, found.loops.out_channels) == (2, 3, 2)
    assert (found.loops.dilation_h, found.weights.count, found.weights.channel_bytes) == (2, 4 * 9 * 3, 40)


def test_a_depthwise_convolution_is_one_group_a_channel():
    found = cost(Net(1, 8, 8, 6).depthwise())
    assert (found.macs, found.loops.groups, found.loops.out_channels) == (64 * 9 * 6, 6, 1)


def test_a_matrix_product_counts_its_rows():
    assert cost(Net(3, 7).dense(5)).macs == 3 * 7 * 5


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"])
def test_arithmetic_with_a_constant_reads_it_as_weights(kind):
    net = Net(1, 4, 4, 8)
    found = cost(net.op(kind, (1, 4, 4, 8), net.constant("c", (8,), data=[1] * 8)))
    assert (found.vector_ops, found.work.cycles) == (128, 8)
    assert (found.weights.count, found.work.sram_read_bytes, found.work.sram_write_bytes) == (8, 128 + 8, 128)


@pytest.mark.parametrize("kind", ["RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "QUANTIZE"])
def test_ops_of_one_operand_take_one_pass(kind):
    assert cost(Net(1, 50).op(kind, (1, 50))).work.cycles == 4


def test_softmax_takes_three_passes():
    found = cost(Net(1, 10).op("SOFTMAX", (1, 10), beta=1.0))
    assert (found.vector_ops, found.work.sram_read_bytes) == (30, 30)


def test_vectors_of_length_one_take_two_passes():
    found = cost(Net(1, 10).op("L2_NORMALIZATION", (1, 10)))
    assert (found.vector_ops, found.work.sram_read_bytes) == (20, 20)


def test_rows_of_a_table_come_from_main_memory_in_whole_bursts_and_parts_of_a_map_do_not():
    net = Net(1, 5, dtype="int32")
    burst, table = MACHINE.memory.dram_burst_bytes, net.constant("table", (100, 24))
    net.last, tokens = table, net.last
    found = cost(net.op("GATHER", (1, 5, 24), tokens, axis=0))
    assert (found.reread_bytes, found.work.sram_write_bytes) == (5 * -(-24 // burst) * burst, 5 * 24)
    assert found.vector_ops == 0
    moved = Net(1, 6, 8)
    assert cost(moved.op("GATHER", (1, 2, 8), moved.constant("numbers", (2,), "int32"), axis=1)).reread_bytes == 0


def test_a_pool_touches_every_element_of_its_windows():
    for kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        net = Net(1, 8, 8, 3).op(kind, (1, 4, 4, 3), filter_height=2, filter_width=2, stride_h=2, stride_w=2)
        assert cost(net).vector_ops == 4 * 4 * 3 * 4


def test_a_mean_touches_every_input_and_runs_as_a_depthwise_layer_where_the_machine_says():
    net = Net(1, 8, 8, 128).mean()
    assert cost(net).work.cycles == 8 * 8 * 128 // 16
    work = cost(net, load("ethos-u55-256-like")).work
    assert work.useful + work.edge + work.decode == 8192


@pytest.mark.parametrize("kind", ["PAD", "PADV2", "TRANSPOSE", "CONCATENATION"])
def test_moving_elements_takes_cycles_but_no_arithmetic(kind):
    net = Net(1, 4, 4, 8)
    found = cost(net.op(kind, (1, 6, 6, 8), net.constant("paddings", (4, 2), "int32")))
    assert (found.work.cycles, found.vector_ops, found.work.sram_write_bytes) == (6 * 6 * 8 // 16, 0, 6 * 6 * 8)


@pytest.mark.parametrize("kind", ["RESHAPE", "SQUEEZE", "EXPAND_DIMS"])
def test_renaming_is_free(kind):
    found = cost(Net(1, 4, 4, 8).op(kind, (1, 128)))
    assert found.renames
    assert found.work.cycles == found.work.sram_read_bytes == 0


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((1, 4, 4, 3), (8, 3, 3, 2), (1, 4, 4, 8)), {}, "channels of input and kernel must divide. Received: 3 and 2"),
        (((1, 4, 4, 4), (3, 3, 3, 2), (1, 4, 4, 3)), {}, "filters and groups must divide. Received: 3 and 2"),
        (((1, 4, 4), (8, 3, 3, 4), (1, 4, 4, 8)), {}, "`a` must have 4 dimensions, none of them empty"),
        (((1, 4, 4, 0), (8, 3, 3, 0), (1, 4, 4, 8)), {}, "`a` must have 4 dimensions, none of them empty"),
        (((1, 4, 4, 2), (8, 3, 3, 2), (1, 4, 4, 8)), {"stride_h": 0}, "`stride_h` of a convolution or pool must be"),
    ],
)
def test_shapes_that_make_no_convolution_are_refused(shapes, options, message):
    a, kernel, y = shapes
    tensors = [
        Tensor("a", a, "int8"),
        Tensor("k", kernel, "int8", data=np.zeros(kernel, np.int8)),
        Tensor("y", y, "int8"),
    ]
    with pytest.raises(ValueError, match=message):
        cost_of(Op("CONV_2D", (0, 1, -1), (2,), options), tensors, MACHINE)


@pytest.mark.parametrize("kind", sorted(COSTS))
def test_an_op_without_operands_is_refused(kind):
    with pytest.raises(ValueError, match="must have at least"):
        cost_of(Op(kind, (), ()), [], MACHINE)
