"""Law G4: the exported model and the Keras model differ by at most one output step per layer on the same input.

Every tensor of the file that has a name of Keras is compared: Keras computes it from the nearest such tensors in front
of it, dequantised, and rounds it to the tensor's grid. Both meet the same numbers, so an error cannot hide behind
another nor add up.
"""

import numpy as np
import pytest
from random_models import random_model, samples, trained

from tfcompress.structure.expand import expand
from tfcompress.structure.replay import replay
from tfcompress.structure.trace import Value, trace
from tflite_export.calibration import snapped
from tflite_export.convert import integer_graph
from tflite_export.interpreter import Executor
from tflite_export.ir import Tensor

pytestmark = pytest.mark.slow

SEEDS = range(24)
SAMPLES = 8


def dequantized(codes: np.ndarray, tensor: Tensor) -> np.ndarray:
    return (codes - tensor.quantization.zero_point).astype(np.float32) * tensor.quantization.scale


@pytest.mark.parametrize("seed", SEEDS)
def test_each_tensor_is_within_one_step_of_keras(seed: int) -> None:
    model = trained(random_model(seed), seed)
    x = samples(model, SAMPLES, seed)
    graph = integer_graph(model, x)
    steps = expand(trace(model))
    values = {value.name: value for call in steps.calls for value in call.outputs}
    grid = graph.tensors[graph.inputs[0]].quantization
    codes = np.clip(np.rint(x / grid.scale) + grid.zero_point, -128, 127).astype(np.int8)
    made = Executor(graph).run([codes], keep=True)
    shared = {t: values[tensor.name] for t, tensor in enumerate(graph.tensors) if tensor.name in values}
    shared = {t: value for t, value in shared.items() if graph.tensors[t].data is None}
    known: dict[Value, np.ndarray] = {value: dequantized(made[t], graph.tensors[t]) for t, value in shared.items()}
    known.setdefault(steps.inputs[0], x)
    compared = [t for t in shared if t not in graph.inputs]
    assert len(compared) >= 5
    for t in compared:
        others = {value: array for value, array in known.items() if value is not shared[t]}
        expected = np.asarray(replay(steps, others)(shared[t]))
        tensor = graph.tensors[t]
        difference = (snapped(expected, tensor.quantization) - known[shared[t]]) / tensor.quantization.scale
        assert np.abs(difference).max() < 1.01, f"{tensor.name}: {np.abs(difference).max():.0f} steps"
