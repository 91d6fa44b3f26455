"""Law G3 on single ops: our kernels equal LiteRT's reference kernels bit for bit, in at least 2,000 random cases."""

import numpy as np
import pytest
from g3_cases import CASES
from g3_parts import NOT_IN_REFERENCE
from hypothesis import HealthCheck, given, settings

from tflite_export.flatbuffer import write
from tflite_export.interpreter import Executor
from tflite_export.interpreter.kernels import KERNELS
from tflite_export.litert import LiteRT

REQUIRED_CASES = 2000


@pytest.fixture(scope="module")
def litert():
    with LiteRT("reference") as reference, LiteRT("optimized") as optimized:
        yield lambda kind: optimized if kind in NOT_IN_REFERENCE else reference


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_the_reference_kernel(name, litert, record_property, pytestconfig):
    strategy, examples = CASES[name]
    examples *= pytestconfig.getoption("--cases-times")
    compared = 0

    @settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def check(case):
        nonlocal compared
        theirs = litert(name).run(write(case.graph), case.inputs)
        ours = Executor(case.graph).run(case.inputs)
        for index, value in ours.items():
            assert value.dtype == theirs[index].dtype
            np.testing.assert_array_equal(value, theirs[index])
        compared += 1

    check()
    assert compared >= examples
    record_property("law G3, single-op cases equal to the reference kernels", compared)


def test_every_kernel_has_cases_and_together_they_are_enough():
    assert {name.split()[0] for name in CASES} == set(KERNELS)
    assert sum(examples for _, examples in CASES.values()) >= REQUIRED_CASES
