"""Runs every case on the backend that the environment names and writes what came out; law L5 compares two such runs.

KERAS_BACKEND=jax python backend_peer.py results.npz
"""

import sys
from typing import Any

import keras
import numpy as np
from cases import Case, alone, data, one_of_each, state, tensor
from keras import ops

import tfcompress as tfc

Array = np.ndarray


def on_jax(transform: tfc.Transform, x: Array, upstream: Array) -> list[Array]:
    """The value of a training call, and the gradients of ``sum(value * upstream)`` for ``x`` and the variables."""
    import jax

    def loss(x: Any, learned: list[Any], kept: list[Any]) -> Any:
        y, kept = transform.stateless_call(learned, kept, x, training=True)
        return ops.sum(y * upstream), (y, kept)

    learned, kept = ([v.value for v in vs] for vs in (transform.trainable_variables, transform.non_trainable_variables))
    (by_x, by_variables), (y, kept) = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, learned, kept)
    for variable, value in zip(transform.non_trainable_variables, kept, strict=True):
        variable.assign(value)
    return [np.array(a) for a in (y, by_x, *by_variables)]


def on_tensorflow(transform: tfc.Transform, x: Array, upstream: Array) -> list[Array]:
    """The same."""
    import tensorflow as tf

    tensor = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        y = transform(tensor, training=True)
        total = tf.reduce_sum(y * upstream)
    return [
        np.array(a) for a in (y, *tape.gradient(total, [tensor, *[v.value for v in transform.trainable_variables]]))
    ]


BACKENDS = {"jax": on_jax, "tensorflow": on_tensorflow}


def play(case: Case) -> dict[str, Array]:
    """A few training calls of the transform, and one epoch of a dense layer that has it."""
    transform, x = alone(case), tensor(case)
    transform.build(x.shape)
    transform.built = True
    upstream = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    results = {}
    for k in range(4):
        made = BACKENDS[keras.backend.backend()](transform, np.float32(1 + 0.1 * k) * x, upstream)
        results |= {f"{case}/call {k}/{n}": array for n, array in enumerate(made)}
    results |= {f"{case}/state {k}": np.array(v) for k, v in enumerate(map(ops.convert_to_numpy, transform.variables))}
    return results | {f"{case}/fit {name}": array for name, array in trained_dense(case).items()}


def trained_dense(case: Case) -> dict[str, Array]:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12,), name="features")
    model = keras.Model(inputs, keras.layers.Dense(6, activation="relu", name="dense")(inputs))
    kernel = np.random.default_rng(0).normal(size=(12, 6)).astype("float32")
    model.layers[-1].set_weights([kernel, np.zeros(6, "float32")])
    small = tfc.compress(model, {"dense": {case.slot: case.factory()}})
    x, _ = data()
    x = x.reshape(-1, 12)[:64]
    small.compile(keras.optimizers.SGD(0.01), "mse")
    small.fit(x, np.maximum(x[:, :6], 0), batch_size=8, shuffle=False, verbose=0)
    return {**state(small), "prediction": small.predict(x, verbose=0)}


if __name__ == "__main__":
    np.savez(
        sys.argv[1], **{name: array for case in one_of_each() if not case.random for name, array in play(case).items()}
    )
