import json
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

from interop.zoo import clustering, quantization, sparsity, tf_keras
from tfcompress.interop.tfmot import from_tfmot

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
layers = tf_keras.layers
X = np.random.default_rng(0).random((4, 6, 6, 2), "float32")


def plain():
    x = layers.Input((6, 6, 2), name="image")
    y = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    y = layers.Add(name="add")([y, layers.Conv2D(4, 3, name="other")(x)])
    return tf_keras.Model(x, layers.Dense(3, name="dense")(layers.Flatten(name="flat")(y)), name="net")


def quantized():
    model = quantization.quantize_model(plain())
    model(X, training=True)
    return model


def pruned():
    model = sparsity.prune_low_magnitude(plain(), sparsity.ConstantSparsity(0.5, 0, frequency=1))
    tf_keras.backend.batch_set_value([(layer.pruning_step, 0) for layer in model.layers[1:]])
    model(X, training=True)
    return model


def clustered():
    return clustering.cluster_weights(plain(), 4, clustering.CentroidInitialization.LINEAR)


@pytest.fixture(scope="module", params=[plain, quantized, pruned, clustered], ids=lambda make: make.__name__)
def model(request):
    return request.param()


@pytest.mark.parametrize("name", ["net.h5", "net.keras"])
def test_a_file_is_as_good_as_the_model(model, name, tmp_path):
    model.save(tmp_path / name)
    ours, memory = from_tfmot(tmp_path / name), from_tfmot(model)
    np.testing.assert_array_equal(ours(X, training=False), memory(X, training=False))
    np.testing.assert_allclose(ours(X, training=False), model(X, training=False), atol=1e-5)
    states = [[(v.path, np.asarray(v).tolist()) for v in m.variables] for m in (ours, memory)]
    assert states[0] == states[1]


@pytest.mark.slow
@pytest.mark.parametrize("make", [quantized, clustered])
def test_a_saved_model_is_as_good_as_the_model(make, tmp_path):
    model = make()
    model.save(tmp_path / "saved")
    np.testing.assert_allclose(from_tfmot(tmp_path / "saved")(X), model(X, training=False), atol=1e-5)


def test_two_of_four_zeros_are_recognised_in_a_file(tmp_path):
    model = sparsity.prune_low_magnitude(
        tf_keras.Sequential([layers.Dense(3, input_shape=(8,), name="d")]), sparsity_m_by_n=(2, 4)
    )
    tf_keras.backend.set_value(model.layers[0].pruning_step, 0)
    model(np.ones((1, 8)), training=True)
    model.save(tmp_path / "net.h5")
    transform = from_tfmot(tmp_path / "net.h5").get_layer("d").transforms["kernel"]
    assert transform.sparsity_m_by_n == (2, 4) and not transform.schedule.due(int(transform.step))


EVIL = "open('executed', 'w').close()"


def lambda_model():
    layer = layers.Lambda(eval(f"lambda x: [x, exec({EVIL!r})][0]"), name="evil", output_shape=(3,))
    return tf_keras.Sequential([layers.Input((3,), name="x"), layer])


@pytest.mark.parametrize("name", ["net.h5", "net.keras", "saved"])
def test_a_lambda_in_a_file_is_refused_and_not_executed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lambda_model().save(tmp_path / name)
    (tmp_path / "executed").unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"evil \(.*Lambda\)"):
        from_tfmot(tmp_path / name)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "part",
    [
        {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", "executed"]}},
        {"module": "builtins", "class_name": "function", "config": "exec"},
        {"module": "keras.utils", "class_name": "get_file", "config": {}},
        {"module": None, "class_name": "__lambda__", "config": {"value": "4wA="}},
        {"module": "os", "class_name": "Zeros", "config": {}},
    ],
)
def test_classes_that_a_file_has_no_business_with_are_refused(part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain().save("net.keras")
    with zipfile.ZipFile("net.keras") as old, zipfile.ZipFile("evil.keras", "w") as new:
        for item in old.namelist():
            text = old.read(item)
            if item == "config.json":
                config = json.loads(text)
                config["config"]["layers"][1]["config"]["kernel_initializer"] = part
                text = json.dumps(config).encode()
            new.writestr(item, text)
    with pytest.raises(ValueError, match=part["class_name"]):
        from_tfmot("evil.keras")
    assert not (tmp_path / "executed").exists()


def test_files_that_are_something_else_are_refused(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "three.keras")
    plain().save_weights(tmp_path / "weights.h5")
    (tmp_path / "text.h5").write_text("no model")
    for name, message in {
        "three.keras": "needs no bridge",
        "weights.h5": "weights only",
        "text.h5": "something else",
        "missing.h5": "nothing there",
    }.items():
        with pytest.raises(ValueError, match=message):
            from_tfmot(tmp_path / name)


def test_a_damaged_file_is_refused(tmp_path):
    plain().save(tmp_path / "net.h5")
    shutil.copy(tmp_path / "net.h5", tmp_path / "other.h5")
    with h5py.File(tmp_path / "other.h5", "a") as file:
        del file["model_weights/conv"]
    with pytest.raises((ValueError, KeyError)):
        from_tfmot(tmp_path / "other.h5")
