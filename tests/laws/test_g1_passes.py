"""Law G1: a pass does not change what the graph computes.

Float passes: equal within 1e-5 of the largest value. Integer passes: bit for bit. Between them stands ``quantize``,
whose tolerance is one step of each tensor, given the same tensors in front of it.
"""

import functools

import numpy as np
import pytest
from random_models import BLOCKS, random_model, trained

from tflite_export import passes
from tflite_export.calibration import calibrate, snapped
from tflite_export.from_keras import lower
from tflite_export.interpreter import Executor
from tflite_export.ir import Graph
from tflite_export.passes.draft import Pass
from tflite_export.passes.float_borders import float_borders

SEEDS = range(len(BLOCKS))
FLOAT_TOLERANCE = 1e-5


@functools.cache
def lowered(seed: int, with_transforms: bool) -> Graph:
    """A random network as the walk leaves it."""
    model = random_model(seed)
    return lower(trained(model, seed) if with_transforms else model)


@functools.cache
def with_grids(seed: int) -> Graph:
    """A trained network with a grid on every tensor."""
    graph = lowered(seed, True)
    x = inputs_of(graph, seed)[0]
    return passes.sequence(*passes.GRID_PASSES)(calibrate(passes.FLOAT(graph), x))


def inputs_of(graph: Graph, seed: int) -> list[np.ndarray]:
    (tensor,) = (graph.tensors[t] for t in graph.inputs)
    rng = np.random.default_rng(seed)
    if tensor.dtype == "int8":
        return [rng.integers(-128, 128, (6, *tensor.shape[1:])).astype(np.int8)]
    return [rng.normal(0, 1, (6, *tensor.shape[1:])).astype(np.float32)]


def results(graph: Graph, inputs: list[np.ndarray], observe: object = None) -> list[np.ndarray]:
    made = Executor(graph).run(inputs, observe)
    return [made[t] for t in graph.outputs]


@pytest.mark.parametrize("with_transforms", [False, True], ids=["plain", "trained"])
@pytest.mark.parametrize("seed", SEEDS)
def test_float_passes_change_nothing_beyond_float_rounding(seed: int, with_transforms: bool) -> None:
    graph = lowered(seed, with_transforms)
    inputs = inputs_of(graph, seed)
    expected = results(graph, inputs)
    for step in passes.FLOAT_PASSES:
        graph = step(graph)
        for before, after in zip(expected, results(graph, inputs), strict=True):
            scale = max(float(np.abs(before).max()), 1e-3)
            np.testing.assert_allclose(after, before, rtol=0, atol=FLOAT_TOLERANCE * scale, err_msg=step.__name__)


@pytest.mark.parametrize("seed", SEEDS)
def test_float_passes_leave_nothing_to_do_for_themselves(seed: int) -> None:
    once = passes.FLOAT(lowered(seed, True))
    assert passes.FLOAT(once) == once


@pytest.mark.parametrize("seed", SEEDS)
def test_quantize_moves_each_tensor_by_at_most_one_step(seed: int) -> None:
    before = with_grids(seed)
    after = passes.quantize(before)
    codes = Executor(after).run(inputs_of(after, seed), keep=True)
    values = {}
    for t, tensor in enumerate(after.tensors):
        if tensor.data is None:
            grid = tensor.quantization
            values[tensor.name] = (codes[t] - grid.zero_point).astype(np.float32) * grid.scale

    def observe(t: int, x: np.ndarray) -> np.ndarray:
        tensor = before.tensors[t]
        steps = (snapped(x, unclamped(tensor.quantization)) - values[tensor.name]) / tensor.quantization.scale
        assert np.abs(steps).max() < 1.01, tensor.name
        return values[tensor.name]

    without = movable(before)
    Executor(without).run([values[before.tensors[t].name] for t in before.inputs], observe)


def unclamped(grid: object) -> object:
    """The grid before ``clamp_narrow`` has cut its lower end."""
    return grid.__class__(grid.scale, grid.zero_point)


def movable(graph: Graph) -> Graph:
    """The float graph with a RESHAPE for each QUANTIZE, which has no float kernel."""
    ops = tuple(op.__class__("RESHAPE", op.inputs, op.outputs) if op.kind == "QUANTIZE" else op for op in graph.ops)
    return Graph(**{**vars(graph), "ops": ops})


INTEGER_PASSES: dict[str, Pass] = {step.__name__: step for step in passes.INTEGER_PASSES}


@pytest.mark.parametrize("seed", SEEDS)
def test_integer_passes_change_no_bit(seed: int) -> None:
    graph = passes.quantize(with_grids(seed))

    def within_its_codes(graph: Graph, t: int, x: np.ndarray) -> np.ndarray:
        grid = graph.tensors[t].quantization
        return x if grid is None or grid.low is None else np.maximum(x, np.int8(grid.low))

    inputs = inputs_of(graph, seed)
    legal = [within_its_codes(graph, t, x) for t, x in zip(graph.inputs, inputs, strict=True)]
    expected = results(graph, legal, functools.partial(within_its_codes, graph))
    for name, step in INTEGER_PASSES.items():
        graph = step(graph)
        clamped = functools.partial(within_its_codes, graph)
        for before, after in zip(expected, results(graph, legal, clamped), strict=True):
            np.testing.assert_array_equal(after, before, err_msg=name)
    for before, after in zip(expected, results(graph, inputs), strict=True):
        np.testing.assert_array_equal(after, before, err_msg="after clamp_narrow the graph keeps the range by itself")


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_float_borders_change_no_bit_between_them(seed: int) -> None:
    graph = passes.sequence(passes.quantize, *passes.INTEGER_PASSES)(with_grids(seed))
    bordered = float_borders(False, True)(graph)
    inputs = inputs_of(graph, seed)
    for codes, values, t in zip(results(graph, inputs), results(bordered, inputs), graph.outputs, strict=True):
        grid = graph.tensors[t].quantization
        np.testing.assert_array_equal(values, (codes - grid.zero_point).astype(np.float32) * grid.scale)
