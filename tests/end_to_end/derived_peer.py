"""A derived network and an introduced layer on whatever backend Keras has; run as a script, prints what came out."""

import json
import sys
from typing import Any

import keras
import numpy as np
from keras import layers

import tfcompress as tfc

LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def network(arrays: Any, name: str) -> keras.Model:
    stack = [layers.Dense(6, use_bias=False, name="hidden"), layers.BatchNormalization(), layers.ReLU(name="relu")]
    model = keras.Sequential([keras.Input((8,)), *stack, layers.Dense(3, name="out")], name=name)
    model.set_weights([arrays[f"{name}_{k}"] for k in range(len(model.weights))])
    return model


def results(file: str) -> list[Any]:
    """A weight of the student, codes, a loss, a weight of an introduced layer, and one of a reader solved anew."""
    arrays = np.load(file)
    x, base, student = arrays["x"], network(arrays, "base"), network(arrays, "student")
    derived = tfc.DerivedModel(base, student, tfc.targets.PowerOfTwo(from_logits=True))
    derived.compile(keras.optimizers.SGD(0.1), LOSS, metrics=["accuracy"], jit_compile=False)
    derived.fit(x, batch_size=32, epochs=2, shuffle=False, verbose=0)
    targets = tfc.quantized_targets(base, x, tfc.targets.Uniform(4, from_logits=True))
    derived.student.compile("sgd", LOSS, jit_compile=False)
    loss = derived.student.evaluate(targets.attach(x, batch_size=32), verbose=0)
    new = layers.Dense(6, activation="relu", name="new")
    other = tfc.edits.introduce_layer(base, new, x, at=("hidden", "relu"))
    narrow = tfc.edits.introduce_layer(base, 4, x, at="hidden", mode="narrow")
    made = [student.get_weights()[0], targets.codes, loss]
    made += [other.get_layer("new").get_weights()[0], narrow.get_layer("out").get_weights()[0]]
    return [np.asarray(m).tolist() for m in made]


if __name__ == "__main__":
    print(json.dumps(results(sys.argv[1])))
