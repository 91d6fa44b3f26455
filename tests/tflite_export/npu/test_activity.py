import numpy as np
import pytest

from tflite_export.npu.activity import observe

from .graphs import Net


def relu_net():
    """Zero is code -128 behind the RELU, 3 in the input."""
    return Net(1, 4, zero_point=3).op("RELU", (1, 4), zero_point=-128).op("RELU6", (1, 4), zero_point=-128).graph()


def test_zeros_are_zero_points():
    codes = np.array([[3, 3, 4, 2], [-128, 0, 5, 9]], np.int8)
    activity = observe(relu_net(), codes)
    assert activity.samples == 2
    assert activity.count == (8, 8)
    assert activity.zeros == (2, 5)  # input: two codes of 3; behind the ReLU also 2, -128 and 0


def test_floats_are_put_on_the_grid_of_the_input():
    assert observe(relu_net(), np.zeros((3, 4), np.float32)).zeros == (12, 12)


def test_many_samples_are_run_in_pieces():
    assert observe(relu_net(), np.full((70, 4), 3, np.int8)).zeros == (280, 280)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([np.zeros((1, 4), np.int8)] * 2, "one array for each of 1 inputs. Received: 2"),
        (np.zeros((1, 5), np.int8), r"must have shape \(samples, 4\).*Received: shape \(1, 5\)"),
        (np.zeros((0, 4), np.int8), "at least one sample"),
    ],
)
def test_data_that_does_not_fit_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        observe(relu_net(), data)
