from pathlib import Path

import numpy as np
import pytest

from tflite_export.ir import Tensor
from tflite_export.npu import check, machines
from tflite_export.npu.rules import TARGETS, arrays, ethos_u55
from tflite_export.npu.rules.page import page
from tflite_export.npu.rules.site import texts

from .graphs import Net, mobilenet, small

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "npu_rules.md"


def verdict(net, machine="ethos-u55-128"):
    """Verdict and broken rule of the last op."""
    row = check(net.graph(), machine).rows[-1]
    return row["verdict"], row["rule"]


@pytest.mark.parametrize("machine", machines())
def test_plain_convolutional_networks_run_everywhere(machine):
    for graph in (small(), mobilenet(0.25, 96)):
        result = check(graph, machine)
        assert result.ok and result.crossings == 0, result


def test_an_op_that_is_not_listed_goes_to_the_cpu_or_nowhere():
    net = Net(1, 8, 8, 4).conv(8).op("SIN", (1, 8, 8, 8)).conv(8)
    there = check(net.graph(), "ethos-u55-128")
    assert [row["verdict"] for row in there.rows] == ["PASS", "CPU", "PASS"] and there.crossings == 2
    assert [row["verdict"] for row in check(net.graph(), "systolic-16-os").rows] == ["PASS", "REJECT", "PASS"]


def test_floating_point_is_not_for_the_array():
    net = Net(1, 8)
    net.tensors[net.last] = Tensor("input", (1, 8), "float32")
    assert verdict(net.op("TANH", (1, 8)))[1] == texts(ethos_u55.integer_maps)[0]
    assert verdict(net, "systolic-16-os") == ("REJECT", texts(arrays.integers)[0])


def test_weights_of_four_bits_must_be_stored_in_eight():
    net = Net(1, 8)
    kernel = net.constant("kernel", (4, 8), data=np.ones((4, 8)))
    net.tensors[kernel] = Tensor("kernel", (4, 8), "int4", net.tensors[kernel].quantization, net.tensors[kernel].data)
    assert verdict(net.op("FULLY_CONNECTED", (1, 4), kernel, net.constant("bias", (4,), "int32"))) == (
        "REJECT",
        texts(ethos_u55.whole_bytes)[0],
    )


def test_strides_above_three_must_not_need_padding():
    assert verdict(Net(1, 17, 17, 4).conv(4, stride=3)) == ("PASS", "")
    assert verdict(Net(1, 16, 16, 4).conv(4, stride=4)) == ("PASS", "")  # SAME, and nothing to pad
    assert verdict(Net(1, 17, 17, 4).conv(4, stride=4)) == ("CPU", texts(ethos_u55.short_strides)[0])


@pytest.mark.parametrize(
    ("size", "ethos", "array"), [(65_000, "PASS", "PASS"), (66_000, "CPU", "PASS"), (67_000, "CPU", "REJECT")]
)
def test_weights_that_sum_too_high_are_refused(size, ethos, array):
    net = Net(1, size)
    operands = net.constant("k", (1, size), data=np.full((1, size), 127)), net.constant("b", (1,), "int32")
    net.op("FULLY_CONNECTED", (1, 1), *operands)
    assert (verdict(net)[0], verdict(net, "systolic-16-os")[0]) == (ethos, array)


@pytest.mark.parametrize(
    ("padding", "side", "expected"), [("SAME", 8, "PASS"), ("SAME", 9, "CPU"), ("VALID", 9, "PASS")]
)
def test_large_windows_need_valid_padding(padding, side, expected):
    options = {"filter_height": side, "filter_width": side, "stride_h": 1, "stride_w": 1, "padding": padding}
    assert verdict(Net(1, 16, 16, 4).op("AVERAGE_POOL_2D", (1, 16, 16, 4), **options))[0] == expected


@pytest.mark.parametrize(
    ("kind", "factors", "half", "expected"),
    [
        ("RESIZE_NEAREST_NEIGHBOR", (4, 4), True, "PASS"),
        ("RESIZE_BILINEAR", (4, 4), True, "CPU"),
        ("RESIZE_BILINEAR", (2, 2), True, "PASS"),
        ("RESIZE_BILINEAR", (4, 4), False, "PASS"),
        ("RESIZE_NEAREST_NEIGHBOR", (3, 3), False, "CPU"),
        ("RESIZE_NEAREST_NEIGHBOR", (2, 4), False, "CPU"),
    ],
)
def test_images_are_enlarged_two_four_or_eight_times(kind, factors, half, expected):
    net = Net(1, 5, 5, 4)
    size = net.constant("size", (2,), "int32", data=[5 * factors[0], 5 * factors[1]])
    shape = (1, 5 * factors[0], 5 * factors[1], 4)
    assert verdict(net.op(kind, shape, size, half_pixel_centers=half))[0] == expected


def test_a_maximum_needs_one_grid():
    for zero_point, expected in ((0, "PASS"), (3, "CPU")):
        net = Net(1, 8)
        other = net.tensor("other", (1, 8), zero_point=zero_point)
        assert verdict(net.op("MAXIMUM", (1, 8), other))[0] == expected


def test_depths_that_are_no_multiple_of_sixteen_are_told():
    rows = check(Net(1, 8, 8, 16).conv(17).graph(), "ethos-u55-128").rows
    assert rows[0]["verdict"] == "PASS" and "bricks of 16" in rows[0]["advice"]
    assert check(Net(1, 8, 8, 16).conv(32).graph(), "ethos-u55-128").rows[0]["advice"] == ""


def test_each_reason_is_told_once_with_its_layers_and_the_way_out():
    net = Net(1, 17, 17, 4).conv(4, stride=4, name="first").conv(4, stride=4, name="second")
    text = str(check(net.graph(), "ethos-u55-128"))
    assert text.count("A stride above 3") == 1 and "first, second" in text and "Use a stride of at most 3" in text


@pytest.mark.parametrize("start", TARGETS)
def test_every_rule_says_what_must_hold_and_what_to_do(start):
    target = TARGETS[start]
    own = {rule for rules in target.ops.values() for rule in rules}
    for rule in {*target.readable, *target.everywhere, *own, *target.advice}:
        demand, remedy = texts(rule)
        assert demand.endswith(".") and remedy.endswith("."), rule


def test_the_document_holds_the_rules():
    document = DOCUMENT.read_text(encoding="utf-8")
    for target in TARGETS.values():
        assert page(target) in document, "run: tfcompress check --rules --machine=NAME"
