"""Channel gates in standard ops."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
import tflite_export as tfe
from from_keras.helpers import kinds
from tfcompress.gating.channel_gate import SampledSwitch
from tfcompress.layers import ChannelGate
from tflite_export import passes
from tflite_export.flatbuffer import read
from tflite_export.from_keras import lower
from tflite_export.interpreter import Executor

RNG = np.random.default_rng(0)


def model_of(features: tuple[int, ...], block: tuple[int, ...]) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = [keras.Input(features, name="features"), keras.Input(block, name="block")]
    model = keras.Model(inputs, ChannelGate(units=4, open_share=0.5, name="gate")(inputs))
    model.get_layer("gate").norm.moving_mean.assign(RNG.normal(size=4) / 10)
    return model


@pytest.mark.parametrize(
    ("features", "block", "expected"),
    [
        ((4, 4, 6), (4, 4, 3), ["MEAN", "FULLY_CONNECTED", "FULLY_CONNECTED", "MINIMUM", "MUL"]),
        ((5, 6), (7, 3), ["MEAN", "FULLY_CONNECTED", "FULLY_CONNECTED", "MINIMUM", "MUL"]),
        ((6,), (3,), ["FULLY_CONNECTED", "FULLY_CONNECTED", "MINIMUM", "MUL"]),
        ((4, 4, 6), (3,), ["FULLY_CONNECTED", "FULLY_CONNECTED", "MINIMUM", "RESHAPE", "MUL"]),
    ],
)
def test_a_gate_is_a_step_and_a_product_in_float(
    features: tuple[int, ...], block: tuple[int, ...], expected: list[str]
) -> None:
    model = model_of(features, block)
    x = [RNG.normal(size=(16, *shape)).astype(np.float32) for shape in (features, block)]
    wanted = np.asarray(model(x))
    assert 0.1 < (wanted == 0).mean() < 0.9
    for graph in (lower(model), passes.FLOAT(lower(model))):
        (made,) = (Executor(graph).run(x)[t] for t in graph.outputs)
        np.testing.assert_array_equal(made, wanted)
    assert kinds(graph) == expected


def test_a_gate_in_a_sequential_model_gates_what_it_gets() -> None:
    model = keras.Sequential([keras.Input((4, 4, 3)), ChannelGate(units=4, open_share=0.5), layers.Flatten()])
    x = RNG.normal(size=(8, 4, 4, 3)).astype(np.float32)
    graph = passes.FLOAT(lower(model))
    np.testing.assert_array_equal(Executor(graph).run([x])[graph.outputs[0]], model(x))


ALL = np.arange(-128, 128, dtype=np.int8)


def test_on_a_trained_grid_every_code_decides_as_keras_does() -> None:
    """Steps of all sizes: a step far below 1/512 is where LiteRT's GREATER fails."""
    inputs = [keras.Input((3,), name="x"), keras.Input((3,), name="logits")]
    grids = [tfc.LSQ(bits=8, axis=(), signed=True, narrow_range=False, name=f"grid_{k}") for k in range(2)]
    model = keras.Model(inputs, SampledSwitch()([lsq(i) for lsq, i in zip(grids, inputs, strict=True)]))
    for logit_step in (3.0, 0.1, 1e-5):
        for lsq, step in zip(grids, (0.5, logit_step), strict=True):
            lsq.calibrate(127 * step * np.ones((1, 3), np.float32))
        blob = tfe.convert(model)
        steps = [i["quantization"][0] for i in tfe.Interpreter(model_content=blob).get_input_details()]
        codes = [np.tile(c[:, None], (1, 3)) for c in (ALL[::-1], ALL)]
        made = tfe.Interpreter(model_content=blob).predict(codes)
        wanted = np.asarray(model([c.astype(np.float32) * s for c, s in zip(codes, steps, strict=True)])) / steps[0]
        np.testing.assert_array_equal(made, np.rint(wanted))
        assert 0 < (made == 0).mean() < 1


def test_the_sign_of_an_accumulator_is_the_decision() -> None:
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((3,), name="x"), keras.Input((4,), name="seen")]
    model = keras.Model(inputs, SampledSwitch()([inputs[0], layers.Dense(3, name="logits")(inputs[1])]))
    x = [RNG.normal(size=(400, n)).astype(np.float32) for n in (3, 4)]
    graph = read(tfe.convert(model, [x]))
    (dense,) = (op for op in graph.ops if op.kind == "FULLY_CONNECTED")
    seen, weight, bias, gates = (graph.tensors[t] for t in (*dense.inputs, *dense.outputs))
    codes = RNG.integers(-128, 128, (2000, 4)).astype(np.int8)
    sums = (codes.astype(np.int64) - seen.quantization.zero_point) @ weight.data.T.astype(np.int64) + bias.data
    (made,) = (Executor(graph).run([np.ones((2000, 3), np.int8), codes], keep=True)[t] for t in dense.outputs)
    np.testing.assert_array_equal(made - gates.quantization.zero_point, sums > 0)
    assert gates.quantization.zero_point == 126 and (np.abs(sums) < 100).sum() > 20
