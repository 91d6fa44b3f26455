import numpy as np
import pytest
import tensorflow as tf

from tfcompress import MinMax, testing


def built(transform, shape):
    transform.build(shape)
    transform.built = True
    return transform


def calibrated(transform, x):
    built(transform, x.shape).calibrate(x)
    return transform


def test_affine_values_by_hand():
    x = np.float32([[-1.0, 0.0], [0.6, 2.0]])
    transform = calibrated(MinMax(bits=2), x)  # step (2 + 1) / 3 = 1, codes -2 to 1, zero point -2 + 1 = -1
    grid = transform.grid(x)
    assert (float(grid.scale.item()), grid.zero_point) == (1.0, -1)
    np.testing.assert_array_equal(transform(x), [[-1, 0], [1, 2]])
    np.testing.assert_array_equal(grid.encode(np.array(transform(x))), [[-2, -1], [0, 1]])


def test_symmetric_values_by_hand():
    x = np.float32([[-0.7, 1.4], [0.3, -2.1]])
    transform = calibrated(MinMax(bits=3, axis=-1, symmetric=True, narrow_range=True, momentum=0.0), x)
    np.testing.assert_allclose(transform.grid(x).scale, [[0.7 / 3, 2.1 / 3]], rtol=1e-6)
    np.testing.assert_allclose(transform(x), [[-0.7, 1.4], [0.7 / 3, -2.1]], rtol=1e-6)


def test_gradient_stops_outside_of_the_range():
    transform = calibrated(MinMax(bits=4), np.float32([[-1, 1]]))
    x = tf.Variable([[-1.5, -1.0, 0.3, 1.0, 1.5]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(transform(x) * [[1.0, 2.0, 3.0, 4.0, 5.0]])
    np.testing.assert_array_equal(tape.gradient(total, x), [[0, 2, 3, 4, 0]])


def test_zero_is_exact_whatever_the_range():
    rng = np.random.default_rng(0)
    for low, high in rng.uniform([-5, 0.01], [-0.01, 7], size=(50, 2)):
        x = np.float32([[low, 0.0, high]])
        y = np.array(calibrated(MinMax(bits=int(rng.integers(2, 17))), x)(x))
        assert y[0, 1] == 0


@pytest.mark.parametrize("values", [[1.0, 2.0], [-3.0, -1.0]])
def test_the_range_holds_zero(values):
    x = np.float32([values])
    grid = calibrated(MinMax(bits=8), x).grid(x)
    assert grid.low <= grid.zero_point <= grid.high
    assert float(grid.scale.item()) == pytest.approx(max(abs(v) for v in values) / 255, rel=1e-6)


def test_the_range_moves_with_its_momentum():
    transform = built(MinMax(momentum=0.75), (1, 2))
    for batch in ([-1.0, 1.0], [-3.0, 5.0]):
        transform(np.float32([batch]), training=True)
    np.testing.assert_allclose(transform.low, [[0.75 * -1 + 0.25 * -3]])
    np.testing.assert_allclose(transform.high, [[0.75 * 1 + 0.25 * 5]])
    transform(np.float32([[100.0, 0.0]]), training=False)
    np.testing.assert_allclose(transform.high, [[2.0]])


def test_without_momentum_the_range_is_that_of_the_tensor():
    transform = built(MinMax(symmetric=True, narrow_range=True, momentum=0.0), (1, 3))
    assert not transform.variables
    for factor in (1.0, 10.0):
        x = np.float32([[-1.27, 0.5, 1.0]]) * np.float32(factor)
        np.testing.assert_allclose(transform.grid(x).scale, [[0.01 * factor]], rtol=1e-6)
        np.testing.assert_allclose(transform(x), x, rtol=1e-6)


def test_unsigned_maps_use_all_codes():
    x = np.linspace(0, 1, 256).astype("float32").reshape(1, -1)
    transform = calibrated(MinMax(signed=False), x)
    np.testing.assert_array_equal(transform.grid(x).encode(np.array(transform(x))), np.arange(256)[None])


@pytest.mark.parametrize("arguments", [{}, {"symmetric": True}, {"symmetric": True, "signed": False}])
def test_zeros_and_single_elements_are_kept(arguments):
    for x in (np.zeros((2, 3), "float32"), np.float32([[0.4]])):
        np.testing.assert_allclose(calibrated(MinMax(**arguments), x)(x), x, rtol=1e-6)


def test_an_uncalibrated_transform_is_loud():
    transform = built(MinMax(name="relu_output"), (2, 2))
    assert np.isnan(transform(np.ones((2, 2), "float32"))).all()
    with pytest.raises(ValueError, match=r"'relu_output' must be calibrated.*tfcompress\.calibrate"):
        transform.grid(np.ones((2, 2)))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"bits": 1}, "bits"), ({"bits": 17}, "bits"), ({"momentum": 1.0}, "momentum"), ({"momentum": -0.1}, "momentum")],
)
def test_arguments_out_of_range_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must .*Received: {name}="):
        MinMax(**arguments)


def test_zero_points_per_slice_are_refused():
    with pytest.raises(ValueError, match="`symmetric` must be True"):
        MinMax(axis=-1, symmetric=False)


@pytest.mark.parametrize("arguments", [{"bits": 16}, {"bits": 2, "symmetric": True}, {"axis": 0, "symmetric": True}])
def test_unusual_arguments_keep_the_laws(arguments):
    testing.check_transform(lambda: MinMax(**arguments), (4, 5, 3))
