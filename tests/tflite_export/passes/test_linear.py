"""Arithmetic on weights with a grid."""

import numpy as np
import pytest

from passes.helpers import grid
from tflite_export.ir import Tensor
from tflite_export.passes.linear import codes_of, scaled, signed_bits


@pytest.mark.parametrize(
    ("codes", "bits"),
    [([0], 1), ([-1], 1), ([1], 2), ([-2, 1], 2), ([-8, 7], 4), ([8], 5), ([-9], 5), ([-128, 127], 8)],
)
def test_width_of_signed_codes(codes: list[int], bits: int) -> None:
    assert signed_bits(np.array(codes)) == bits


def test_codes_survive_any_factor() -> None:
    rng = np.random.default_rng(0)
    codes, factor = rng.integers(-127, 128, (50, 20)), np.exp(rng.normal(0, 8, 50))
    weight = Tensor("w", (50, 20), "float32", grid(0.0371), (codes * np.float32(0.0371)).astype(np.float32))
    np.testing.assert_array_equal(codes_of(scaled(weight, factor, 0)), codes)


def test_a_weight_must_be_constant() -> None:
    with pytest.raises(ValueError, match="Tensor 'w' must be constant"):
        scaled(Tensor("w", (2,), "float32"), np.ones(2), 0)
