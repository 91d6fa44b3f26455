r"""Learned threshold pruning (LTP): each layer learns below which magnitude its weights become zero.

    training     y = w * gate,    gate = sigmoid((w**2 - tau) / T),    T = T0 * Var(|w|) of the pre-trained weights
                 loss += penalty * preference * sum(gate)              the number of weights kept, made smooth
    inference    y = w * (w**2 > tau)

``tau``, one number per layer and never below 0, starts at 0, where nothing is pruned. The price of the gates drives
it up, the loss that the lost weights cause holds it back.

Gradients: for ``w``, the gate is a constant (equation 14), in the product and in the price; ``tau`` gets the full one.

    dL/dw   =  g * gate
    dL/dtau = -sum((g * w  +  penalty * preference) * gate') / T,    gate' = gate * (1 - gate)

The true gradient would push weights away from the threshold. Since tau only hears the weights near it, it would soon
move no more, whatever the price: the stall of section 3.2, see ``callbacks.WarnStall``.

``tau = unit * ratio`` with ``unit = PACE * sqrt(mean(w**2))`` fixed at the start. Adam moves ``ratio`` and weights by
about the learning rate, whatever their gradients, so ``sqrt(tau)`` is about as fast as a weight of its size. Plain
gradient descent on ``ratio`` is that on ``tau`` with a learning rate ``unit**2`` times as large, which fits weights
of any scale.

Reference: Azarian et al., "Learned Threshold Pruning", 2020, https://arxiv.org/abs/2003.00075, and US11704571B2, where
a preference weighs the price of each layer. Differs from the source in that the price is a plain sum over the weights
times its coefficient, as in Keras' regularizers, and not divided by the size of the model; in the storage of tau just
described, which lets one optimizer train everything; and in T0, which is larger by default, for trainings that
are short.
"""

from typing import Any

import keras
from keras import ops

from tfcompress.constraints import AtLeast
from tfcompress.pruning.soft_pruning import SoftPruning

PACE = 4
"""Unit of the threshold, in root mean squares: what the square of a weight of 2 of them moves by, per its own move."""

NEAR = 4
"""Within so many T of the threshold, a weight's gate has a slope that is felt: outside, it is below 0.02."""


def learned_threshold(w: Any, tau: Any, temperature: Any) -> tuple[Any, Any]:
    """``w`` times its gates, and the sum of the gates, with the gradients of the module's equations.

    Args:
        w: float32, any shape.
        tau: float32 scalar, the threshold of ``w**2``.
        temperature: float32 scalar T; gets no gradient.
    """

    @ops.custom_gradient
    def forward(w: Any, tau: Any, temperature: Any) -> Any:
        gate = ops.sigmoid((w * w - tau) / temperature)

        def backward(*upstream: Any) -> Any:
            g, price = keras.tree.flatten(upstream)  # JAX hands over a tuple, TensorFlow two arguments
            slope = gate * (1 - gate) / temperature
            by_tau = -ops.sum((g * w + price) * slope)
            return g * gate, by_tau, ops.zeros_like(temperature)

        return (w * gate, ops.sum(gate)), backward

    return forward(w, tau, temperature)


@keras.saving.register_keras_serializable("tfcompress")
class LearnedThreshold(SoftPruning):
    """Prunes weights below a magnitude that is learned.

    Args:
        penalty: Price of one weight that is kept, in units of the loss; at least 0. A weight stays if the loss would
            rise by more without it, so the number of zeros follows from the price, the training and the network: try
            powers of ten.
        preference: Factor of the price, to prune some layers harder or softer than others; at least 0.
        temperature: T0, the width of the soft threshold relative to the variance of ``|w|``; above 0. It is a variable,
            so that ``callbacks.Anneal("temperature", ...)`` can lower it while training.
        freeze_step: Training step from which on the mask stays and only the weights that are left are trained, as they
            will be deployed. None (default) is never.

    Raises:
        ValueError: An argument is out of range, or (when built) the tensor is a feature map.
    """

    REMEDY = "Raise `temperature`, which widens the soft threshold, or train for longer with a smaller `penalty`."

    def __init__(
        self,
        penalty: float = 1e-5,
        preference: float = 1.0,
        temperature: float = 0.1,
        freeze_step: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(penalty, freeze_step, **kwargs)
        if not preference >= 0:
            raise ValueError(f"`preference` must be at least 0. Received: preference={preference}")
        if not temperature > 0:
            raise ValueError(f"`temperature` must be above 0. Received: temperature={temperature}")
        self.preference, self.initial_temperature = preference, temperature

    def build(self, input_shape: Any) -> None:
        """Creates ``spread``, which is measured, the temperature, and ``ratio``, which is trained."""
        super().build(input_shape)
        self.spread = self.add_measured("spread")
        self.ratio = self.add_weight(shape=(), initializer="zeros", constraint=AtLeast(0.0), name="ratio")
        self.temperature = self.add_state("temperature", keras.initializers.Constant(self.initial_temperature))

    @property
    def measured(self) -> tuple[keras.Variable, ...]:
        """The scale of the weights, and the variance of their magnitudes."""
        return self.unit, self.spread

    def measure(self, x: Any) -> tuple[Any, Any]:
        """Root mean square, and variance of the magnitudes; of a layer of zeros or of equal magnitudes, a bit more."""
        square = ops.mean(ops.square(x))
        square = ops.where(square > 0, square, 1.0)
        return PACE * ops.sqrt(square), ops.maximum(ops.var(ops.abs(x)), 1e-3 * square)

    @property
    def tau(self) -> Any:
        """The threshold of ``w**2``."""
        return ops.convert_to_tensor(self.unit) * ops.convert_to_tensor(self.ratio)

    @property
    def width(self) -> Any:
        """T, the width of the soft threshold."""
        return ops.convert_to_tensor(self.temperature) * ops.convert_to_tensor(self.spread)

    def soft(self, x: Any, step: Any) -> tuple[Any, Any]:
        """``x`` times its gates, and their price."""
        value, kept = learned_threshold(x, self.tau, self.width)
        return value, self.penalty * self.preference * kept

    def keeps(self, x: Any) -> Any:
        """``x**2 > tau``."""
        return ops.square(x) > self.tau

    def transition(self, x: Any) -> Any:
        """The share of ``x`` near the threshold, which is what moves it."""
        return ops.mean(ops.cast(ops.abs(ops.square(x) - self.tau) < NEAR * self.width, "float32"))

    def calibrate(self, x: Any) -> None:
        """Measures ``x``, the pre-trained weights, and starts with a threshold of 0."""
        super().calibrate(x)
        self.ratio.assign(0.0)

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        mine = {"preference": self.preference, "temperature": self.initial_temperature}
        return {**super().get_config(), **mine}
