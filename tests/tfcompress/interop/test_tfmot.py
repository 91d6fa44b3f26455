"""Models that TFMOT has made, across the bridge, beside themselves: in Keras and as integer files."""

import os

import keras
import numpy as np
import pytest

import tfcompress as tfc
import tflite_export as tfe
from interop import zoo
from tflite_export.flatbuffer import read

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected"),  # the stock converter
]

NAMES = ("plain", "qat", "pruned", "two_four", "clustered", "pqat", "pcqat")
QUANTIZED = ("qat", "pqat", "pcqat")
LAYERS = ("conv", "conv2", "logits")


@pytest.fixture(scope="module")
def models():
    """Name -> (TFMOT's model, ours)."""
    return {name: (theirs, tfc.interop.tfmot.from_tfmot(theirs)) for name, theirs in vars(zoo.zoo()).items()}


def called(model):
    return np.asarray(model(zoo.IMAGES, training=False))


def kernels(theirs, ours):
    """The kernels that both compute with, layer by layer."""
    called(theirs)  # TFMOT puts the kernel of the last call into the layer inside the wrapper
    inside = {layer.name: layer for layer in (getattr(layer, "layer", layer) for layer in theirs.layers)}
    return [(np.asarray(inside[n].kernel), tfc.deployed(ours.get_layer(n), "kernel")[0]) for n in LAYERS]


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_equal(models, name):
    """Up to values that lie so near to the middle between two codes that float32 decides which one they get."""
    theirs, ours = models[name]
    wanted, found = called(theirs), called(ours)
    equal = np.abs(wanted - found).max(axis=1) <= 1e-5
    assert equal.all() or (name in QUANTIZED and equal.mean() > 0.995)
    accuracies = [(logits.argmax(axis=1) == zoo.LABELS).mean() for logits in (wanted, found)]
    assert abs(accuracies[0] - accuracies[1]) <= 0.002 and accuracies[0] > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_zeros_and_distinct_values_are_equal(models, name):
    for wanted, found in kernels(*models[name]):
        assert np.count_nonzero(wanted) == np.count_nonzero(found)
        assert len(np.unique(wanted)) == len(np.unique(found))
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_what_the_models_are_made_of(models):
    zeros = {name: [np.mean(found == 0) for _, found in kernels(*models[name])] for name in NAMES}
    assert min(zeros["pruned"] + zeros["pqat"] + zeros["pcqat"]) >= 0.79
    assert zeros["two_four"] == [0.0, 0.5, 0.5]  # TFMOT, too, leaves the kernel with one input channel dense
    assert all(len(np.unique(found)) <= 16 for _, found in kernels(*models["clustered"]))
    kinds = {
        name: [type(t).__name__ for t in tfc.transform.members(ours.get_layer("conv2").transforms["kernel"])]
        for name, (_, ours) in models.items()
        if name != "plain"
    }
    assert kinds == {
        "qat": ["MinMax"],
        "pruned": ["MagnitudePruning"],
        "two_four": ["MagnitudePruning"],
        "clustered": ["LookUpTable"],
        "pqat": ["MagnitudePruning", "MinMax"],
        "pcqat": ["MagnitudePruning", "LookUpTable", "MinMax"],
    }


@pytest.mark.parametrize("name", [name for name in NAMES if name != "pqat"])  # pcqat does the same and more
def test_exported_integers_are_those_of_the_stock_converter(models, name):
    theirs, ours = models[name]
    samples = None if name in QUANTIZED else zoo.IMAGES[:100]
    files = zoo.tflite(theirs, samples), tfe.convert(ours, samples)
    if samples is None:
        for wanted, found in zip(*map(constants, files), strict=True):
            np.testing.assert_array_equal(found, wanted)
    wanted, found = (outputs(blob) for blob in files)
    assert np.abs(wanted - found).max() <= 1
    hits = [np.mean(codes.argmax(axis=1) == zoo.LABELS[:1000]) for codes in (wanted, found)]
    assert abs(hits[0] - hits[1]) <= 0.002


def constants(blob):
    """The codes of all kernels and biases, in the order of the ops; those of pruned-away channels are zeros."""
    graph = read(blob)
    linear = [op for op in graph.ops if op.kind in ("CONV_2D", "FULLY_CONNECTED")]
    return [np.ravel(graph.tensors[t].data) for op in linear for t in op.inputs[1:2]]


def outputs(blob):
    """The codes for 1,000 real images."""
    interpreter = tfe.Interpreter(model_content=blob)
    scale, zero_point = interpreter.get_input_details()[0]["quantization"]
    codes = np.clip(np.rint(zoo.IMAGES[:1000] / scale) + zero_point, -128, 127)
    return interpreter.predict(codes.astype(np.int8)).astype(int)


@pytest.mark.parametrize("name", ["pruned", "two_four", "pqat", "pcqat"])
def test_zeros_stay_in_further_training(models, name):
    ours = tfc.interop.tfmot.from_tfmot(models[name][0])
    before = [tfc.deployed(ours.get_layer(n), "kernel")[0] for n in LAYERS]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=True)
    ours.fit(zoo.IMAGES[:192], zoo.LABELS[:192], 64, verbose=0)
    after = [tfc.deployed(ours.get_layer(n), "kernel")[0] for n in LAYERS]
    for old, new in zip(before, after, strict=True):
        assert np.all(new[old == 0] == 0) or name in QUANTIZED  # small weights round to zero and back
        assert np.mean(new == 0) >= np.mean(old == 0) - 0.01
        assert not np.array_equal(old, new)


def test_the_bridge_leaves_the_environment_alone():
    assert "TF_USE_LEGACY_KERAS" not in os.environ
