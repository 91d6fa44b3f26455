"""Weights of few bits share bytes where a kernel unpacks them, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from passes.helpers import Chart, assert_equal_results, grid, of
from tflite_export.flatbuffer import read, write
from tflite_export.ir import Graph, Quantization
from tflite_export.litert import LiteRT
from tflite_export.passes.pack_weights import pack_weights
from tflite_export.passes.quantize import quantize

OPTIONS = {
    "padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1,
    "fused_activation_function": "RELU",
}  # fmt: skip
SHAPES = {"CONV_2D": (5, 3, 3, 7), "DEPTHWISE_CONV_2D": (1, 3, 3, 7), "FULLY_CONNECTED": (5, 7)}


def layer(kind: str, low: int, high: int, rows: int | None = None) -> Graph:
    """An integer graph of one op with codes from ``low`` to ``high``."""
    chart, rng, axis = Chart(), np.random.default_rng(0), 3 if kind == "DEPTHWISE_CONV_2D" else 0
    shape = SHAPES[kind] if rows is None else (rows, 7)
    codes = rng.integers(low, high + 1, shape)
    codes.flat[:2] = low, high
    scale = rng.uniform(0.01, 0.1, shape[axis]).astype(np.float32)
    steps = Quantization(scale, np.zeros(len(scale), np.int64), axis)
    along = [-1 if k == axis else 1 for k in range(len(shape))]
    weight = chart.constant((codes * scale.reshape(along)).astype(np.float32), steps)
    bias = chart.constant(rng.normal(0, 1, len(scale)).astype(np.float32))
    inside = (7,) if kind == "FULLY_CONNECTED" else (4, 4, 7)
    x = chart.input(*inside, grid=grid(0.1, 5))
    options = {} if kind == "FULLY_CONNECTED" else OPTIONS
    extra = {"depth_multiplier": 1} if axis == 3 else {}
    return quantize(
        chart.graph(
            chart.op(kind, x, weight, bias, shape=(1, *inside[:-1], len(scale)), grid=grid(0.3), **options, **extra)
        )
    )


@pytest.mark.parametrize(
    ("kind", "low", "high", "narrowest", "expected"),
    [
        ("CONV_2D", -7, 7, "int4", "int4"),
        ("CONV_2D", -8, 7, "int4", "int4"),
        ("CONV_2D", -8, 8, "int4", "int8"),
        ("CONV_2D", -1, 1, "int2", "int4"),
        ("DEPTHWISE_CONV_2D", -2, 1, "int2", "int4"),
        ("FULLY_CONNECTED", -7, 7, "int4", "int4"),
        ("FULLY_CONNECTED", -1, 1, "int4", "int4"),
        ("FULLY_CONNECTED", -1, 1, "int2", "int2"),
        ("FULLY_CONNECTED", -2, 1, "int2", "int2"),
        ("FULLY_CONNECTED", -2, 2, "int2", "int4"),
        ("FULLY_CONNECTED", -1, 1, "int8", "int8"),
    ],
)
def test_a_weight_takes_the_narrowest_type_that_its_kernel_unpacks(
    kind: str, low: int, high: int, narrowest: str, expected: str
) -> None:
    plain = layer(kind, low, high)
    if expected == "int8" != narrowest:
        with pytest.warns(UserWarning, match=f"weight_storage='{narrowest}' changes nothing"):
            packed = pack_weights(narrowest)(plain)
    else:
        packed = pack_weights(narrowest)(plain)
    weight = of(packed, 0, 1)
    assert weight.dtype == expected
    np.testing.assert_array_equal(weight.data, of(plain, 0, 1).data)
    assert_equal_results(plain, packed)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("narrowest", ["int4", "int2"])
def test_packed_files_give_the_reference_kernels_the_same_integers(kind: str, narrowest: str) -> None:
    plain = layer(kind, -2 if narrowest == "int2" else -7, 1)
    packed = pack_weights(narrowest)(plain)
    tensor = plain.tensors[plain.inputs[0]]
    x = np.random.default_rng(1).integers(-128, 128, tensor.shape).astype(np.int8)
    with LiteRT("reference") as litert:
        (a, b) = (litert.run(write(graph), [x])[graph.outputs[0]] for graph in (plain, packed))
    np.testing.assert_array_equal(a, b)
    assert len(np.unique(a)) > 3


def test_the_file_shrinks_by_what_the_codes_save() -> None:
    plain = layer("FULLY_CONNECTED", -1, 1, rows=600)
    sizes = [len(write(pack_weights(narrowest)(plain))) for narrowest in ("int8", "int4", "int2")]
    assert sizes[0] - sizes[1] == pytest.approx(4200 / 2, abs=64)
    assert sizes[0] - sizes[2] == pytest.approx(4200 * 3 / 4, abs=64)


def test_the_true_width_stays_in_the_metadata() -> None:
    plain = layer("CONV_2D", -2, 1)
    tensors = list(plain.tensors)
    index = plain.ops[0].inputs[1]
    tensors[index] = replace(tensors[index], quantization=replace(tensors[index].quantization, bits=2))
    packed = read(write(pack_weights("int2")(replace(plain, tensors=tuple(tensors)))))
    assert (of(packed, 0, 1).dtype, of(packed, 0, 1).quantization.bits) == ("int4", 2)


def test_a_zero_point_or_another_reader_keeps_a_weight_as_it_is() -> None:
    plain = layer("FULLY_CONNECTED", -1, 1)
    tensors, index = list(plain.tensors), plain.ops[0].inputs[1]
    steps = tensors[index].quantization
    tensors[index] = replace(tensors[index], quantization=replace(steps, zero_point=steps.zero_point + 1))
    shifted = replace(plain, tensors=tuple(tensors))
    shared = replace(plain, outputs=(*plain.outputs, index))
    for graph in (shifted, shared):
        with pytest.warns(UserWarning, match="changes nothing"):
            assert pack_weights("int2")(graph) == graph


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`weight_storage` must be one of .*Received: 'int3'"):
        pack_weights("int3")
