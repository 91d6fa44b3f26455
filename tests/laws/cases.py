"""The techniques under the laws L0 to L7. A new technique adds one line."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers

import tfcompress as tfc
from tfcompress import LSQ, Chain, MagnitudePruning, MinMax, PolynomialDecay, Transform
from tfcompress.schedules import Ramp


@dataclass(frozen=True)
class Case:
    """A prototype transform and where it goes: all slots called ``slot``.

    ``kind`` says what it does to the values: ``"quantizes"`` (has a grid) or ``"prunes"`` (zeros, the rest unchanged).
    ``survivors`` tells, for a kind that prunes, what the deployed values are that are not zero.
    ``random`` transforms draw numbers in training: backends and XLA draw others from the same seed.
    ``rounding`` is what backends may differ by, relative to 1 plus the largest value: more where large terms cancel.
    """

    name: str
    factory: Callable[[], Transform]
    slot: str
    kind: str
    random: bool = False
    survivors: Callable[[Transform, np.ndarray], np.ndarray] = lambda transform, x: x
    rounding: float = 1e-5

    def __str__(self) -> str:
        return self.name


def rising() -> PolynomialDecay:
    return PolynomialDecay(0.2, 0.7, begin_step=1, end_step=6, frequency=2)


def shrunk(transform: Transform, x: np.ndarray) -> np.ndarray:
    return x + np.array(keras.ops.convert_to_numpy(transform.offset))


def perturbation() -> Transform:
    return tfc.SignedPerturbation(0.15, begin_step=1, end_step=12)


CASES = [
    Case("lsq_w4", lambda: LSQ(bits=4), "kernel", "quantizes"),
    Case("lsq_w2", lambda: LSQ(bits=2), "kernel", "quantizes"),
    Case("lsq_w8_per_tensor", lambda: LSQ(bits=8, axis=()), "kernel", "quantizes"),
    Case("lsq_w4_power_of_two", lambda: LSQ(bits=4, power_of_two=True), "kernel", "quantizes"),
    Case("lsq_map8", lambda: LSQ(bits=8), "output", "quantizes"),
    Case("lsq_map5_power_of_two", lambda: LSQ(bits=5, power_of_two=True), "output", "quantizes"),
    Case("minmax_w8", lambda: MinMax(bits=8), "kernel", "quantizes"),
    Case("minmax_map8", lambda: MinMax(bits=8, momentum=0.9), "output", "quantizes"),
    Case("pruning", lambda: MagnitudePruning(rising()), "kernel", "prunes"),
    Case("pruning_blocks", lambda: MagnitudePruning(rising(), block_size=(2, 3)), "kernel", "prunes"),
    Case("pruning_2_by_4", lambda: MagnitudePruning(sparsity_m_by_n=(2, 4), frequency=1), "kernel", "prunes"),
    Case("joint_pruning", lambda: tfc.JointPruneQuantize(12, kept_penalty=1e-3), "kernel", "quantizes"),
    Case("joint_pruning_snapped", lambda: tfc.JointPruneQuantize(5, bits=(3, 4, 6)), "kernel", "quantizes"),
    Case("joint_map", lambda: tfc.JointPruneQuantize(5, bits=(4, 8), begin_step=1), "output", "quantizes"),
    Case("relaxed_w4", lambda: tfc.RelaxedQuantizer(bits=4), "kernel", "quantizes", random=True),
    Case("relaxed_w2_hard", lambda: tfc.RelaxedQuantizer(bits=2, hard=True), "kernel", "quantizes", random=True),
    Case("relaxed_map5", lambda: tfc.RelaxedQuantizer(bits=5, seed=1), "output", "quantizes", random=True),
    Case("soft_round_w4", lambda: tfc.SoftRound(4, Ramp(0, 6, 0.05, 0.5, geometric=True), 6), "kernel", "quantizes"),
    Case("soft_round_w2", lambda: tfc.SoftRound(2, 0.2), "kernel", "quantizes"),
    Case("soft_round_map5", lambda: tfc.SoftRound(5, 0.4), "output", "quantizes"),
    Case("differentiable_bits", lambda: tfc.DifferentiableBits(price=0.01), "kernel", "quantizes"),
    Case("differentiable_bits_5", lambda: tfc.DifferentiableBits(5, (2, 4, 8), axis=()), "kernel", "quantizes"),
    Case("differentiable_map", lambda: tfc.DifferentiableBits(6, price=0.1), "output", "quantizes"),
    Case("bayesian_bits", lambda: tfc.BayesianBits(price=0.01, channel_price=0.01), "kernel", "quantizes", random=True),
    Case("bayesian_map", lambda: tfc.BayesianBits((4, 8), price=0.01), "output", "quantizes", random=True),
    Case("table_w4", lambda: tfc.LookUpTable(16), "kernel", "quantizes"),
    Case("table_w2", lambda: tfc.LookUpTable(4), "kernel", "quantizes"),
    Case("table_w2_per_channel", lambda: tfc.LookUpTable(4, axis=None), "kernel", "quantizes"),
    Case("table_power_of_two_pruning", lambda: tfc.LookUpTable(8, "power_of_two", rising()), "kernel", "quantizes"),
    Case("table_ternary_pruning", lambda: tfc.LookUpTable(3, "ternary", rising()), "kernel", "quantizes"),
    Case("pruning_lsq_w4", lambda: Chain([MagnitudePruning(rising()), LSQ(bits=4)]), "kernel", "quantizes"),
    Case("learned_threshold", lambda: tfc.LearnedThreshold(1e-3, temperature=0.5), "kernel", "prunes"),
    Case("learned_threshold_frozen", lambda: tfc.LearnedThreshold(1e-3, 2.0, 0.5, freeze_step=5), "kernel", "prunes"),
    Case("analytic_threshold", lambda: tfc.AnalyticThreshold(1e-3), "kernel", "prunes", rounding=5e-5),
    Case("balanced_pruning", lambda: tfc.BalancedPruning(0.6, freeze_step=6), "kernel", "prunes"),
    Case("balanced_pruning_tiles", lambda: tfc.BalancedPruning(0.6, freeze_step=20, group=(2, 4)), "kernel", "prunes"),
    Case("gate_pruning", lambda: tfc.GatePruning(0.7, gates="i"), "kernel", "prunes"),
    Case("gate_pruning_begun", lambda: tfc.GatePruning(sparsity=0.5, begin_step=3, gates="f"), "kernel", "prunes"),
    Case("signed_pruning", perturbation, "kernel", "prunes", random=True, survivors=shrunk),
]


@functools.cache
def one_of_each() -> list[Case]:
    """The first case of each technique on weights, and of each on feature maps: for laws that take long."""
    return list({(type(case.factory()), case.slot): case for case in reversed(CASES)}.values())


SHAPE = (6, 6, 4)
CLASSES = 5


def network(name: str = "network") -> keras.Model:
    """A convolution with a batch norm, and a dense layer."""
    inputs = keras.Input(SHAPE, name="image")
    x = layers.Conv2D(6, 3, use_bias=False, name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Flatten(name="flat")(x)
    return keras.Model(inputs, layers.Dense(CLASSES, name="dense")(x), name=name)


def one_layer(name: str) -> keras.Model:
    """A dense layer behind a ReLU, for laws that take long."""
    inputs = keras.Input(SHAPE, name="image")
    x = layers.ReLU(name="relu")(layers.Flatten(name="flat")(inputs))
    return keras.Model(inputs, layers.Dense(CLASSES, name="dense")(x), name=name)


def compressed(case: Case, calibrated: bool = True, network: Callable[[str], keras.Model] = network) -> keras.Model:
    """The network with the transform wherever its slot is; output transforms are calibrated unless told otherwise."""
    keras.utils.set_random_seed(0)
    small = tfc.compress(network(case.name), {".*": {case.slot: case.factory()}})
    if calibrated:
        tfc.calibrate(small, data()[0])
    return small


def alone(case: Case) -> Transform:
    """A new transform, not built, with the arguments that the slot gives it."""
    if case.slot == "kernel":
        model = keras.Sequential([keras.Input((8,)), layers.Dense(6, name="dense")])
        (made,) = tfc.compress(model, {"dense": {"kernel": case.factory()}}).layers[0].transforms.values()
    else:
        model = keras.Sequential([keras.Input((6,)), layers.ReLU(name="relu")])
        made = tfc.compress(model, {"relu": {"output": case.factory()}}).layers[-1]
    return type(made).from_config(made.get_config())


def tensor(case: Case, seed: int = 0) -> np.ndarray:
    """A weight for ``alone``, or a feature map behind a ReLU."""
    x = np.random.default_rng(seed).normal(size=(8, 6)).astype("float32")
    return x if case.slot == "kernel" else np.maximum(x, 0)


def data(samples: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images, normally distributed, and the classes that a random projection of them gives."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, *SHAPE)).astype("float32")
    y = np.argmax(x.reshape(samples, -1) @ rng.normal(size=(np.prod(SHAPE), CLASSES)), axis=1)
    return x, y


def fit(model: keras.Model, epochs: int = 1, first: int = 0, **options: object) -> keras.Model:
    """Trains for 8 steps an epoch, in the same order every time."""
    if options or not model.compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.01), loss, **options)
    x, y = data()
    y = [y] * len(model.outputs) if len(model.outputs) > 1 else y
    model.fit(x, y, batch_size=8, initial_epoch=first, epochs=first + epochs, shuffle=False, verbose=0)
    return model


def side_by_side(cases: Sequence[Case], network: Callable[[str], keras.Model] = one_layer) -> keras.Model:
    """The compressed networks of all cases in one model, which is traced once; each has its own output and loss."""
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, [compressed(case, network=network)(inputs) for case in cases])


@functools.cache
def _all_trained() -> keras.Model:
    return fit(side_by_side(CASES, network))


def trained(case: Case) -> keras.Model:
    """The compressed network behind one epoch, for tests that only look at it."""
    return _all_trained().get_layer(case.name)


def transforms(model: keras.Model) -> dict[str, Transform]:
    """The outermost transforms, by the name of their layer."""
    found = {layer.name: layer for layer in model.layers if isinstance(layer, Transform)}
    wrapped = [layer for layer in model.layers if isinstance(layer, tfc.Compressed)]
    return found | {layer.name: t for layer in wrapped for t in layer.transforms.values()}


def state(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of all variables, those of the optimizer too."""
    owners = {"model": model, "optimizer": getattr(model, "optimizer", None)}
    return {
        f"{name} {k}": np.array(keras.ops.convert_to_numpy(variable))
        for name, owner in owners.items()
        for k, variable in enumerate(owner.variables if owner else ())
    }


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray], tolerance: float = 0) -> None:
    """All variables equal, bit for bit without a tolerance."""
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=tolerance, atol=tolerance, err_msg=name)


def results_of(script: str, folder: Path, **environment: str) -> dict[str, np.ndarray]:
    """The arrays that a script of this folder writes, run in a process of its own."""
    path = [str(Path(tfc.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path), **environment}
    command = [sys.executable, str(Path(__file__).with_name(script)), str(folder / "results.npz")]
    subprocess.run(command, env=variables, check=True)
    return dict(np.load(folder / "results.npz"))
