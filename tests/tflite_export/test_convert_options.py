"""Widths, calibration and powers of two, from the Keras model to what LiteRT's reference kernels deliver."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfcompress.compressed import Compressed
from tfcompress.grid import Grid
from tfcompress.transform import Transform
from tflite_export.calibration import Percentile
from tflite_export.convert import convert, integer_graph
from tflite_export.flatbuffer import read
from tflite_export.interpreter import Interpreter
from tflite_export.npu import estimate
from tflite_export.receipt import receipt
from tflite_export.verify import verify

IMAGES = np.random.default_rng(0).uniform(0, 1, (24, 8, 8, 3)).astype(np.float32)
OCTAVES = [0.0, *(sign * 2.0**-e for e in range(2, 9) for sign in (-1, 1))]
"""Seven octaves of powers of two."""


class Fixed(Transform):
    """Rounds to an affine grid, or to the nearest of ``values``."""

    def __init__(self, step: float = 1.0, bits: int = 8, signed: bool = True, values: object = None) -> None:
        super().__init__()
        values = None if values is None else np.sort(np.float32(values))
        self.fixed = Grid(np.float32(step), bits, signed=signed, values=values)

    def call(self, x: object, training: bool | None = None) -> object:
        grid = self.fixed
        if grid.values is not None:
            return ops.take(grid.values, ops.argmin(ops.abs(x[..., None] - grid.values), axis=-1))
        return ops.clip(ops.round(x / grid.scale), grid.low, grid.high) * grid.scale

    def grid(self, x: object) -> Grid:
        return self.fixed


def network(kernel: object = None, softmax: bool = True) -> keras.Model:
    """Every op of a small convolutional network; ``kernel()`` makes the transform of each weight."""
    keras.utils.set_random_seed(0)

    def made(layer: layers.Layer) -> layers.Layer:
        return layer if kernel is None else Compressed(layer, {"kernel": kernel()})

    image = keras.Input((8, 8, 3), name="image")
    x = made(layers.Conv2D(8, 3, padding="same", name="conv"))(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.ReLU(6)(made(layers.DepthwiseConv2D(3, padding="same", name="depthwise"))(x))
    x = layers.Concatenate()([layers.Add()([x, y]), layers.MaxPooling2D(3, 1, padding="same")(x)])
    x = layers.ZeroPadding2D(1)(layers.AveragePooling2D(2)(x))
    x = layers.Multiply()([x, layers.Activation("sigmoid")(x)])
    x = layers.Flatten()(layers.Conv2D(4, 3, name="late")(x))
    x = layers.Concatenate()([x, layers.GlobalAveragePooling2D()(y)])
    x = made(layers.Dense(16, name="hidden"))(x)
    return keras.Model(image, layers.Dense(5, activation="softmax" if softmax else None, name="head")(x))


def assert_exact(blob: bytes, model: keras.Model) -> None:
    """Every tensor equals the reference kernels', and is as close to Keras as rounding allows."""
    verify(blob, IMAGES[:6], keras_model=model).raise_if_different()


def test_int16_maps_are_exact_and_nearer_to_keras_than_int8_ones() -> None:
    model = network()
    expected = model.predict(IMAGES, verbose=0)
    floats = {"inference_input_type": "float32", "inference_output_type": "float32"}
    errors = {}
    for activation_type in ("int8", "int16"):
        blob = convert(model, IMAGES, activation_type=activation_type, **floats)
        assert_exact(blob, model)
        errors[activation_type] = np.abs(Interpreter(model_content=blob).predict(IMAGES) - expected).mean()
        assert estimate(blob).totals["time_us"] > 0
    assert errors["int16"] < errors["int8"] / 2
    assert {t.dtype for t in read(blob).tensors} <= {"int16", "int8", "int64", "int32", "float32"}


def test_int16_borders_take_int16() -> None:
    graph = integer_graph(network(), IMAGES, activation_type="int16")
    assert {graph.tensors[t].dtype for t in (*graph.inputs, *graph.outputs)} == {"int16"}
    weights = [t for t in graph.tensors if t.name.endswith("kernel")]
    assert {t.dtype for t in weights} == {"int8"}
    assert {t.dtype for t in graph.tensors if t.name.endswith("bias")} == {"int64"}
    with pytest.raises(ValueError, match=r"`inference_input_type` must be one of \('int16', 'float32'\).*'int8'"):
        integer_graph(network(), IMAGES, activation_type="int16", inference_input_type="int8")


def test_trained_maps_of_sixteen_bits_are_kept() -> None:
    keras.utils.set_random_seed(0)
    x = keras.Input((6,), name="x")
    y = Fixed(2.0**-15, bits=15, signed=False)(layers.ReLU()(layers.Dense(4, name="d")(Fixed(2.0**-14, bits=16)(x))))
    model = keras.Model(x, y)
    graph = integer_graph(model, activation_type="int16")
    assert [graph.tensors[t].quantization.scale[0] for t in (*graph.inputs, *graph.outputs)] == [2.0**-14, 2.0**-15]
    verify(
        convert(model, activation_type="int16"), np.random.default_rng(0).normal(0, 1, (9, 6)), model
    ).raise_if_different()
    with pytest.raises(
        ValueError, match=r"transforms of at most 8 bits.*\(16 bits\).*\(15 bits\).*activation_type='int16'"
    ):
        convert(model)


def test_packed_weights_shrink_the_file_and_change_no_result() -> None:
    model = network(lambda: Fixed(0.05, bits=4))
    files = {storage: convert(model, IMAGES, weight_storage=storage) for storage in ("int8", "int4")}
    outputs = [Interpreter(model_content=blob).predict(IMAGES) for blob in files.values()]
    np.testing.assert_array_equal(*outputs)
    assert_exact(files["int4"], model)
    rows = {row["tensor"]: row for row in receipt(files["int4"], model).rows}
    packed = {name for name, row in rows.items() if row["dtype"] == "int4"}
    assert packed == {"conv/kernel", "depthwise/kernel", "hidden/kernel"}
    assert all(rows[name]["raw_bytes"] == -(-rows[name]["elements"] // 2) for name in packed)
    saved = sum(rows[name]["elements"] // 2 for name in packed)
    assert len(files["int8"]) - len(files["int4"]) > saved - 100
    assert receipt(files["int4"], model).ok
    moved = [estimate(blob).totals["weight_stored_bytes"] for blob in files.values()]
    assert moved[1] < moved[0]


def test_ternary_weights_take_two_bits_in_dense_layers_only() -> None:
    blob = convert(network(lambda: Fixed(0.1, bits=2)), IMAGES, weight_storage="int2")
    types = {t.name: t.dtype for t in read(blob).tensors if t.name.endswith("kernel")}
    assert types == {"conv/kernel": "int4", "depthwise/kernel": "int4", "late/kernel": "int8", "hidden/kernel": "int2",
                     "head/kernel": "int8"}  # fmt: skip
    verify(blob, IMAGES[:4]).raise_if_different()


def test_dense_layers_pack_beside_int16_maps() -> None:
    model = network(lambda: Fixed(0.05, bits=4))
    blob = convert(model, IMAGES, activation_type="int16", weight_storage="int4")
    types = {t.name: t.dtype for t in read(blob).tensors if t.name.endswith("kernel")}
    assert (types["hidden/kernel"], types["conv/kernel"]) == ("int4", "int8")
    verify(blob, IMAGES[:4]).raise_if_different()


def test_weights_without_transform_take_the_bits_that_were_asked_for() -> None:
    blob = convert(network(), IMAGES, weight_bits=4, weight_storage="int4")
    rows = [row for row in receipt(blob).rows if row["tensor"].endswith("kernel")]
    assert {(row["dtype"], row["true_bits"]) for row in rows} == {("int4", 4)}


@pytest.mark.parametrize("calibration", ["min_max", "percentile", "mse", Percentile(99.0)], ids=str)
@pytest.mark.parametrize("activation_type", ["int8", "int16"])
def test_every_calibration_gives_an_exact_file(calibration: object, activation_type: str) -> None:
    verify(
        convert(network(), IMAGES, calibration=calibration, activation_type=activation_type), IMAGES[:3]
    ).raise_if_different()


def test_calibrations_differ() -> None:
    scaled = IMAGES * np.exp(np.random.default_rng(0).normal(0, 1, IMAGES.shape)).astype(np.float32)
    files = {convert(network(), scaled, calibration=name) for name in ("min_max", "percentile", "mse", Percentile(98))}
    assert len(files) == 4


def test_a_progress_bar_runs_over_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    convert(network(), IMAGES, verbose=1)
    assert "1/1" in capsys.readouterr().out


def powers_of_two(softmax: bool = False) -> keras.Model:
    """Scales and weights are powers of two, one kernel on seven octaves of a codebook."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = Fixed(2.0**-7)(image)
    x = layers.ReLU()(Compressed(layers.Conv2D(8, 3, name="conv"), {"kernel": Fixed(values=OCTAVES)})(x))
    x = Fixed(2.0**-6, signed=False)(x)
    x = layers.AveragePooling2D(2)(x)
    y = Fixed(2.0**-5)(Compressed(layers.Conv2D(8, 1, name="skip"), {"kernel": Fixed(values=OCTAVES)})(x))
    x = layers.Flatten()(Fixed(2.0**-4)(layers.Add(name="add")([x, y])))
    x = Fixed(2.0**-3)(Compressed(layers.Dense(5, name="head"), {"kernel": Fixed(values=OCTAVES)})(x))
    return keras.Model(image, layers.Softmax(name="shares")(x) if softmax else x)


def test_a_model_of_powers_of_two_is_exported_without_a_multiplier() -> None:
    model = powers_of_two()
    blob = convert(model)
    assert_exact(blob, model)
    result = receipt(blob, model)
    assert result.ok
    assert result.shift_only
    assert f"{len(result.operations)} of {len(result.operations)} ops multiply by powers of two only." in str(result)
    graph = read(blob)
    kernel = next(t for t in graph.tensors if t.name == "conv/kernel")
    assert set(np.unique(kernel.data)) <= {0, *(sign * 2**e for e in range(7) for sign in (-1, 1))}
    assert np.abs(kernel.data).max() == 64
    assert kernel.quantization.scale.tolist() == [2.0 ** (-2 - 6)]


def test_what_still_multiplies_is_listed() -> None:
    result = receipt(convert(powers_of_two(softmax=True)))
    assert not result.shift_only
    assert [record["op"] for record in result.operations if not record["shift_only"]] == ["SOFTMAX"]
    assert "shares (SOFTMAX): exponentials and their sum" in str(result)


@pytest.mark.parametrize("calibration", ["min_max", "mse"])
@pytest.mark.parametrize("activation_type", ["int8", "int16"])
def test_calibrated_steps_can_be_powers_of_two(calibration: str, activation_type: str) -> None:
    model = network()
    blob = convert(model, IMAGES, power_of_two=True, calibration=calibration, activation_type=activation_type)
    verify(blob, IMAGES[:3], model).raise_if_different()
    graph = read(blob)
    assert all(np.all(np.frexp(t.quantization.scale)[0] == 0.5) for t in graph.tensors if t.quantization)
    multiplies = {r["op"]: r["multiplies"] for r in receipt(blob).operations if not r["shift_only"]}
    assert set(multiplies) <= {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL", "SOFTMAX", "LOGISTIC"}
    assert all(multiplies[op] == "weights" for op in ("CONV_2D", "FULLY_CONNECTED"))


@pytest.mark.parametrize(
    ("option", "value"),
    [("activation_type", "float16"), ("weight_storage", "int3"), ("weight_bits", 9), ("calibration", "kl")],
)
def test_options_that_do_not_exist_are_refused(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"`{option}` must be .*Received: .*{value}"):
        convert(network(), IMAGES, **{option: value})
