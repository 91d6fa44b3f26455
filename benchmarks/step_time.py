"""What techniques add to a training step, beside plain ``fit`` of the same network.

    python benchmarks/step_time.py [--rounds=8] [--steps=16]

The jobs take turns, each for a short ``fit`` on the same synthetic data, so that whatever else the machine does meets
them alike. Each step is timed, from the end of one to the end of the next; the first of a turn is not, nor is the
first turn, which compiles. Minimum and median over all steps go to the table and to ``results/step_time.json``, the
minimum as a multiple of that of plain ``fit``: it is what a step costs when nothing else runs.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import record
from keras import layers

import tfcompress as tfc

SEED = 0
PACKAGES = ("tensorflow", "keras", "numpy")


def small_cnn() -> keras.Model:
    """Two convolutions and a wide dense layer on 32x32 colour images; 530,234 parameters."""
    return cnn((32, 32, 3), [(16, False), (32, True)], 64)


def fashion_cnn() -> keras.Model:
    """Three convolutions and a dense layer on 28x28 grey images; 459,050 parameters."""
    return cnn((28, 28, 1), [(32, True), (64, True), (64, False)], 128)


def cnn(shape: tuple[int, ...], convolutions: list[tuple[int, bool]], units: int) -> keras.Model:
    """Conv-BN-ReLU, some with max pooling behind them; dense, ReLU; dense."""
    inputs = x = keras.Input(shape, name="image")
    for filters, pooling in convolutions:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D()(x) if pooling else x
    x = layers.Dense(units, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(10)(x))


NETWORKS = {"530k CNN, 32x32x3, batch 64": (small_cnn, 64), "fashion-cnn, 28x28x1, batch 128": (fashion_cnn, 128)}


def everywhere(transform: tfc.Transform) -> dict[str, Any]:
    """The transform on all kernels and behind all groups, the input among them."""
    return {".*": {"kernel": transform, "output": transform}}


def pruning(**arguments: Any) -> dict[str, Any]:
    """Rising sparsity, with a new mask in every step."""
    schedule = tfc.PolynomialDecay(0.0, 0.7, begin_step=0, end_step=10_000)
    return {".*": {"kernel": tfc.MagnitudePruning(schedule, frequency=1, **arguments)}}


JOBS: dict[str, Callable[[], dict[str, Any] | None]] = {
    "plain fit": lambda: None,
    "LSQ, all weights and maps": lambda: everywhere(tfc.LSQ(bits=8)),
    "the same, and the step of the input learned": lambda: {
        **everywhere(tfc.LSQ(bits=8)),
        "image": {"output": tfc.LSQ(bits=8, learned=True)},
    },
    "LSQ, all weights": lambda: {".*": {"kernel": tfc.LSQ(bits=4)}},
    "MinMax, all weights and maps": lambda: everywhere(tfc.MinMax(bits=8)),
    "pruning, mask made in every step": lambda: pruning(),
    "pruning, mask every 100 steps": lambda: {".*": {"kernel": tfc.MagnitudePruning(0.7)}},
    "balanced pruning, before the freeze": lambda: {".*": {"kernel": tfc.BalancedPruning(0.7, freeze_step=100_000)}},
    "signed perturbation": lambda: {".*": {"kernel": tfc.SignedPerturbation()}},
    "LearnedThreshold": lambda: {".*": {"kernel": tfc.LearnedThreshold()}},
    "AnalyticThreshold": lambda: {".*": {"kernel": tfc.AnalyticThreshold()}},
    "LookUpTable(16), all weights": lambda: {".*": {"kernel": tfc.LookUpTable(16)}},
    "JointPruneQuantize, all weights": lambda: {".*": {"kernel": tfc.JointPruneQuantize(100_000)}},
    "JointPruneQuantize, all weights and maps": lambda: everywhere(tfc.JointPruneQuantize(100_000)),
    "RelaxedQuantizer(4), all weights": lambda: {".*": {"kernel": tfc.RelaxedQuantizer(4)}},
}


def models(make: Callable[[], keras.Model], x: np.ndarray) -> dict[str, keras.Model]:
    """One compiled model per job."""
    made = {}
    for name, rules in JOBS.items():
        keras.utils.set_random_seed(SEED)
        model = made[name] = make() if (r := rules()) is None else tfc.compress(make(), r)
        tfc.calibrate(model, x[:128])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


class Timer(keras.callbacks.Callback):
    """Milliseconds of each step but the first."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks at the clock."""
        self.ends.append(time.perf_counter())

    def steps(self) -> list[float]:
        """The times between two looks."""
        return [1000 * (after - before) for before, after in zip(self.ends, self.ends[1:])]


def measure(make: Callable[[], keras.Model], batch: int, rounds: int, steps: int) -> dict[str, list[float]]:
    """Milliseconds of every step of each job."""
    rng = np.random.default_rng(SEED)
    shape = make().input_shape[1:]
    x, y = rng.random((batch * steps, *shape), "float32"), rng.integers(0, 10, batch * steps)
    jobs = models(make, x)
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for k in range(rounds + 1):
        for name, model in jobs.items():
            timer = Timer()
            model.fit(x, y, batch_size=batch, shuffle=False, verbose=0, callbacks=[timer])
            times[name] += timer.steps() if k else []
    return times


def rows(network: str, times: dict[str, list[float]]) -> list[dict[str, str]]:
    """One network's part of the table."""
    plain = times["plain fit"]
    return [
        {
            "network": network,
            "job": job,
            "min ms/step": f"{min(found):.1f}",
            "times plain (min)": f"{min(found) / min(plain):.2f}",
            "median ms/step": f"{np.median(found):.1f}",
            "times plain (median)": f"{np.median(found) / np.median(plain):.2f}",
        }
        for job, found in times.items()
    ]


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8, help="turns of every job")
    parser.add_argument("--steps", type=int, default=16, help="training steps in a turn")
    options = parser.parse_args()
    times = {name: measure(*of, options.rounds, options.steps) for name, of in NETWORKS.items()}
    table = [row for name, found in times.items() for row in rows(name, found)]
    record.show(table)
    record.write("step_time", record.settings(PACKAGES, seed=SEED, **vars(options)), table)


if __name__ == "__main__":
    main()
