from dataclasses import replace

import numpy as np
from npu.graphs import Net, small

from tflite_export.ir import Quantization
from tflite_export.report.weights import layer_weights


def test_layers_with_weights_are_found_in_order():
    assert [layer.layer for layer in layer_weights(small())] == ["c1", "c2", "c3", "c4", "c5", "fc"]


def test_levels_are_codes_with_their_share():
    net = Net(1, 2, 2, 1).conv(1, kernel=2, weights=np.reshape([0, 0, -3, 7], (1, 2, 2, 1)))
    codes, percent = layer_weights(net.graph())[0].levels()
    assert codes.tolist() == [-3, 0, 7]
    assert percent.tolist() == [25, 50, 25]


def test_the_grid_is_told_in_words():
    layer = layer_weights(Net(1, 2, 2, 1).conv(2, kernel=1).graph())[0]
    assert layer.grid() == "8 bits, step 0.05"
    grid = Quantization(np.float32([0.5, 0.25]), np.zeros(2, np.int64), 0, bits=4)
    narrow = replace(layer, tensor=replace(layer.tensor, quantization=grid))
    assert narrow.grid() == "4 bits, step 0.25 to 0.5"


def test_floats_are_not_codes():
    layer = layer_weights(Net(1, 2, 2, 1).conv(2, kernel=1).graph())[0]
    floats = replace(layer, tensor=replace(layer.tensor, dtype="float32", quantization=None))
    assert not floats.is_coded
    assert floats.grid() == "float32"
