"""Law G3 on single ops: our kernels equal LiteRT's reference kernels bit for bit, in at least 2,000 random cases."""

import numpy as np
import pytest
from g3_cases import CASES
from hypothesis import HealthCheck, given, settings

from tflite_export.flatbuffer import write
from tflite_export.interpreter import Executor
from tflite_export.interpreter.kernels import KERNELS
from tflite_export.litert import LiteRT

pytestmark = pytest.mark.xdist_group("g3")
REQUIRED_CASES = 2000


@pytest.fixture(scope="module")
def litert():
    with LiteRT("reference") as runtime:
        yield runtime


@pytest.fixture(scope="module")
def compared():
    """How many cases were compared, by op."""
    return dict.fromkeys(CASES, 0)


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_the_reference_kernel(name, litert, compared):
    strategy, examples = CASES[name]

    @settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def check(case):
        theirs = litert.run(write(case.graph), case.inputs)
        ours = Executor(case.graph).run(case.inputs)
        for index, value in ours.items():
            assert value.dtype == theirs[index].dtype
            np.testing.assert_array_equal(value, theirs[index])
        compared[name] += 1

    check()


def test_every_kernel_has_cases():
    assert {name.split()[0] for name in CASES} == set(KERNELS)


def test_at_least_2000_cases_were_compared(compared, record_property):
    if not all(compared.values()):
        pytest.skip("only some of the kernels were run")
    record_property("random cases", sum(compared.values()))
    assert sum(compared.values()) >= REQUIRED_CASES
