"""Trains every case under MirroredStrategy on two logical CPUs and writes the state of each replica, for law L7.

Output transforms are not calibrated before: each replica has another first batch to take its initial state from.

    python replicas_peer.py results.npz
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from cases import compressed, fit, one_of_each


def main(path: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    results = {}
    for case in one_of_each():
        with strategy.scope():
            model = compressed(case, calibrated=False)
            before = [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]
            fit(model)
        for k, variable in enumerate(model.variables):
            values = [v.numpy() for v in strategy.experimental_local_results(variable.value)]
            results[f"{case}/{k} {variable.name}"] = np.stack([before[k], *values])
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
