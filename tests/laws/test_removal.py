"""Removing channels changes nothing but sizes: the smaller network equals the one whose channels are masked."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers
from random_models import random_model, samples, trained

import tfcompress as tfc
from tfcompress.structure.channels import Channels
from tfcompress.structure.mixing import mixing
from tfcompress.structure.rebuild import rebuild
from tfcompress.structure.trace import trace

pytestmark = pytest.mark.slow


class Mask(layers.Layer):
    """Multiplies each channel by 0 or 1."""

    def __init__(self, kept: np.ndarray) -> None:
        super().__init__()
        self.kept = kept.astype(np.float32)

    def call(self, x: object) -> object:
        return x * self.kept


def wishes(model: keras.Model, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Random masks on which all layers agree: of the layers that make channels, and of every tensor."""
    channels = Channels(trace(model))
    rng = np.random.default_rng(seed)
    gone = rng.random(channels.count) < 0.5
    gone[list(channels.fixed)] = False
    for numbers in channels.numbers.values():
        gone[numbers[0]] = gone[numbers].all() == 0 and gone[numbers[0]]
    makers = {c.outputs[0].name: c.path for c in channels.trace.calls if mixing(c.layer)}
    masks = {value.name: ~gone[numbers] for value, numbers in channels.numbers.items() if gone[numbers].any()}
    return {makers[name].partition("#")[0]: mask for name, mask in masks.items() if name in makers}, masks


def assert_equal(small: keras.Model, masked: keras.Model, seed: int) -> None:
    x = samples(masked, 4, seed)
    expected = np.asarray(masked(x))
    np.testing.assert_allclose(np.asarray(small(x)), expected, atol=1e-5 * max(1, np.abs(expected).max()))


def assert_shapes_follow(small: keras.Model, model: keras.Model, masks: dict[str, np.ndarray]) -> None:
    after = {value.name: value.shape for call in trace(small).calls for value in call.outputs}
    for call in trace(model).calls:
        (value,) = call.outputs
        width = int(masks[value.name].sum()) if value.name in masks else value.shape[-1]
        assert after[value.name] == (*value.shape[:-1], width)


@pytest.mark.parametrize("seed", range(13))
def test_the_smaller_network_equals_the_masked_one(seed: int) -> None:
    model = random_model(seed)
    keep, masks = wishes(model, seed)
    weights = [v.numpy() for v in model.variables]
    small = tfc.edits.remove_channels(model, keep)
    assert_equal(small, rebuild(model, append=lambda name: Mask(masks[name]) if name in masks else None), seed)
    assert_shapes_follow(small, model, masks)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(weights, model.variables, strict=True))


@pytest.mark.parametrize("seed", range(13, 18))
def test_transforms_and_grids_are_cut_along(seed: int) -> None:
    model = trained(random_model(seed), seed)
    keep, masks = wishes(model, seed)
    small = tfc.edits.remove_channels(model, keep)
    assert_equal(small, rebuild(model, append=lambda name: Mask(masks[name]) if name in masks else None), seed)
    assert_shapes_follow(small, model, masks)


@pytest.mark.parametrize("seed", range(18, 26))
def test_what_the_model_does_not_need_goes_without_a_trace(seed: int) -> None:
    model = random_model(seed)
    kill(model, seed)
    small = tfc.edits.remove_channels(model)
    assert_equal(small, model, seed)


def kill(model: keras.Model, seed: int) -> None:
    """Zeros in kernels, biases and scales, as pruning by channel leaves them."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        for name in ("kernel", "pointwise_kernel", "bias", "gamma", "beta"):
            variable = getattr(layer, name, None)
            if isinstance(variable, keras.Variable):
                dead = np.random.default_rng(seed).random(variable.shape[-1]) < rng.choice([0.0, 0.4, 0.8])
                variable.assign(np.where(dead, 0, variable.numpy()))


def test_enough_random_networks_lose_channels() -> None:
    lost = 0
    for seed in range(18, 22):
        model = random_model(seed)
        kill(model, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            lost += model.count_params() - tfc.edits.remove_channels(model).count_params()
    assert lost > 100
