"""Trained through generated transforms, exported as plain convolutions, and run either way to the same bits."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

pytestmark = pytest.mark.slow


def test_from_fit_to_fewer_multiplications(tmp_path: Path) -> None:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    x, y, x_test, y_test = images[:1347], labels[:1347], images[1347:], labels[1347:]
    keras.utils.set_random_seed(0)
    conv = tfc.layers.WinogradConv2D
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            conv(16, 3, padding="same", use_bias=False, tile=4, name="conv_1"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise"),
            conv(24, (3, 5), padding="same", activation="silu", name="conv_2"),
            layers.Conv2D(32, 3, strides=2, activation="relu", name="strided"),
            layers.Flatten(),
            layers.Dense(10, name="head"),
        ]
    )
    small = tfc.compress(model, {"conv_.*": {"kernel": tfc.LSQ(bits=4)}})
    tfc.calibrate(small, x[:256])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    small.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"], jit_compile=False)
    small.fit(x, y, batch_size=64, epochs=3, verbose=0)
    accuracy = small.evaluate(x_test, y_test, verbose=0)[1]
    assert accuracy > 0.85
    small.save(tmp_path / "small.keras")
    again = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(again(x_test[:8]), small(x_test[:8]))

    blob = tfe.convert(again, representative_dataset=x[:128])
    tfe.verify(blob, x_test[:8], keras_model=again).raise_if_different()
    receipt = tfe.receipt(blob)
    assert [row["true_bits"] for row in receipt.rows if row["tensor"].startswith("conv_")][::2] == [4, 4]
    direct = tfe.Interpreter(model_content=blob, experimental_preserve_all_tensors=True)
    codes = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 1)).astype(np.int8)
    for m in (2, 4):
        run = tfe.Interpreter(
            model_content=blob,
            experimental_preserve_all_tensors=True,
            convolution=tfc.toom_cook.Tiles(m),
        )
        for engine in (direct, run):
            engine.allocate_tensors()
            engine.set_tensor(engine.get_input_details()[0]["index"], codes)
            engine.invoke()
        for detail in direct.get_tensor_details():
            np.testing.assert_array_equal(run.get_tensor(detail["index"]), direct.get_tensor(detail["index"]))
        np.testing.assert_array_equal(run.predict(x_test), direct.predict(x_test))
        found = {made.kernel: made for made in run.convolutions if not made.note}
        assert found[3, 3].direct / found[3, 3].generated == pytest.approx({2: 36 / 16, 4: 4}[m])
        assert found[3, 5].direct / found[3, 5].generated == pytest.approx({2: 60 / 24, 4: 240 / 48}[m])
        notes = [made.note for made in run.convolutions]
        assert notes == ["", "", "", "stride (2, 2), dilation (1, 1)"]
    assert direct.convolutions == ()
    on_chip = np.mean(run.predict(x_test).argmax(-1) == y_test)
    assert on_chip > accuracy - 0.02
