import keras
import numpy as np
import pytest
from keras import ops

import tfcompress as tfc
from tfcompress.structure import slots


def test_base_class_asks_for_call():
    with pytest.raises(NotImplementedError, match="Transform must define `call`"):
        tfc.Transform().call(np.ones(3))


def test_state_is_float32_under_any_policy(toys):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        transform = toys.Rounding()
        assert transform(ops.ones((2, 2), "bfloat16")).dtype == "float32"
        assert transform.step.dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


def test_optional_methods_do_nothing_by_default(toys):
    transform = toys.Unchanged()
    x = ops.ones((2, 2))
    transform.calibrate(x)
    transform.update(x)
    assert transform.grid(x) is None and transform.compute_output_shape((2, 2)) == (2, 2)


def test_chain_calibrates_each_member_on_what_comes_before(toys):
    chain = tfc.Chain([toys.Threshold(), toys.Rounding(4)])
    x = ops.convert_to_tensor(np.array([[0.1, -0.2], [0.4, -1.4]], "float32"))
    chain.build(x.shape)
    chain.calibrate(x)
    threshold, rounding = chain.transforms
    assert slots.numpy(threshold.threshold) == pytest.approx(0.3)
    assert slots.numpy(rounding.step).item() == pytest.approx(0.2)
    y = np.array(chain(x, training=False))
    np.testing.assert_allclose(y, [[0, 0], [0.4, -1.4]], rtol=1e-6)
    grid = chain.grid(x)
    np.testing.assert_array_equal(grid.decode(grid.encode(y)), y)


def test_chain_updates_each_member_on_what_comes_before(toys):
    seen = []

    class Seeing(toys.Unchanged):
        def update(self, x):
            seen.append(np.array(x))

    chain = tfc.Chain([toys.Threshold(), Seeing()])
    chain.build((2,))
    chain.transforms[0].threshold.assign(1.0)
    chain.update(ops.convert_to_tensor([0.5, 2.0]))
    np.testing.assert_array_equal(seen, [[0.0, 2.0]])


def test_chain_comes_back_from_its_configuration_and_from_a_file(toys, tmp_path):
    chain = tfc.Chain([toys.Threshold(), toys.Rounding(6)])
    again = tfc.Chain.from_config(chain.get_config())
    assert [t.get_config() for t in again.transforms] == [t.get_config() for t in chain.transforms]
    model = keras.Sequential([keras.Input((3,)), chain])
    chain.calibrate(ops.convert_to_tensor([[1.0, 2.0, 4.0]]))
    model.save(tmp_path / "chain.keras")
    x = np.array([[0.5, 3.3, -9.0]], "float32")
    loaded = keras.models.load_model(tmp_path / "chain.keras")
    np.testing.assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))


@pytest.mark.parametrize("members", [[], ["LSQ"], [None]])
def test_chain_of_something_else_is_refused(members):
    with pytest.raises(ValueError, match=r"`transforms` must be a non-empty list of Transforms. Received"):
        tfc.Chain(members)
