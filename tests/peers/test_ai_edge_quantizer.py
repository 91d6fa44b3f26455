"""Files that ai-edge-quantizer wrote are read, run as LiteRT's reference kernels run them, and estimated."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe
from networks import IMAGES, convolutional, one_by_one

import tflite_export as tfe
from tflite_export.flatbuffer import read

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors:UserWarning"),  # the quantiser sets it
]


@pytest.fixture(scope="module")
def blob() -> bytes:
    keras.utils.set_random_seed(0)
    model = convolutional()
    fixed = keras.Input(batch_shape=(1, 8, 8, 1), name="image")
    plain = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, model(fixed))).convert()
    work = quantizer.Quantizer(plain, recipe.static_wi8_ai8())
    runner = Interpreter(model_content=plain).get_signature_runner()
    (name,) = runner.get_input_details()
    data = {"serving_default": [{name: image[None, :, :, None]} for image in IMAGES[:50]]}
    result = work.quantize(work.calibrate(data), enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def test_no_value_differs_from_the_reference_kernels(blob: bytes) -> None:
    kinds = {op.kind for op in read(blob).ops}
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"} <= kinds
    verification = tfe.verify(blob, IMAGES[:4, :, :, None])
    verification.raise_if_different()
    assert verification.total("reference")[0] == 0


def test_it_costs_what_the_machine_says(blob: bytes) -> None:
    assert tfe.npu.check(blob).ok
    assert tfe.npu.estimate(blob).totals["macs"] == 8 * 8 * (9 * 16 + 9 * 16 + 16 * 16) + 160


def test_our_interpreter_classifies_as_theirs(blob: bytes) -> None:
    theirs = Interpreter(model_content=blob)
    codes = np.rint(IMAGES[:20, :, :, None] * 255 - 128).astype(np.int8)
    outputs = np.concatenate([one_by_one(theirs, image) for image in codes])
    ours = tfe.Interpreter(model_content=blob).predict(codes)
    np.testing.assert_array_equal(outputs.argmax(axis=-1), ours.argmax(axis=-1))
