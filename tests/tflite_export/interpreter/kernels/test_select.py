import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp

CONDITION = np.array([[True, False]]), "bool"
A, B = (np.array([[1, 2]]), "int32"), (np.array([[3, 4]]), "int32")


@pytest.mark.parametrize("kind", ["SELECT", "SELECT_V2"])
def test_condition_picks_element_by_element(operate, kind):
    assert operate(kind, CONDITION, A, B, out=((1, 2), "int32")).tolist() == [[1, 4]]


def test_only_the_second_version_broadcasts(operate):
    one = np.array([[9]]), "int32"
    assert operate("SELECT_V2", CONDITION, A, one, out=((1, 2), "int32")).tolist() == [[1, 9]]
    with pytest.raises(UnsupportedOp, match="expected the shape of both values"):
        operate("SELECT", CONDITION, A, one, out=((1, 2), "int32"))


def test_condition_that_is_not_one_is_refused(operate):
    with pytest.raises(UnsupportedOp, match="bool"):
        operate("SELECT", A, A, B, out=((1, 2), "int32"))
