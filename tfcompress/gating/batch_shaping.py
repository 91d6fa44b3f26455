r"""Batch-shaping: a loss that gives the values of each gate, over a batch, a wished-for distribution.

A gate that is open for some inputs and closed for others must be both within a batch. Sort the values of one gate,
x_1 <= ... <= x_N; if they were drawn from the distribution F, then F(x_i) would be about i / (N + 1):

    loss  =  coefficient * mean over gates of  1/N sum_i (i / (N + 1) - F(x_i))**2

With F that of Beta(0.6, 0.4), most of whose mass lies near 0 and 1, gates become decided and depend on the input.

    dF/dx  =  density of F, clipped to [0.001, 100]

The clipping is what departs from the true gradient: the density is infinite at the ends, where a value would be thrown
about, and almost zero where there should be no value, which then would never come away.

Reference: Bejnordi, Blankevoort and Welling, "Batch-Shaping for Learning Conditional Channel Gated Networks",
ICLR 2020, https://arxiv.org/abs/1907.06627; US patent application 20200372361 A1, Qualcomm, 2020,
https://patents.google.com/patent/US20200372361A1. Differs from the source in nothing.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfcompress import gradients
from tfcompress.gating.priors import PRIORS, Function

SMALLEST_SLOPE, LARGEST_SLOPE = 1e-3, 100.0
"""Between which the gradient of F is clipped."""


def batch_shaping(x: Any, distribution: Function, density: Function) -> Any:
    """The loss of values ``x`` (batch, ...), one gate per place behind the batch; a scalar, 0 for a batch of one."""
    x = ops.sort(x, axis=0)
    slope = ops.clip(density(ops.stop_gradient(x)), SMALLEST_SLOPE, LARGEST_SLOPE)
    reached = gradients.straight_through(distribution(ops.stop_gradient(x)), x, ops.stop_gradient(slope))
    count = ops.shape(x)[0]
    ranks = ops.cast(ops.arange(1, count + 1), "float32") / ops.cast(count + 1, "float32")
    ranks = ops.reshape(ranks, (-1, *[1] * (len(x.shape) - 1)))
    return ops.where(count > 1, ops.mean(ops.square(ranks - reached)), 0.0)


@keras.saving.register_keras_serializable("tfcompress")
class BatchShaping(keras.regularizers.Regularizer):
    """Pulls the values of each gate, over the batch, towards a distribution.

    A regularizer on activations of shape (batch, ...), not on weights. ``layers.ChannelGate`` has one. Batches should
    hold 64 samples or more; under ``MirroredStrategy`` each replica has its own. For a batch of one the loss is 0.

    Args:
        prior: ``"beta"``, ``"relaxed_bernoulli"`` or ``"normal"``. Default ``"beta"``.
        parameters: Its two parameters: the two shapes; probability and temperature; mean and standard deviation.
            Default (0.6, 0.4): decided gates, 60 % of them open.
        coefficient: Factor of the loss. Default 1.

    Raises:
        ValueError: There is no such prior, or a parameter is out of range.

    Warns:
        UserWarning: The batch is known to hold one sample.
    """

    def __init__(self, prior: str = "beta", parameters: Sequence[float] = (0.6, 0.4), coefficient: float = 1.0) -> None:
        if prior not in PRIORS or len(parameters) != 2:
            raise ValueError(
                f"`prior` must be one of {list(PRIORS)}, and `parameters` two numbers. "
                f"Received: prior={prior!r}, parameters={parameters!r}"
            )
        self.prior, self.parameters, self.coefficient = prior, tuple(parameters), coefficient
        self.distribution, self.density = PRIORS[prior](*parameters)

    def __call__(self, x: Any) -> Any:
        """The loss of the values ``x`` (batch, ...)."""
        x = ops.cast(x, "float32")
        if x.shape[0] == 1:
            warnings.warn(
                "Batch-shaping compares the samples of a batch with each other, and this batch has one: its loss is 0. "
                "Train with batches of 64 samples or more.",
                stacklevel=2,
            )
        return self.coefficient * batch_shaping(x, self.distribution, self.density)

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        return {"prior": self.prior, "parameters": list(self.parameters), "coefficient": self.coefficient}
