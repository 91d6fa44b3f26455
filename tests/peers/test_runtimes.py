"""What runs our files on phones computes what our interpreter says: bit for bit, or within a step with XNNPACK."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from networks import NETWORKS, exported, one_by_one

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")]

RUNTIMES = {
    "LiteRT, reference kernels": (Interpreter, OpResolverType.BUILTIN_REF, 0),
    "LiteRT, optimised kernels": (Interpreter, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, 1),
    "LiteRT, XNNPACK": (Interpreter, OpResolverType.AUTO, 1),
    "TensorFlow Lite": (tf.lite.Interpreter, tf.lite.experimental.OpResolverType.BUILTIN_REF, 0),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_interpreter_agrees(runtime: str, network: str) -> None:
    blob, images, ours = exported(network)
    make, kernels, steps = RUNTIMES[runtime]
    theirs = make(model_content=blob, experimental_op_resolver_type=kernels)
    outputs = np.concatenate([one_by_one(theirs, image) for image in images])
    assert np.abs(outputs.astype(int) - ours).max() <= steps
    assert len(np.unique(outputs)) > 10


def test_a_compiled_model_agrees_within_a_step() -> None:
    blob, images, ours = exported("convolutional")
    model = CompiledModel.from_buffer(blob)
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    for image, expected in zip(images, ours, strict=True):
        inputs[0].write(image[None])
        model.run_by_index(0, inputs, outputs)
        assert np.abs(outputs[0].read(10, np.int8).astype(int) - expected).max() <= 1


def test_a_compiled_model_takes_no_state_yet() -> None:
    """When this fails, LiteRT has learned it, and the LSTM belongs to the test above."""
    with pytest.raises(RuntimeError, match="Failed to load model"):
        CompiledModel.from_buffer(exported("recurrent")[0])
