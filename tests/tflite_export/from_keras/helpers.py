"""What the tests of the lowerings share."""

from typing import Any

import keras
import numpy as np

from tfcompress.grid import Grid
from tfcompress.transform import Transform
from tflite_export.from_keras import lower
from tflite_export.interpreter import Executor
from tflite_export.ir import Graph, Op


class Fixed(Transform):
    """Rounds to a grid that the test chooses; ``step`` is a number or an array that broadcasts to the tensor."""

    def __init__(self, step: Any, bits: int = 8, **grid: Any) -> None:
        super().__init__()
        self.fixed = Grid(np.asarray(step, np.float32), bits, **grid)

    def call(self, x: Any, training: bool | None = None) -> Any:
        grid, ops = self.fixed, keras.ops
        codes = ops.clip(ops.round(x / grid.scale) + grid.zero_point, grid.low, grid.high)
        return (codes - grid.zero_point) * grid.scale

    def grid(self, x: Any) -> Grid:
        return self.fixed


def model_of(*layers: Any, shape: tuple[int, ...]) -> keras.Model:
    """A chain of layers on one input; their weights, biases and statistics are random."""
    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    model = keras.Model(inputs, x)
    scramble(model)
    return model


def scramble(model: keras.Model) -> None:
    """Gives every variable a random value, so that nothing is 0 or 1 by initialisation."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if "float" in variable.dtype and "step" not in variable.path:
            low = 0.5 if "variance" in variable.path else -1.0
            variable.assign(rng.uniform(low, 1.5, variable.shape).astype(np.float32))


def inputs_of(model: keras.Model, count: int = 4) -> list[np.ndarray]:
    """Random inputs."""
    rng = np.random.default_rng(1)
    return [rng.normal(0, 2, (count, *x.shape[1:])).astype(np.float32) for x in model.inputs]


def outputs_of(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """What the interpreter makes of a graph."""
    made = Executor(graph).run(inputs)
    return [made[t] for t in graph.outputs]


def assert_lowers(model: keras.Model) -> Graph:
    """The lowered graph computes what Keras computes, up to float rounding; returns it."""
    graph, inputs = lower(model), inputs_of(model)
    expected = keras.tree.flatten(model(inputs if len(inputs) > 1 else inputs[0], training=False))
    for ours, theirs in zip(outputs_of(graph, inputs), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    return graph


def kinds(graph: Graph) -> list[str]:
    """Op kinds in order."""
    return [op.kind for op in graph.ops]


def only(graph: Graph, kind: str) -> Op:
    """The one op of a kind."""
    (op,) = [op for op in graph.ops if op.kind == kind]
    return op
