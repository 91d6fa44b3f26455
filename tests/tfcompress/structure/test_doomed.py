"""Which channels may go."""

import keras
import numpy as np
from keras import layers

from tfcompress.structure.channels import Channels
from tfcompress.structure.doomed import Named, Unneeded, importance, settled
from tfcompress.structure.trace import trace


def chain():
    keras.utils.set_random_seed(0)
    stack = [layers.Dense(4, name="a"), layers.ReLU(name="r"), layers.Dense(3, name="b"), layers.Dense(2, name="c")]
    return keras.Sequential([keras.Input((5,)), *stack])


def of(model):
    channels = Channels(trace(model))
    return channels, {value.name: value for value in channels.numbers}


def gone_of(channels, gone, value):
    return np.flatnonzero(gone[channels.numbers[value]]).tolist()


def test_a_mask_anywhere_in_front_of_the_reader_counts():
    channels, values = of(chain())
    for name in ("a", "r"):
        named = Named(channels, {values[name]: np.array([True, False, False, True])})
        assert gone_of(channels, settled(channels, named, 1), values["a"]) == [0, 3]
        assert gone_of(channels, named.asked(), values["r"]) == [0, 3]
        assert named.shift(channels.trace.calls[-1], named.asked()) is None


def test_what_nobody_reads_any_more_goes_in_turn():
    model = chain()
    model.get_layer("b").kernel.assign(np.diag([1.0, 1, 1, 1])[:, :3])  # a0 -> b0, a1 -> b1, a2 -> b2; a3 to nobody
    model.get_layer("c").kernel.assign([[0, 0], [1, 1], [1, 1]])
    channels, values = of(model)
    gone = settled(channels, Unneeded(channels), 1)
    assert gone_of(channels, gone, values["b"]) == [0]
    assert gone_of(channels, gone, values["a"]) == [0, 3]


def test_what_must_stay_needs_what_it_reads():
    model = chain()
    model.get_layer("b").kernel.assign(np.diag([1.0, 1, 1, 1])[:, :3])
    model.get_layer("c").kernel.assign([[0, 0], [1, 1], [1, 1]])
    channels, values = of(model)
    gone = settled(channels, Unneeded(channels), 3)  # b keeps all three, so that a0 is read
    assert gone_of(channels, gone, values["b"]) == []
    assert gone_of(channels, gone, values["a"]) == [3]


def test_the_shift_is_the_sum_over_constants_that_go():
    model = chain()
    kernel = model.get_layer("a").kernel.numpy()
    kernel[:, 1] = 0
    model.get_layer("a").set_weights([kernel, np.array([0, 0.5, 0, 0])])
    channels, values = of(model)
    unneeded = Unneeded(channels)
    gone = settled(channels, unneeded, 1)
    assert gone_of(channels, gone, values["r"]) == [1]
    reader = channels.trace.producer[values["b"]]
    np.testing.assert_allclose(unneeded.shift(reader, gone), 0.5 * model.get_layer("b").kernel.numpy()[1], rtol=1e-6)


def test_importance_is_the_norm_of_the_kernel():
    model = chain()
    channels, values = of(model)
    norms = np.linalg.norm(model.get_layer("a").kernel, axis=0)
    np.testing.assert_allclose(importance(channels)[channels.numbers[values["r"]]], norms, rtol=1e-6)
