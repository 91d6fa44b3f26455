"""Layers that are affine by channel, of any kind."""

import numpy as np
import pytest
from keras import layers

from tfcompress.channel_affine import ChannelAffine
from tfcompress.structure.groups import FOLDING, LINEAR


class Halves(ChannelAffine):
    """Halves and adds one."""

    axis, factor, offset = -1, np.float32([0.5]), np.float32([1.0])


def test_such_a_layer_folds_and_is_folded_into_as_a_batch_norm():
    assert isinstance(Halves(), FOLDING) and isinstance(Halves(), LINEAR)
    assert not isinstance(layers.ReLU(), FOLDING)
    assert Halves().compute_output_shape((None, 4)) == (None, 4)


@pytest.mark.parametrize("name", ["factor", "offset"])
def test_a_layer_without_numbers_says_so(name):
    with pytest.raises(NotImplementedError, match=f"ChannelAffine must define `{name}`"):
        getattr(ChannelAffine(), name)
