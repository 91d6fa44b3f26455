"""Float kernels agree with LiteRT's within float32 rounding, on the cases of law G3 decoded."""

from dataclasses import replace

import numpy as np
import pytest
from g3_cases import CASES
from g3_parts import NOT_IN_REFERENCE
from hypothesis import HealthCheck, given, settings

from tflite_export.flatbuffer import write
from tflite_export.interpreter import Executor
from tflite_export.ir import STORAGE
from tflite_export.litert import LiteRT

WHOLE = ("SHAPE", "ADD int32", "LESS", "SELECT", "SELECT_V2")
"""Cases of whole numbers that stand for nothing else."""

FLOAT = [name for name in CASES if "QUANTIZE" not in name and name not in WHOLE]


@pytest.fixture(scope="module")
def litert():
    with LiteRT("reference") as reference, LiteRT("optimized") as optimized:
        yield lambda kind: optimized if kind in NOT_IN_REFERENCE else reference


def decoded(codes, grid):
    """Real values, float32; small ones, so that no sum leaves the range in which a tolerance makes sense."""
    shape = [1] * codes.ndim
    if len(grid.scale) > 1:
        shape[grid.axis] = len(grid.scale)
    scale = (grid.scale / grid.scale.max()).reshape(shape)
    return ((codes.astype(np.float64) - grid.zero_point.reshape(shape)) * scale / 64).astype(np.float32)


def as_float(tensor):
    if tensor.quantization is None:
        return tensor
    data = None if tensor.data is None else decoded(tensor.data, tensor.quantization)
    return replace(tensor, dtype="float32", quantization=None, data=data)


@pytest.mark.parametrize("name", FLOAT)
def test_float_kernel_agrees_with_the_reference_kernel(name, litert):
    @settings(max_examples=20, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(CASES[name][0])
    def check(case):
        graph = replace(case.graph, tensors=tuple(map(as_float, case.graph.tensors)))
        grids = [case.graph.tensors[index].quantization for index in graph.inputs]
        inputs = [x if grid is None else decoded(x, grid) for x, grid in zip(case.inputs, grids)]
        theirs = litert(name).run(write(graph), inputs)
        for index, value in Executor(graph).run(inputs).items():
            assert value.dtype == STORAGE["float32"]
            largest = np.abs(theirs[index], where=np.isfinite(theirs[index]), out=np.zeros(value.shape)).max(initial=0)
            np.testing.assert_allclose(value, theirs[index], rtol=1e-4, atol=1e-4 * largest)

    check()
