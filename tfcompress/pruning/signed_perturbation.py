r"""Signed perturbation: after each step of the optimizer every weight loses a random amount of its magnitude.

    w <- w - update                                 the optimizer's step
    w <- w + Delta * sign(w),    Delta ~ -D(s)      D: half-normal, uniform, exponential, gamma; or normal
    w <- 0 where its sign has turned                sign(0) = 0: a zero is moved by the optimizer only

A weight that no gradient holds goes to zero and stays there; at zero it stays as long as the optimizer's step is below
what it loses, learning rate * |gradient| < Delta. On average that is soft thresholding by ``mu = E|Delta|``, a
stochastic L1 penalty of strength ``mu / learning rate``, but with exact zeros. With a mean of zero (``"normal"``) there
is no drift and almost no zeros: it is a control.

A Transform maps a tensor and cannot assign the weight, and need not. The optimizer moves its own variable ``theta``;
what the weight has lost in all steps is kept beside it, as state, and the process above comes out the same:

    training     w = shrink(theta + offset, |Delta|),    offset <- w - theta,    alive <- w != 0
    inference    w = theta + offset where alive, else 0

    since    theta' + offset  =  theta - update + (w - theta)  =  w - update

The update is the one made for w, since gradients are taken at w and pass straight through to theta, at zeros as well.
A Keras constraint could assign the weight itself, but not its random state: on the JAX backend that is lost behind
the optimizer, and it would not be saved. At inference, the last update of a zero has not met its Delta yet. It does
not count until it has, so zeros are exact at any time.

``mode="transient"`` is the other reading of the source: the gradient is taken at the changed weight, and the change is
forgotten. It makes no zeros; it teaches the network to bear smaller weights.

``s = rate * std(first w)``. Delta begins at ``begin_step``. From ``end_step`` on there is none, zeros stay zero without
a gradient, and training goes to the weights that are left.

How much is enough depends on the size of the updates. Plain gradient descent has an L1 penalty of
``mu / learning rate``, some 1e-4 to 1e-3. Adam moves even a weight that nothing holds by a good part of the learning
rate, so zeros only stay where ``mu`` comes near the learning rate; at three times that, whole layers vanish. A batch
norm makes up for weights that shrink, so layers before one offer the least resistance. ``tfcompress.report`` shows
the zeros of each layer.

Reference: W. Deng, "Method for Optimizing Neural Networks", Samsung, US11461628B2 (2022) and US20190138896A1 (2019),
https://patents.google.com/patent/US11461628B2; its first claim says that the change is always opposite to the weight.
Differs from the source in what its claims leave open: the distributions; the zero where the sign turns; beginning and
end; and the storage, in which weight decay and regularizers act on theta, not on w. A Transform does not know the
learning rate: where it falls, let ``rate`` fall with it.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops, random

from tfcompress import gradients
from tfcompress.measured import Measured
from tfcompress.transform import require_weight


def _exponential(shape: Any, seed: Any) -> Any:
    return -ops.log(1 - random.uniform(shape, seed=seed))  # 1 - [0, 1): never the logarithm of 0


def _half_normal(shape: Any, seed: Any) -> Any:
    """By Box and Muller, two from two: half the time of ``random.normal``, which is most of what a step costs."""
    size = math.prod(shape)
    uniform = random.uniform((2, -(-size // 2)), seed=seed)
    radius, angle = ops.sqrt(-2 * ops.log(1 - uniform[0])), math.pi / 2 * uniform[1]
    both = ops.concatenate([radius * ops.cos(angle), radius * ops.sin(angle)])
    return ops.reshape(both[:size], shape)


DISTRIBUTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "half_normal": _half_normal,
    "uniform": lambda shape, seed: random.uniform(shape, seed=seed),
    "exponential": _exponential,
    "gamma": lambda shape, seed: _exponential(shape, seed) + _exponential(shape, seed),
    "normal": lambda shape, seed: random.normal(shape, seed=seed),
}
"""-Delta at scale 1: |N(0, 1)|, U(0, 1), Exp(1), Gamma(2, 1) as the sum of two Exp(1), N(0, 1)."""


def shrink(w: Any, amount: Any) -> Any:
    """``w - amount * sign(w)``, and 0 where that has the other sign; ``amount`` may be negative."""
    return ops.sign(w) * ops.maximum(ops.abs(w) - amount, 0.0)


@keras.saving.register_keras_serializable("tfcompress")
class SignedPerturbation(Measured):
    """Makes zeros by taking a random amount off every weight's magnitude in each step.

    Args:
        rate: Scale of that amount, as a fraction of the standard deviation of the first weights, 0 or more. A weight of
            one standard deviation without a gradient is gone after about ``1.25 / rate`` steps (half-normal). A number,
            or a ``keras.optimizers.schedules.LearningRateSchedule``, to follow the learning rate. Default 1e-3.
        begin_step: First step with changes, best behind 10 to 20 % of the training. Default 0.
        end_step: First step without any, from which on zeros stay zero, best 20 % before the end. Default -1: never.
        distribution: ``"half_normal"`` (default), ``"uniform"``, ``"exponential"``, ``"gamma"``, or ``"normal"``, which
            has no drift and is there to compare with.
        mode: ``"persistent"`` (default): the weight itself changes; ``"transient"``: only the place where the gradient
            is taken.
        seed: Of the random numbers, a whole number. None (default) draws one, of its own for each weight, which
            ``keras.utils.set_random_seed`` makes reproducible.

    Raises:
        ValueError: An argument is out of range, or (when built) the tensor is a feature map.
    """

    def __init__(
        self,
        rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        begin_step: int = 0,
        end_step: int = -1,
        distribution: str = "half_normal",
        mode: str = "persistent",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(rate) and not rate >= 0:
            raise ValueError(f"`rate` must be at least 0, or a schedule. Received: rate={rate}")
        if begin_step < 0 or (end_step != -1 and end_step < begin_step):
            raise ValueError(
                "`begin_step` must be at least 0, and `end_step` at least `begin_step` or -1 for never. "
                f"Received: begin_step={begin_step}, end_step={end_step}"
            )
        if distribution not in DISTRIBUTIONS:
            raise ValueError(f"`distribution` must be one of {sorted(DISTRIBUTIONS)}. Received: {distribution!r}")
        if mode not in ("persistent", "transient"):
            raise ValueError(f"`mode` must be 'persistent' or 'transient'. Received: mode={mode!r}")
        self.rate, self.begin_step, self.end_step = rate, begin_step, end_step
        self.distribution, self.mode, self.seed = distribution, mode, seed
        self.generator = random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        """Creates the scale, the step counter and, if changes persist, what the weights have lost and who is zero."""
        shape = require_weight(self, input_shape)
        self.unit = self.add_measured("unit")
        self.step = self.add_state("step", dtype="int32")
        if self.mode == "persistent":
            self.offset = self.add_state("offset", shape=shape)
            self.alive = self.add_state("alive", "ones", shape, "bool")

    def call(self, x: Any, training: bool | None = None) -> Any:
        """The weight with all that it has lost; a training call takes the next amount off first."""
        persistent = self.mode == "persistent"
        if not training:
            return self._deployed(x) if persistent else x
        step = ops.convert_to_tensor(self.step)
        active = step >= self.begin_step
        if self.end_step != -1:
            active = ops.logical_and(active, step < self.end_step)
        self.measure_once(x)
        amount = self._amount(x.shape, step, active)
        self.step.assign(step + 1)
        return self._persist(x, amount, active) if persistent else gradients.straight_through(shrink(x, amount), x)

    def _persist(self, x: Any, amount: Any, active: Any) -> Any:
        offset, alive = ops.convert_to_tensor(self.offset), ops.convert_to_tensor(self.alive)
        theta = ops.stop_gradient(x)
        w = ops.where(active, ops.where(theta == 0, 0.0, shrink(theta + offset, amount)), self._deployed(theta))
        self.offset.assign(ops.where(active, w - theta, offset))
        self.alive.assign(ops.where(active, w != 0, alive))
        passed = ops.cast(ops.logical_or(active, alive), x.dtype)
        return gradients.straight_through(w, x, passed)

    def _deployed(self, x: Any) -> Any:
        """The weight of now. What is zero before this transform stays zero: an earlier one may have pruned it."""
        alive = ops.logical_and(ops.convert_to_tensor(self.alive), x != 0)
        return ops.where(alive, x + ops.convert_to_tensor(self.offset), 0.0)

    def _amount(self, shape: Any, step: Any, active: Any) -> Any:
        rate = self.rate(step) if callable(self.rate) else self.rate
        scale = ops.where(active, rate * ops.convert_to_tensor(self.unit), 0.0)
        return DISTRIBUTIONS[self.distribution](shape, self.generator) * scale

    def measure(self, x: Any) -> Any:
        """The standard deviation of the weights."""
        return ops.std(x)

    def calibrate(self, x: Any) -> None:
        """Measures the standard deviation of the weights, which have lost nothing yet."""
        super().calibrate(x)
        if self.mode == "persistent":
            self.offset.assign(ops.zeros(self.offset.shape))
            self.alive.assign(ops.ones(self.alive.shape, "bool"))

    def get_config(self) -> dict[str, Any]:
        """Configuration with the schedule, if there is one, serialised."""
        names = ("begin_step", "end_step", "distribution", "mode", "seed")
        rate = keras.saving.serialize_keras_object(self.rate) if callable(self.rate) else self.rate
        return {**super().get_config(), "rate": rate, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SignedPerturbation":
        """Rebuilds the schedule, then the transform."""
        rate = config["rate"]
        if isinstance(rate, dict):
            rate = keras.saving.deserialize_keras_object(rate)
        return cls(**{**config, "rate": rate})
