"""Two small exported networks on handwritten digits: a convolutional one, and an LSTM on the rows of an image."""

import functools

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import tflite_export as tfe

IMAGES = (load_digits().images / 16).astype(np.float32)


def convolutional() -> keras.Model:
    x = inputs = keras.Input((8, 8, 1), name="image")
    x = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(x))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(layers.ReLU()(x))
    x = layers.Add()([x, layers.Conv2D(16, 1)(x)])
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    return keras.Model(inputs, layers.Dense(10, name="class")(x))


def recurrent() -> keras.Model:
    inputs = keras.Input((8, 8), name="image")
    return keras.Model(inputs, layers.Dense(10, name="class")(layers.LSTM(16)(inputs)))


NETWORKS = {"convolutional": convolutional, "recurrent": recurrent}


@functools.cache
def exported(name: str) -> tuple[bytes, np.ndarray, np.ndarray]:
    """The file, sixteen quantised images, and what our interpreter makes of them, one after the other."""
    keras.utils.set_random_seed(0)
    model = NETWORKS[name]()
    x = IMAGES.reshape(-1, *model.input_shape[1:])
    blob = tfe.convert(model, x[:200])
    ours = tfe.Interpreter(model_content=blob)
    ours.allocate_tensors()
    scale, zero_point = ours.get_input_details()[0]["quantization"]
    codes = np.clip(np.rint(x[:16] / scale) + zero_point, -128, 127).astype(np.int8)
    return blob, codes, np.concatenate([one_by_one(ours, image) for image in codes])


def one_by_one(interpreter: object, image: np.ndarray) -> np.ndarray:
    """One image through whatever has the methods of ``tf.lite.Interpreter``; its state begins anew."""
    interpreter.allocate_tensors()
    interpreter.reset_all_variables()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy()
