"""For people who write their own Transform: one call that checks the laws which a single transform must keep.

    def test_my_transform():
        check_transform(lambda: MyTransform(bits=4), shape=(3, 3, 8, 16))

Each law is a function of its own, to be called alone where a failure is to be looked at. What a law says is in its
docstring; the module builds no model larger than one layer and needs a few seconds at most. Laws that concern whole
models (backends, replicas, resumed training) are tests of the project itself.

The idea is that of ``sklearn.utils.estimator_checks.check_estimator``.
"""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress.transform import Transform

Factory = Callable[[], Transform]


def check_transform(factory: Factory, shape: Sequence[int], seed: int = 0) -> None:
    """Checks all laws of this module.

    Args:
        factory: Makes a new transform, not built, every time it is called.
        shape: Shape of the tensors to try: of a weight, or of a batch of feature maps.
        seed: Of the values, which are normally distributed.

    Raises:
        AssertionError: A law is broken; the message says which and how.
    """
    x = np.random.default_rng(seed).normal(size=tuple(shape)).astype("float32")
    for law in LAWS:
        try:
            law(factory, x)
        except AssertionError as error:
            raise AssertionError(f"{law.__name__}: {error}") from error


def check_shape_and_type(factory: Factory, x: np.ndarray) -> None:
    """The result has the shape of ``x``, is float32 and finite, in training and at inference."""
    transform = calibrated(factory, x)
    for training in (True, False):
        y = ops.convert_to_numpy(transform(x, training=training))
        _demand(y.shape == x.shape and y.dtype == np.float32, f"got {y.dtype}{y.shape} from float32{x.shape}")
        _demand(np.isfinite(y).all(), f"values that are not finite, with training={training}")


def check_inference_is_pure(factory: Factory, x: np.ndarray) -> None:
    """L0: ``training=False`` changes no state, always gives the same, and is the default."""
    transform = calibrated(factory, x)
    before = state(transform)
    first, second, default = transform(x, training=False), transform(x, training=False), transform(x)
    _demand_equal(first, second, "two calls at inference differ")
    _demand_equal(first, default, "without `training`, the call is not that of inference")
    _demand_equal_states(before, state(transform), "inference changed")


def check_grid(factory: Factory, x: np.ndarray) -> None:
    """L1: ``grid.decode(grid.encode(y)) == y`` bit for bit, after calibration and after a training step."""
    transform = calibrated(factory, x)
    for _ in range(2):
        grid = transform.grid(x)
        if grid is not None:
            y = ops.convert_to_numpy(transform(x, training=False))
            codes = grid.encode(y)
            _demand_equal(grid.decode(codes), y, "values are not on the grid")
            _demand(codes.min() >= grid.low and codes.max() <= grid.high, "codes are outside of the grid")
        transform(x, training=True)


def check_zero(factory: Factory, x: np.ndarray) -> None:
    """What is zero stays zero, so that the transform may follow one that prunes."""
    transform = calibrated(factory, x)
    x = np.where(x > 0, x, 0).astype("float32")
    y = ops.convert_to_numpy(transform(x, training=False))
    _demand((y[x == 0] == 0).all(), "zeros became something else")


def check_config(factory: Factory, x: np.ndarray) -> None:
    """L2: a transform made from the configuration has the same configuration and, given the state, does the same."""
    transform = calibrated(factory, x)
    twin = type(transform).from_config(transform.get_config())
    _demand(str(twin.get_config()) == str(transform.get_config()), "the configuration changed on its way")
    twin.build(x.shape)
    twin.built = True
    for new, old in zip(twin.variables, transform.variables, strict=True):
        new.assign(ops.convert_to_tensor(old))
    _demand_equal(twin(x), transform(x), "the copy does something else")


def check_file(factory: Factory, x: np.ndarray) -> None:
    """L2: a model with the transform predicts the same after ``save`` and ``load_model``, bit for bit."""
    model = _model(calibrated(factory, x), x)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        loaded = keras.models.load_model(Path(folder) / "model.keras")
    _demand_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0), "the loaded model predicts something else")


def check_compiled(factory: Factory, x: np.ndarray) -> None:
    """L3: a compiled model does what the eager call does."""
    transform = calibrated(factory, x)
    predicted = _model(transform, x).predict(x, batch_size=len(x), verbose=0)
    _demand_equal(predicted, transform(x, training=False), "the compiled call gives something else")


def check_learning(factory: Factory, x: np.ndarray) -> None:
    """L4: in one step of gradient descent every trainable variable moves, to something finite."""
    transform = calibrated(factory, x)
    if not transform.trainable_variables:
        return
    before = state(transform)
    model = _model(transform, x)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    try:
        model.fit(
            1.37 * x, x + 0.5, batch_size=len(x), verbose=0
        )  # not at an optimum, which calibration may have found
    except ValueError as error:  # Keras refuses to train what has no gradient
        raise AssertionError(str(error)) from error
    for variable in transform.trainable_variables:
        now = ops.convert_to_numpy(variable)
        _demand(np.isfinite(now).all(), f"'{variable.name}' became {now}")
        _demand(not np.array_equal(now, before[variable.path]), f"'{variable.name}' did not move")


def check_mixed_precision(factory: Factory, x: np.ndarray) -> None:
    """L6: under ``mixed_bfloat16`` the state is float32, and values are on the grid all the same."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        transform = calibrated(factory, x)
        types = {v.dtype for v in transform.variables if "float" in v.dtype}
        _demand(types <= {"float32"}, f"variables are {types}")
        check_grid(factory, x)
        check_shape_and_type(factory, x)
    finally:
        keras.config.set_dtype_policy(policy)


def check_odd_tensors(factory: Factory, x: np.ndarray) -> None:
    """Zeros, constants and tiny and huge values give finite results, on the grid."""
    for odd in (np.zeros_like(x), np.ones_like(x), -np.ones_like(x), x * 1e-12, x * 1e12):
        with warnings.catch_warnings():  # a transform may say that they are odd
            warnings.simplefilter("ignore")
            check_shape_and_type(factory, odd)
            check_grid(factory, odd)


LAWS = (
    check_shape_and_type,
    check_inference_is_pure,
    check_grid,
    check_zero,
    check_config,
    check_file,
    check_compiled,
    check_learning,
    check_mixed_precision,
    check_odd_tensors,
)
"""All laws, in the order in which they are checked."""


def calibrated(factory: Factory, x: np.ndarray) -> Transform:
    """A new transform, built and calibrated on ``x``."""
    transform = factory()
    transform.build(x.shape)
    transform.built = True
    transform.calibrate(ops.convert_to_tensor(x))
    return transform


def state(transform: Transform) -> dict[str, np.ndarray]:
    """Copies of the variables, by path."""
    return {v.path: np.array(ops.convert_to_numpy(v)) for v in transform.variables}


def _model(transform: Transform, x: np.ndarray) -> keras.Model:
    inputs = keras.Input(batch_shape=x.shape)
    return keras.Model(inputs, transform(inputs))


def _demand(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _demand_equal(a: Any, b: Any, message: str) -> None:
    a, b = (ops.convert_to_numpy(v) for v in (a, b))
    if not np.array_equal(a, b):
        largest, share = np.max(np.abs(a - b)), np.mean(a != b)
        raise AssertionError(f"{message}: by at most {largest}, in {share:.1%} of the values")


def _demand_equal_states(a: dict[str, np.ndarray], b: dict[str, np.ndarray], message: str) -> None:
    changed = [path for path in a if not np.array_equal(a[path], b[path], equal_nan=a[path].dtype.kind == "f")]
    _demand(not changed, f"{message} {changed}")
