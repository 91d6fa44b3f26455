r"""Variational information bottleneck (VIB): channels that hold more noise than signal are switched off.

Behind an activation, each channel c is multiplied by a random number of learned mean and spread, and the layer pays
for the information that gets through:

    training     y = x * (mu_c + sigma_c * eps),    eps ~ N(0, 1), one per sample and channel, equal at all positions
                 loss += kl * positions * sum_c 1/2 log(1 + mu_c^2 / sigma_c^2)
    inference    y = x * mu_c  where  log alpha_c = log(sigma_c^2 / mu_c^2) < threshold,  else 0
    fixed        the same in training: the channels that are on stay on, and nothing is paid

The price is the Kullback-Leibler divergence of the number from a prior N(0, s^2) with the best s. It pulls every
channel towards noise; the loss of the task holds on to those that it needs. With ``threshold = 0`` a channel goes when
the noise exceeds 100 % of the signal. At least one channel stays, the one with the least noise.

The log variance is stored in units of ``speed``, by default 9, its initial magnitude: ``log sigma^2 = 9 * r``, ``r``
about -1. An optimizer like Adam moves every variable by about its learning rate per step, and would take ten thousand
steps from -9 to 0. The gradient of ``r`` is divided by ``9 ** 2``, which makes plain gradient descent on ``r`` the same
as on ``log sigma^2``. Other gradients are the true ones.

Reference: Dai, Zhu, Guo and Wipf, "Compressing Neural Networks using the Variational Information Bottleneck",
ICML 2018, https://arxiv.org/abs/1802.10399; channels over 100 % noise: US patent application 20210034982 A1, Perceive,
2021, https://patents.google.com/patent/US20210034982A1. Differs from the source in the unit just described; in that
one channel always stays; and in ``positions``: the authors multiply the price by the number of positions of a feature
map and by a factor per layer, which for square maps amounts to its side.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress import gradients, seeds
from tfcompress.constant_gate import ConstantGate
from tfcompress.structure import slots
from tfcompress.structure.insert_gates import insert_gates

QUIET = 9.0
"""Minus the log variance at first."""

TINY = 1e-8
"""Keeps the logarithm of a mean that is zero finite."""


def log_alpha(mean: Any, log_variance: Any) -> Any:
    """The logarithm of noise over signal, ``log(sigma^2 / mu^2)``; any shape."""
    return log_variance - ops.log(ops.square(mean) + TINY)


def divergence(mean: Any, log_variance: Any) -> Any:
    """``1/2 sum log(1 + mu^2 / sigma^2)``, the information that passes, in nats; a scalar."""
    return 0.5 * ops.sum(ops.softplus(-log_alpha(mean, log_variance)))


@keras.saving.register_keras_serializable("tfcompress")
class InformationBottleneck(ConstantGate):
    """Multiplies channels by learned noise and switches off those that hold more noise than signal.

    Stands behind an activation. After training, ``tfcompress.edits.remove_channels(model)`` takes the channels that are
    switched off out of the network, and this layer with them. ``tfcompress.edits.insert_bottlenecks`` puts one behind
    every group of a network.

    Args:
        kl: Price of a nat of information, in units of the loss; at least 0. It is a variable, which
            ``callbacks.Anneal("kl", ...)`` may raise from 0 in the first tenth of training. How much is right depends
            on data and network: try powers of ten. Default 1e-4.
        positions: What the price of a feature map is multiplied by: ``"side"`` (default), the square root of its number
            of positions; ``"all"``, their number; ``"one"``, nothing.
        threshold: Channels are off where ``log(sigma^2 / mu^2)`` is not below it. Default 0.
        seed: Seed of the noise.
        speed: How much faster the log variance moves than weights do, above 0. Default 9: after ``9 / speed``
            over the learning rate steps of Adam, noise may be as loud as the signal. For short trainings take more.

    Raises:
        ValueError: An argument is out of range, or (when built) the size of the map or its number of channels varies.
    """

    def __init__(
        self,
        kl: float = 1e-4,
        positions: str = "side",
        threshold: float = 0.0,
        seed: int | None = None,
        speed: float = 9.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not kl >= 0:
            raise ValueError(f"`kl` must be at least 0. Received: kl={kl}")
        if positions not in POSITIONS:
            raise ValueError(f"`positions` must be one of {list(POSITIONS)}. Received: positions={positions!r}")
        if not speed > 0:
            raise ValueError(f"`speed` must be above 0. Received: speed={speed}")
        self.initial_kl, self.positions, self.threshold, self.seed = kl, positions, threshold, seed
        self.speed = speed
        self.noise = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        """Creates the mean (about 1) and log variance (about -9) of every channel, the price, and what is fixed."""
        *sizes, channels = tuple(input_shape)[1:]
        if channels is None or (None in sizes and self.positions != "one"):
            raise ValueError(
                f"InformationBottleneck '{self.name}' must know the size of its input. Received: shape "
                f"{tuple(input_shape)}. Give keras.Input its full shape, or use positions='one'."
            )
        self.weight = POSITIONS[self.positions](math.prod(sizes) if self.positions != "one" else 1)
        about = keras.initializers.RandomNormal
        self.mean = self.add_weight(shape=(channels,), initializer=about(1.0, 0.01, self.noise), name="mean")
        start = about(-QUIET / self.speed, 0.01 / self.speed, self.noise)
        self.ratio = self.add_weight(shape=(channels,), initializer=start, name="ratio")

        def state(name: str, value: float, shape: tuple[int, ...] = ()) -> keras.Variable:
            first = keras.initializers.Constant(value)
            return self.add_weight(shape=shape, initializer=first, trainable=False, name=name)

        self.kl, self.multiplier = state("kl", self.initial_kl), state("multiplier", 0.0)
        self.fixed, self.open = state("fixed", 0.0), state("open", 1.0, (channels,))

    @property
    def log_variance(self) -> Any:
        """``log sigma^2`` of every channel."""
        return gradients.swift(ops.convert_to_tensor(self.ratio), self.speed)

    @property
    def is_fixed(self) -> Any:
        """Whether the channels that are on are there to stay; bool tensor."""
        return ops.convert_to_tensor(self.fixed) > 0

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Noise and its price in training, the mean or zero at inference."""
        mean = ops.convert_to_tensor(self.mean)
        if not training:
            return x * ops.where(self._used(), mean, 0.0)
        price = ops.where(self.is_fixed, 0.0, self.kl * self.weight)
        self.add_loss(price * divergence(mean, self.log_variance))
        shape = (ops.shape(x)[0], *[1] * (len(x.shape) - 2), x.shape[-1])
        noise = keras.random.normal(shape, dtype="float32", seed=self.noise)
        noisy = mean + ops.exp(0.5 * self.log_variance) * noise
        return x * ops.where(self.is_fixed, ops.where(self._used(), mean, 0.0), noisy)

    @property
    def log_alpha(self) -> Any:
        """The logarithm of noise over signal, one per channel."""
        return log_alpha(ops.convert_to_tensor(self.mean), self.log_variance)

    @property
    def margin(self) -> Any:
        """How far each channel is from being switched off, in the logarithm; negative where it is off."""
        return self.threshold - self.log_alpha

    def _used(self) -> Any:
        """True for the channels that are on; bool tensor."""
        used = ops.logical_or(self.margin > 0, self.margin == ops.max(self.margin))
        return ops.where(self.is_fixed, ops.convert_to_tensor(self.open) > 0, used)

    @property
    def factor(self) -> np.ndarray:
        """The mean of the channels that are on, else 0."""
        return np.where(ops.convert_to_numpy(self._used()), slots.numpy(self.mean), 0.0).astype(np.float32)

    @property
    def importance(self) -> np.ndarray:
        """Signal over noise, ``|mu| / sigma``."""
        return np.asarray(ops.convert_to_numpy(ops.exp(-0.5 * self.log_alpha)))

    @property
    def keep(self) -> np.ndarray:
        """True for the channels that are on."""
        return np.asarray(ops.convert_to_numpy(self._used()))

    def save_own_variables(self, store: Any) -> None:
        """Writes the state of the random numbers too, which Keras leaves out."""
        super().save_own_variables(store)
        seeds.save(self, store)

    def load_own_variables(self, store: Any) -> None:
        """Restores the state from a file."""
        super().load_own_variables(seeds.restore(self, store))

    def get_config(self) -> dict[str, Any]:
        """Configuration; ``kl`` is the price at the start."""
        mine = {"kl": self.initial_kl, "positions": self.positions, "threshold": self.threshold, "seed": self.seed}
        return {**super().get_config(), **mine, "speed": self.speed}


def insert_bottlenecks(model: keras.Model, layers: str = ".*", **arguments: Any) -> keras.Model:
    """Returns a copy of ``model`` with gates that learn which channels are needed; the original is not changed.

    A gate comes behind each group (a convolution or Dense layer, its batch norm and ReLU) whose channels can be removed
    when that gate alone closes. Where a sum ties the channels of several groups, no single gate can: there is none.

    Args:
        model: A built Sequential or Functional model, nested ones included.
        layers: Regular expression on the names or paths of convolutions and Dense layers, as a whole. Default: all.
        **arguments: Of ``InformationBottleneck``, e.g. ``kl=1e-3``. From ``seed`` each gate gets its own, counted up.

    Returns:
        A new model, to be compiled, with layers called ``<last layer of the group>_bottleneck``.

    Raises:
        ValueError: ``layers`` matches no convolution or Dense layer whose channels can be removed.
    """
    return insert_gates(model, layers, InformationBottleneck, arguments, "bottleneck")


POSITIONS = {"side": math.sqrt, "all": float, "one": lambda count: 1.0}
"""Number of positions -> what the price is multiplied by."""
