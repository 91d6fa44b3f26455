"""Convolutions through a generated algorithm: the bits of the direct ones, with fewer multiplications."""

import numpy as np
import pytest

from tfcompress.convolution.toom_cook import Tiles
from tflite_export.flatbuffer import write
from tflite_export.interpreter import Executor, Interpreter, UnsupportedOp, winograd
from tflite_export.interpreter.winograd import Generated, exact_division
from tflite_export.ir import Graph, Op, Quantization, Tensor


def on(scale, zero_point=0):
    scale = np.atleast_1d(np.float32(scale))
    return Quantization(scale, np.full(scale.shape, zero_point, np.int64))


def network(filters, size, kind="CONV_2D", padding="SAME", zero_point=7, dtype="int8", **options):
    """A graph of one convolution, scaled such that the outputs fill int8."""
    rng = np.random.default_rng(0)
    channels = filters.shape[0] if kind == "CONV_2D" else filters.shape[3]
    steps = [options.get(f"stride_{a}", 1) for a in "hw"]
    extents = [(n - 1) * options.get(f"dilation_{a}_factor", 1) + 1 for n, a in zip(filters.shape[1:3], "hw")]
    sizes = [-(-(n if padding == "SAME" else n - e + 1) // s) for n, e, s in zip(size, extents, steps)]
    spread = float(np.abs(filters.astype(int)).sum() / channels) ** 0.5 * 5.0
    zero = zero_point if dtype == "int8" else 0
    bias = rng.integers(-5000, 5000, channels).astype(np.int32 if dtype == "int8" else np.int64)
    tensors = (
        Tensor("x", (1, *size), dtype, on(0.02, zero)),
        Tensor("w", filters.shape, "int8", on(rng.uniform(0.5, 1, channels)), filters),
        Tensor("b", (channels,), str(bias.dtype), on(np.ones(channels)), bias),
        Tensor("y", (1, *sizes, channels), dtype, on(0.02 * spread, min(-zero, 127))),
    )
    options = {"padding": padding, "stride_h": 1, "stride_w": 1, "fused_activation_function": "NONE", **options}
    return Graph(tensors, (Op(kind, (0, 1, 2), (3,), options),), (0,), (3,))


def both(graph, x, tiles):
    """Outputs of the direct and of the generated convolution, and what was made."""
    generated = Generated(tiles)
    runs = [Executor(graph).run([x])[3], Executor(graph, generated.kernels).run([x])[3]]
    return *runs, generated.made[0]


def random_case(rng):
    height, width = (int(n) for n in rng.integers(6, 19, 2))
    rows, columns = (int(n) for n in rng.integers(1, 6, 2))
    groups, depth = int(rng.choice([1, 1, 1, 2, 3])), int(rng.integers(1, 6))
    kind, padding = str(rng.choice(["CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D"])), str(rng.choice(["SAME", "VALID"]))
    depthwise = kind == "DEPTHWISE_CONV_2D"
    multiplier = int(rng.integers(1, 4))
    shape = (1, rows, columns, depth * multiplier) if depthwise else (groups * multiplier, rows, columns, depth)
    filters = rng.integers(-127, 128, shape).astype(np.int8)
    size = (height, width, depth if depthwise else groups * depth)
    options = {"depth_multiplier": multiplier} if depthwise else {}
    return network(filters, size, kind, padding, int(rng.integers(-128, 128)), **options), size


def test_random_convolutions_have_no_mismatch(record_property):
    rng, values, served = np.random.default_rng(0), 0, 0
    for k in range(120):
        graph, size = random_case(rng)
        x = rng.integers(-128, 128, (3, *size)).astype(np.int8)
        direct, generated, made = both(graph, x, Tiles(1 + k % 6))
        np.testing.assert_array_equal(generated, direct, err_msg=f"{made} {graph.ops[0]}")
        values, served = values + direct.size, served + (made.note == "")
        assert (made.generated < made.direct) == (made.note == "")
    record_property("values of generated convolutions compared", values)
    assert served > 60


def test_the_interpreter_takes_it_and_tells_what_it_made():
    filters = np.random.default_rng(1).integers(-127, 128, (4, 3, 3, 5)).astype(np.int8)
    blob = write(network(filters, (8, 8, 5)))
    x = np.random.default_rng(2).integers(-128, 128, (3, 8, 8, 5)).astype(np.int8)
    run, direct = Interpreter(model_content=blob, convolution=Tiles(2)), Interpreter(model_content=blob)
    np.testing.assert_array_equal(run.predict(x), direct.predict(x))
    assert run.convolutions == (("y", (3, 3), (2, 2), 64 * 180, 16 * 320, 32, ""),) and direct.convolutions == ()


def test_what_is_no_algorithm_is_refused():
    with pytest.raises(ValueError, match=r"`convolution` must be a function .*Tiles\(2\). Received: 'winograd'"):
        Generated("winograd")


def test_a_block_may_end_anywhere(monkeypatch):
    filters = np.random.default_rng(1).integers(-127, 128, (4, 3, 3, 5)).astype(np.int8)
    x = np.random.default_rng(2).integers(-128, 128, (5, 11, 9, 5)).astype(np.int8)
    for block in (1, 1500, 9000, 10**6):
        monkeypatch.setattr(winograd, "BLOCK", block)
        direct, generated, _ = both(network(filters, (11, 9, 5)), x, Tiles(4))
        np.testing.assert_array_equal(generated, direct)


@pytest.mark.parametrize("zero_point", [-128, 127])
@pytest.mark.parametrize("code", [-128, 127])
@pytest.mark.parametrize("m", [2, 4, 6])
def test_the_largest_numbers_come_out_exactly(zero_point, code, m):
    filters = np.full((2, 3, 3, 16), 127, np.int8)
    filters[1] = -128
    x = np.full((1, 7, 7, 16), code, np.int8)
    direct, generated, made = both(network(filters, (7, 7, 16), zero_point=zero_point), x, Tiles(m))
    np.testing.assert_array_equal(generated, direct)
    assert made.accumulator_bits == (64 if m == 6 else 32)


@pytest.mark.parametrize(("channels", "bits"), [(3669, 32), (3670, 64)])
def test_the_accumulator_is_as_wide_as_it_must_be(channels, bits):
    filters = np.full((1, 3, 3, channels), 127, np.int8)
    x = np.full((1, 4, 4, channels), -128, np.int8)
    direct, generated, made = both(network(filters, (4, 4, channels), padding="VALID"), x, Tiles(2))
    np.testing.assert_array_equal(generated, direct)
    assert made.accumulator_bits == bits


def test_products_too_large_for_float64_are_made_in_int64(monkeypatch):
    filters = np.random.default_rng(1).integers(-127, 128, (4, 5, 5, 3)).astype(np.int8)
    x = np.random.default_rng(2).integers(-128, 128, (2, 12, 12, 3)).astype(np.int8)
    graph = network(filters, (12, 12, 3))
    monkeypatch.setattr(winograd, "EXACT", 0)
    direct, generated, _ = both(graph, x, Tiles(4))
    np.testing.assert_array_equal(generated, direct)


def test_sums_beyond_64_bits_are_refused():
    filters = np.full((4, 5, 5, 3), 127, np.int8)
    with pytest.raises(UnsupportedOp, match=r"CONV_2D, tensor 'w' .* tiles of 8 x 8 make sums of \d+ bits.*smaller"):
        Executor(network(filters, (16, 16, 3)), Generated(Tiles(8)).kernels)


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"stride_h": 2, "stride_w": 2}, r"stride (2, 2), dilation (1, 1)"),
        ({"dilation_h_factor": 2, "dilation_w_factor": 1}, "stride (1, 1), dilation (2, 1)"),
        ({"dtype": "int16"}, "int16, not int8"),
    ],
)
def test_what_the_algorithm_is_not_for_is_computed_directly_and_says_so(options, note):
    filters = np.random.default_rng(1).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    graph = network(filters, (9, 9, 3), **options)
    x = np.random.default_rng(2).integers(-128, 128, (1, 9, 9, 3)).astype(graph.tensors[0].dtype)
    direct, generated, made = both(graph, x, Tiles(2))
    np.testing.assert_array_equal(generated, direct)
    assert made.note == note and made.direct == made.generated == direct.size * 27 and made.tile == (1, 1)


@pytest.mark.parametrize(
    ("kernel", "m", "tile", "saved"),
    [
        ((3, 3), 2, (2, 2), 36 / 16),
        ((3, 3), 4, (4, 4), 144 / 36),
        ((1, 3), 2, (1, 2), 6 / 4),
        ((2, 5), 3, (3, 3), 90 / (4 * 7)),
        ((1, 1), 4, (1, 1), 1),
    ],
)
def test_multiplications_are_n_squared_a_tile(kernel, m, tile, saved):
    filters = np.ones((4, *kernel, 6), np.int8)
    *_, made = both(network(filters, (12, 12, 6)), np.zeros((1, 12, 12, 6), np.int8), Tiles(m))
    assert made.tile == tile and made.kernel == kernel
    assert made.direct == 144 * kernel[0] * kernel[1] * 24
    assert made.direct / made.generated == pytest.approx(saved)


def test_tiles_that_reach_beyond_the_map_count_in_full_and_are_not_taken_where_they_lose():
    filters = np.ones((1, 3, 3, 1), np.int8)
    *_, made = both(network(filters, (7, 7, 1)), np.zeros((1, 7, 7, 1), np.int8), Tiles(4))
    assert made.generated == 4 * 36
    *_, made = both(network(filters, (5, 5, 1), padding="VALID"), np.zeros((1, 5, 5, 1), np.int8), Tiles(8))
    assert made.note == "no fewer multiplications" and made.generated == made.direct == 81


@pytest.mark.parametrize("scale", [1, 4, 36, 576, 57600, 132710400])
def test_multiples_divide_by_one_product_and_a_shift(scale):
    factor, shift = exact_division(scale)
    values = np.random.default_rng(0).integers(-(2**31), 2**31, 1000)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal((values * scale * factor) >> shift, values)
