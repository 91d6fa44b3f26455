import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp, elementwise
from tflite_export.ir import Op


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_codes_lie_at_the_place_of_their_byte(dtype):
    codes = elementwise.every_code(dtype)
    x = np.array([0, 1, 100, 127], dtype)
    np.testing.assert_array_equal(elementwise.looked_up(codes)(x)[0], x)
    assert codes.min() == np.iinfo(dtype).min


def test_flat_broadcasts():
    np.testing.assert_array_equal(elementwise.flat(np.array([1, 2]), (2, 2)), [1, 2, 1, 2])


@pytest.mark.parametrize("ratio", [0.0, 2.0**30])
def test_ratio_without_a_fixed_point_form_is_refused(ratio, tensor):
    with pytest.raises(UnsupportedOp, match=r"'y'.*ratio of scales"):
        elementwise.guarded(Op("MUL", (), (0,)), [tensor("y", (1,))], ratio)
