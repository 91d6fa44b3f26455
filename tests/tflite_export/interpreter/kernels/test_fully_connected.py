import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


@pytest.mark.parametrize("total, code", [(3, 2), (-3, -2), (1, 1), (-1, -1)])
def test_int8_halves_round_away_from_zero_once(total, code, operate, on):
    x, w = ([[total]], "int8", on(0.5)), ([[1]], "int8", on(1.0))
    assert operate("FULLY_CONNECTED", x, w, out=((1, 1), "int8", on(1.0))).item() == code


def test_zero_point_of_weights_counts_per_tensor_only(operate, on):
    x = ([[2]], "int8", on(1.0))
    whole = operate("FULLY_CONNECTED", x, ([[5], [5]], "int8", on(1.0, 3)), out=((1, 2), "int8", on(1.0)))
    sliced = operate("FULLY_CONNECTED", x, ([[5], [5]], "int8", on([1.0, 1.0], 3)), out=((1, 2), "int8", on(1.0)))
    assert (whole.tolist(), sliced.tolist()) == ([[4, 4]], [[10, 10]])


@pytest.mark.parametrize("keep, shape", [(True, (1, 2, 1)), (False, (2, 1))])
def test_leading_axes_are_kept_on_request(keep, shape, operate):
    x, w = (np.ones((1, 2, 3)), "float32"), ([[1.0, 2.0, 3.0]], "float32")
    y = operate("FULLY_CONNECTED", x, w, ([0.5], "float32"), out=(shape, "float32"), keep_num_dims=keep)
    np.testing.assert_array_equal(y, np.full(shape, 6.5))


def test_long_sums_of_extremes_stay_exact(operate, on):
    x, w = (np.full((1, 5000), -128), "int8", on(1.0)), (np.full((1, 5000), -128), "int8", on(1.0))
    bias = ([-128 * 128 * 5000 - 77], "int32")
    assert operate("FULLY_CONNECTED", x, w, bias, out=((1, 1), "int8", on(1.0))).item() == -77


def test_int2_weights_work_like_int8(operate, on):
    x, w = ([[3, 4]], "int8", on(1.0)), ([[-2, 1]], "int2", on(1.0, bits=2))
    assert operate("FULLY_CONNECTED", x, w, out=((1, 1), "int8", on(1.0))).item() == -2


def test_float_output_clips(operate):
    x, w = ([[1.0]], "float32"), ([[9.0], [-9.0]], "float32")
    y = operate("FULLY_CONNECTED", x, w, out=((1, 2), "float32"), fused_activation_function="RELU6")
    assert y.tolist() == [[6, 0]]


def test_scale_at_which_the_reference_cast_is_undefined_is_refused(operate, on):
    x, w = ([[1]], "int8", on(1.0)), ([[1]], "int8", on(1.0))
    with pytest.raises(UnsupportedOp, match=r"'y'.*too small for the accumulator"):
        operate("FULLY_CONNECTED", x, w, out=((1, 1), "int8", on(1e-9)))


@pytest.mark.parametrize(
    "options, message", [({}, "does not divide"), ({"weights_format": "SHUFFLED4x16INT8"}, "shuffled")]
)
def test_what_cannot_be_is_refused(options, message, operate):
    x, w = (np.ones((1, 4 if options else 3)), "float32"), (np.ones((1, 2)), "float32")
    with pytest.raises(UnsupportedOp, match=message):
        operate("FULLY_CONNECTED", x, w, out=((1, 1), "float32"), **options)
