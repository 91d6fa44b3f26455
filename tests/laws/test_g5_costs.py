"""Law G5: costs of layers sum to the total, utilisation is at most 1, more zeros, bandwidth or SRAM never cost more.

Nor do fewer multiply-accumulates. What the laws leave out, for it may really cost more: a zero where machines transform
weights (Winograd), sort filters, or code them by entropy without a zero before.
"""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.npu import estimate, load, machines
from tflite_export.npu.decoder import Decoder
from tflite_export.npu.formats import Format
from tflite_export.npu.result import CYCLES

INTEGERS = (
    *CYCLES, "macs", "macs_executed", "vector_ops", "weight_count", "weight_zeros",
    "weight_stored_bytes", "weight_entropy_bytes", "sram_read_bytes", "sram_write_bytes", "dram_read_bytes",
    "dram_write_bytes",
)  # fmt: skip

GRID = Quantization(np.ones(1, np.float32), np.zeros(1, np.int64))
RELU = {"fused_activation_function": "RELU"}
FAST = settings(max_examples=8, deadline=None, derandomize=True)


def tensor(name, shape, data=None):
    return Tensor(name, tuple(shape), "int8", GRID, data)


def codes(seed, shape, density):
    """Random int8 codes of which the share ``density`` may differ from 0; a lower density zeroes some more of them."""
    random = np.random.default_rng(seed)
    values = np.clip(np.rint(random.normal(0, 20, shape)), -127, 127)
    rank = random.permutation(values.size).reshape(shape)
    return np.where(rank < int(density * values.size), values, 0).astype(np.int8)


@st.composite
def networks(draw):
    """``density -> Graph``: a convolution (grouped, strided, dilated or depthwise), a sum with itself, a product."""
    size = st.integers(1, 24)
    h, w, groups = draw(size), draw(size), draw(st.sampled_from([1, 1, 2, 3]))
    c, filters = groups * draw(st.integers(1, 40)), groups * draw(st.integers(1, 40))
    kh, kw, stride, dilation = (draw(st.integers(1, top)) for top in (5, 5, 3, 2))
    units, depthwise, seed = draw(st.integers(1, 60)), draw(st.booleans()), draw(st.integers(0, 99))
    out = c if depthwise else filters
    oh, ow = -(-h // stride), -(-w // stride)
    options = {"padding": "SAME", "stride_h": stride, "stride_w": stride, **RELU}
    options |= {"dilation_h_factor": dilation, "dilation_w_factor": dilation}

    def build(density):
        kernel = (1, kh, kw, c) if depthwise else (filters, kh, kw, c // groups)
        tensors = (
            tensor("x", (1, h, w, c)),
            tensor("kernel", kernel, codes(seed, kernel, density)),
            tensor("conv", (1, oh, ow, out)),
            tensor("sum", (1, oh, ow, out)),
            tensor("flat", (1, oh * ow * out)),
            tensor("matrix", (units, oh * ow * out), codes(seed, (units, oh * ow * out), density)),
            tensor("dense", (1, units)),
        )
        ops = (
            Op("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", (0, 1, -1), (2,), options),
            Op("ADD", (2, 2), (3,), RELU),
            Op("RESHAPE", (3,), (4,)),
            Op("FULLY_CONNECTED", (4, 5, -1), (6,)),
        )
        return Graph(tensors, ops, (0,), (6,))

    return build


def vary(machine, **memory):
    return replace(machine, memory=replace(machine.memory, **memory))


def variant(base, array, **more):
    chip = load(base)
    return replace(chip, name=f"{base}, {array | more}", array=replace(chip.array, **array), **more)


VARIANTS = [
    variant("balanced-16x16", {"lanes": 4, "queue_depth": 3}, activation_zeros="skipped"),
    variant("balanced-16x16", {"rows": 3, "columns": 5, "queue_depth": 0, "multiplier": "bricks"}, cores=3),
    variant("balanced-16x16", {"multiplier": "shift", "lanes": 8}),
    variant("ethos-u55-128-like", {"multiplier": "serial"}, weight_format="run_length"),
    variant(
        "systolic-16-ws", {"multiplier": "binned"}, weight_zeros="gated", weight_format="n_m", static_pj_per_cycle=2.0
    ),
    variant("bricks-16x16", {}, decoder=Decoder(bits_per_cycle=16, symbols_per_cycle=3)),
]
TRANSFORMING = [
    variant("balanced-16x16", {"reorder": True}, winograd=2),
    variant("systolic-16-os", {}, winograd=4, cores=2),
]
STRAIGHT = [*map(load, machines()), *VARIANTS]


@pytest.fixture(params=[*STRAIGHT, *TRANSFORMING], ids=lambda chip: chip.name, scope="module")
def machine(request):
    return request.param


@pytest.fixture(params=STRAIGHT, ids=lambda chip: chip.name, scope="module")
def straight(request):
    """A machine that does not transform or sort weights."""
    return request.param


def small_sram(machine):
    """The machine with so little SRAM that most networks must be tiled."""
    return vary(machine, sram_bytes=6000)


@FAST
@given(build=networks(), tight=st.booleans())
def test_parts_sum_to_layers_and_layers_to_the_total(machine, build, tight):
    found = estimate(build(0.5), small_sram(machine) if tight else machine)
    for row in found.rows:
        assert sum(row[part] for part in CYCLES) == row["cycles_total"]
        assert all(type(row[key]) is int and row[key] >= 0 for key in INTEGERS)
    for key in (*INTEGERS, "cycles_total"):
        assert found.totals[key] == sum(row[key] for row in found.rows)


@FAST
@given(build=networks(), tight=st.booleans())
def test_utilisation_is_at_most_one(machine, build, tight):
    found = estimate(build(0.5), small_sram(machine) if tight else machine)
    assert all(0 <= row["utilisation"] <= 1 for row in [*found.rows, found.totals])
    assert all(row["cycles_total"] > 0 for row in found.rows if row["op"] != "RESHAPE")


def assert_no_dearer(cheap, dear):
    """Cycles, main-memory bytes and energy, layer by layer."""
    for a, b in zip([*cheap.rows, cheap.totals], [*dear.rows, dear.totals]):
        for key in ("cycles_total", "energy_dram_pj"):
            assert a[key] <= b[key], (a["layer"], key)


@FAST
@given(
    build=networks(),
    densities=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    tight=st.booleans(),
    weight_format=st.sampled_from(get_args(Format)),
)
def test_more_zeros_never_cost_more(straight, build, densities, tight, weight_format):
    # at a density of a half or less zero is the commonest code, which entropy coding asks for; see the last test
    chip = replace(small_sram(straight) if tight else straight, weight_format=weight_format)
    low, high = sorted(densities)
    assert_no_dearer(estimate(build(low), chip), estimate(build(high), chip))


@FAST
@given(
    build=networks(),
    factor=st.floats(1, 50),
    tight=st.booleans(),
    port=st.sampled_from(["dram_bytes_per_cycle", "sram_bytes_per_cycle"]),
)
def test_more_bandwidth_never_costs_more(machine, build, factor, tight, port):
    chip = small_sram(machine) if tight else machine
    wider = vary(chip, **{port: factor * getattr(chip.memory, port)})
    assert_no_dearer(estimate(build(0.5), wider), estimate(build(0.5), chip))


@FAST
@given(
    build=networks(),
    sizes=st.tuples(st.integers(1500, 60_000), st.integers(1500, 60_000)),
    layout=st.sampled_from(["nhwc", "nhcwb16"]),
    buffers=st.sampled_from([1, 2]),
)
def test_more_sram_never_costs_more(machine, build, sizes, layout, buffers):
    small, large = (vary(machine, sram_bytes=size, layout=layout, buffers=buffers) for size in sorted(sizes))
    assert_no_dearer(estimate(build(0.5), large), estimate(build(0.5), small))


@FAST
@given(
    sizes=st.tuples(st.integers(1, 14), st.integers(1, 40), st.integers(1, 70)),
    more=st.tuples(st.integers(0, 9), st.integers(0, 40)),
    kernel=st.integers(1, 3),
    density=st.floats(0, 1),
)
def test_more_products_never_cost_less(straight, sizes, more, kernel, density):
    (side, channels, filters), (rows, more_filters) = sizes, more
    weights = codes(3, (filters + more_filters, kernel, kernel, channels), density)

    def layer(height, number):
        tensors = (
            tensor("x", (1, height, side, channels)),
            tensor("kernel", (number, kernel, kernel, channels), weights[:number]),
            tensor("y", (1, height, side, number)),
        )
        return estimate(Graph(tensors, (Op("CONV_2D", (0, 1, -1), (2,), {"padding": "SAME"}),), (0,), (2,)), straight)

    small, large = layer(side, filters), layer(side + rows, filters + more_filters)
    assert_no_dearer(small, large)
    assert small.totals["energy_mac_pj"] <= large.totals["energy_mac_pj"]


@st.composite
def layers(draw):
    """A convolution, dense, grouped or depthwise, that the interpreter runs."""
    (h, w), groups, depthwise = (
        draw(st.tuples(st.integers(1, 9), st.integers(1, 9))),
        draw(st.integers(1, 2)),
        draw(st.booleans()),
    )
    c, filters = groups * draw(st.integers(1, 20)), groups * draw(st.integers(1, 12))
    k, stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel = (1, k, k, c) if depthwise else (filters, k, k, c // groups)
    out = c if depthwise else filters
    options = {"padding": "SAME", "stride_h": stride, "stride_w": stride, "fused_activation_function": "NONE"}
    options |= {"dilation_h_factor": dilation, "dilation_w_factor": dilation, "depth_multiplier": 1}
    tensors = (
        tensor("x", (1, h, w, c)),
        tensor("kernel", kernel, codes(draw(st.integers(0, 99)), kernel, 0.6)),
        Tensor("bias", (out,), "int32", GRID, np.zeros(out, np.int32)),
        tensor("y", (1, -(-h // stride), -(-w // stride), out)),
    )
    return Graph(tensors, (Op("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", (0, 1, 2), (3,), options),), (0,), (3,))


@FAST
@given(graph=layers(), seed=st.integers(0, 99), zeros=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@pytest.mark.parametrize("policy", ["gated", "skipped"])
def test_zeros_in_the_data_never_cost_more_and_parts_still_sum(policy, graph, seed, zeros):
    chip = replace(VARIANTS[0], activation_zeros=policy, array=replace(VARIANTS[0].array, rows=2, columns=3))
    random, shape = np.random.default_rng(seed), (2, *graph.tensors[0].shape[1:])
    data, chance = random.integers(1, 100, shape, np.int8), random.random(shape)
    some, more = (estimate(graph, chip, np.where(chance < share, np.int8(0), data)) for share in sorted(zeros))
    assert_no_dearer(more, some)
    assert more.totals["energy_mac_pj"] <= some.totals["energy_mac_pj"]
    for found in (some, more):
        for row in (*found.rows, found.totals):
            assert sum(row[part] for part in CYCLES) == row["cycles_total"]
            assert 0 <= row["utilisation"] <= 1
            assert row["cycles_p50"] <= row["cycles_p95"] <= row["cycles_max"]


def test_a_single_repeated_weight_is_the_exception_that_entropy_coding_makes():
    """One code alone needs no bits but its table; the first zero among them makes two codes."""
    weights = np.full((8, 1, 1, 8), 5, np.int8)
    pruned = weights.copy()
    pruned[0] = 0

    def coded(kernel):
        tensors = (tensor("x", (1, 4, 4, 8)), tensor("kernel", kernel.shape, kernel), tensor("y", (1, 4, 4, 8)))
        graph = Graph(tensors, (Op("CONV_2D", (0, 1, -1), (2,)),), (0,), (2,))
        return estimate(graph, "ethos-u55-128-like").rows[0]["weight_entropy_bytes"]

    assert coded(weights) < coded(pruned)
