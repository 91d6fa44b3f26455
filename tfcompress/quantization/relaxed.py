r"""Relaxed quantisation: values are noisy in training, and are drawn from the grid by a distribution with a gradient.

A value x may have been any x + noise, the noise logistic with scale sigma. The grid point g_k then has the probability
of the noisy value to be nearest to it,

    pi_k  ~  S((g_k + s/2 - x) / sigma) - S((g_k - s/2 - x) / sigma),    S the logistic function, sum_k pi_k = 1

and training computes with a sample of the concrete distribution (Gumbel softmax) of these probabilities:

    z  =  softmax_k((log pi_k - log(-log u_k)) / temperature),    u_k uniform from 0 to 1
    y  =  sum_k z_k * g_k                                          training; ``hard``: the g_k of largest z_k
    y  =  clip(round(x / s), low, high) * s                        inference: the most probable grid point

x, the step s and the ratio r = sigma / s are learned, by the true gradients of y at fixed u; those of ``hard`` are the
same (straight through). In units of the step, with e_k = (g_k - s/2 - x) / sigma where the cell of g_k begins, and
cells of width 1 / r in e,

    pi_k  ~  S(e_k+1) * S(-e_k)                                    the same difference, up to a factor without k
    dy/dx =  sum_k z_k * (g_k - y) * (S(e_k) - S(-e_k+1)) / (temperature * sigma)
    dy/dr =  sum_k z_k * (g_k - y) * (S(e_k) * e_k - S(-e_k+1) * e_k+1) / (temperature * r)
    dy/ds =  (y - x * dy/dx) / s                                   at fixed r, since y doubles with x and s

Of two nearly equal values of S, as for small sigma, the product keeps all digits. Values of x beyond the outermost
cells are drawn to where these end, and get no gradient.

The noise is never gone by itself, and what batch norms measure has it, too. From ``hard_step`` on training rounds as at
inference, with a straight-through gradient, and everything behind it settles; best for the last fifth of the steps.

Only a window of ``window`` grid points around x is looked at, moved to lie inside the grid; a grid that is no larger is
looked at whole. With five points, and sigma a third of a step as at first, at most three thousandths of the probability
are beyond it.

Steps and ratios are stored as logarithms, steps relative to that of calibration, so that an optimizer like Adam moves
both by a fraction of their size. sigma is kept between a twentieth of a step, where noise all but ends, and a step.

Reference: Louizos et al., "Relaxed Quantization for Discretized Neural Networks", ICLR 2019,
https://arxiv.org/abs/1810.01875, and US11562208B2, Qualcomm. Differs from the source in the fixed size of the window,
which there follows sigma; in the hard end of training; in the range of weights, which is symmetric as TFLite int8
kernels require; in steps and noise of each output channel; in the initial step, which is the best of twenty by squared
error (``steps.py``) and not the range of the values, of which two bits would make nothing but zeros; and in values
beyond the grid, see above.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfcompress import gradients
from tfcompress.constraints import Within
from tfcompress.quantization.stepped import Stepped
from tfcompress.quantization.steps import initial_step

QUIETEST, NOISE, LOUDEST = 1 / 20, 1 / 3, 1.0
"""Least, initial and largest ratio of sigma to the step."""

IMPOSSIBLE = 1e-30
"""Added to probabilities, and the least of the random numbers, so that each has a logarithm."""


def cells(x: Any, ratio: Any, low: int, high: int, window: int) -> tuple[Any, list[Any]]:
    """The grid points in the window around ``x``, and where their cells begin and end.

    Args:
        x: float32, any shape, in steps.
        ratio: sigma in steps, broadcastable to ``x``.
        low: Smallest code.
        high: Largest code.
        window: Number of codes, at most all of them.

    Returns:
        The first code, shape of ``x``; the ``window + 1`` borders as seen from ``x``, in sigmas.
    """
    start = ops.clip(ops.round(x) - window // 2, low, high - window + 1)
    first, width = (start - 0.5 - ops.clip(x, low - 0.5, high + 0.5)) / ratio, 1 / ratio
    return start, [first + k * width for k in range(window + 1)]


def relaxed(
    x: Any, step: Any, ratio: Any, temperature: Any, uniform: Any, low: int, high: int, hard: bool = False
) -> Any:
    """One sample of the concrete distribution over the grid for each value, with its gradients.

    Args:
        x: float32, any shape.
        step: float32, rank of ``x``, each axis 1 or that of ``x``.
        ratio: float32, shape of ``step``: sigma / step.
        temperature: float32 scalar, above 0, without gradient.
        uniform: Random numbers above 0 and below 1, shape (window, shape of ``x``).
        low: Smallest code.
        high: Largest code.
        hard: Delivers the grid point of largest share, with the gradients of the soft sample.
    """
    size = uniform.shape[0]

    @ops.custom_gradient
    def forward(x: Any, step: Any, ratio: Any) -> Any:
        scaled = x / step
        start, borders = cells(scaled, ratio, low, high, size)
        below, above = [ops.sigmoid(e) for e in borders], [ops.sigmoid(-e) for e in borders]
        chances = [b * a + IMPOSSIBLE for b, a in zip(below[1:], above)]
        logits = [ops.log(chances[k] / -ops.log(uniform[k])) / temperature for k in range(size)]
        largest, first = logits[0], ops.zeros_like(x)
        for k in range(1, size):
            first = ops.where(logits[k] > largest, float(k), first) if hard else first
            largest = ops.maximum(largest, logits[k])
        weights = [ops.exp(logit - largest) for logit in logits]
        total = sum(weights)
        mean = sum(k * weights[k] for k in range(1, size)) / total
        pulls = [weights[k] * (k - mean) for k in range(size)]
        steepness = 1 / (total * (temperature * ratio))
        by_x = steepness * sum(pulls[k] * (below[k] - above[k + 1]) for k in range(size))
        by_x = by_x * ops.cast(ops.logical_and(scaled > low - 0.5, scaled < high + 0.5), "float32")
        by_ratio = steepness * sum(
            pulls[k] * (below[k] * borders[k] - above[k + 1] * borders[k + 1]) for k in range(size)
        )
        code = start + (first if hard else mean)
        by_step = start + mean - scaled * by_x

        def backward(upstream: Any) -> Any:
            by_steps = gradients.sum_to(upstream * by_step, step)
            return upstream * by_x, by_steps, gradients.sum_to(upstream * by_ratio, step) * step

        return code * step, backward

    return forward(x, step, ratio)


@keras.saving.register_keras_serializable("tfcompress")
class RelaxedQuantizer(Stepped):
    """Quantises to ``bits`` bits, with noise and a soft grid in training.

    Args:
        bits: Width of the stored integer, 2 to 8. Default 4.
        temperature: Of the concrete distribution, above 0; the lower, the nearer are samples to the grid. It is a
            variable, so that ``callbacks.Anneal("temperature", ...)`` can lower it while training.
        hard: Whether training computes with grid points, too, and only the gradient is that of the soft sample.
            Default False; True leaves the layers behind a feature map no difference between training and inference but
            the noise.
        hard_step: Training step from which on training rounds, with a straight-through gradient. None (default) is
            never.
        window: Number of neighbouring grid points that may be drawn, odd, at least 3. Time and memory of training grow
            with it. Default 5.
        axis: Axis, or axes, with their own steps and noise; ``()`` is one for the whole tensor. None (default) is
            decided by the slot: the output channels of a weight, ``()`` for a feature map.
        signed: Whether there are negative codes. None (default) is decided by the slot: False for a feature map behind
            a ReLU, softmax or sigmoid, else True.
        narrow_range: Drops the lowest signed code. None (default) is decided by the slot: True for weights, as TFLite
            demands.
        learned: Whether training moves step and noise. None (default) is decided by the slot: False for the input of a
            model, else True.
        seed: Of the random numbers, a whole number; None (default) draws one.

    Raises:
        ValueError: An argument is out of range, or an axis with its own steps is missing or has no fixed size.
    """

    def __init__(
        self,
        bits: int = 4,
        temperature: float = 1.0,
        hard: bool = False,
        hard_step: int | None = None,
        window: int = 5,
        axis: int | Sequence[int] | None = None,
        signed: bool | None = None,
        narrow_range: bool | None = None,
        learned: bool | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis, signed, narrow_range, learned, **kwargs)
        if bits not in range(2, 9):
            raise ValueError(f"`bits` must be a whole number from 2 to 8. Received: bits={bits}")
        if not temperature > 0:
            raise ValueError(f"`temperature` must be above 0. Received: temperature={temperature}")
        if hard_step is not None and hard_step < 0:
            raise ValueError(f"`hard_step` must be at least 0, or None for never. Received: hard_step={hard_step}")
        if window < 3 or window % 2 != 1:
            raise ValueError(f"`window` must be an odd number of at least 3. Received: window={window}")
        self.bits, self.initial_temperature, self.hard, self.window = bits, temperature, hard, window
        self.hard_step = hard_step
        self.seed, self.generator = seed, keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        """Creates ``unit`` (NaN until calibrated), ``temperature``, ``count``, and what learns, two logarithms."""
        super().build(input_shape)
        shape, trained = self.slice_shape, self.is_learned
        self.temperature = self.add_state("temperature", keras.initializers.Constant(self.initial_temperature))
        self.count = self.add_state("count", dtype="int32")
        self.log_step = self.add_weight(shape=shape, initializer="zeros", trainable=trained, name="log_step")
        self.log_ratio = self.add_weight(
            shape=shape,
            initializer=keras.initializers.Constant(math.log(NOISE)),
            trainable=trained,
            constraint=Within(math.log(QUIETEST), math.log(LOUDEST)),
            name="log_ratio",
        )
        self.gradient_scale = 1 / math.sqrt(self.elements * self.codes.high)

    @property
    def step(self) -> Any:
        """The distance between levels, one per slice."""
        return ops.convert_to_tensor(self.unit) * ops.exp(self._slowed(self.log_step))

    @property
    def ratio(self) -> Any:
        """sigma / step, one per slice."""
        return ops.exp(self._slowed(self.log_ratio))

    def _slowed(self, logarithm: Any) -> Any:
        """Makes gradient descent on a logarithm as fast as LSQ makes it on the step."""
        logarithm = ops.convert_to_tensor(logarithm)
        return gradients.scale(logarithm, self.gradient_scale / ops.square(ops.convert_to_tensor(self.unit)))

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Draws from the grid in training, rounds at inference; the first training call of all may set the step."""
        if not training:
            return self._rounded(x)
        self.measure_once(x)
        low, high = self.codes.low, self.codes.high
        size = min(self.window, high - low + 1)
        shape = (size, *ops.shape(x))
        uniform = keras.random.uniform(shape, minval=IMPOSSIBLE, dtype="float32", seed=self.generator)
        temperature = ops.convert_to_tensor(self.temperature)
        now = ops.cast(self.count, "int32")  # a tensor, where the variable itself would change with the next line
        self.count.assign(now + 1)

        def drawn() -> Any:
            return relaxed(x, self.step, self.ratio, temperature, uniform, low, high, self.hard)

        return drawn() if self.hard_step is None else ops.cond(now < self.hard_step, drawn, lambda: self._rounded(x))

    def _rounded(self, x: Any) -> Any:
        return gradients.multiples(x, self.step, float(self.codes.low), float(self.codes.high))

    def measure(self, x: Any) -> Any:
        """The steps of least squared error on ``x``."""
        return initial_step(x, self.axis, self.codes.low, self.codes.high)

    def calibrate(self, x: Any) -> None:
        """Sets the steps to those that fit ``x``, and the noise to a third of them."""
        super().calibrate(x)
        self.log_step.assign(ops.zeros(self.log_step.shape))
        self.log_ratio.assign(ops.full(self.log_ratio.shape, math.log(NOISE)))

    def get_config(self) -> dict[str, Any]:
        """Configuration; None stays None, for the slot to decide."""
        names = ("bits", "hard", "hard_step", "window", "seed")
        mine = {"temperature": self.initial_temperature, **{name: getattr(self, name) for name in names}}
        return {**super().get_config(), **mine}
