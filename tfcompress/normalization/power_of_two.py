r"""Multiplier-less batch normalisation: at inference each channel is shifted and has a number added to it.

Per channel, with the mean m_B and the variance v_B of a batch, their moving averages m and v, learned gamma and beta:

    r      =  gamma / sqrt(v + epsilon)
    s      =  sign(gamma) * 2 ** round(log2(|r|))                          the first factor, a power of two
    gamma' =  s * sqrt(v + epsilon)                                        approximates gamma, within a factor sqrt(2)
    y      =  gamma' * (x - m_B) / sqrt(v_B + epsilon) + beta              training; m and v move first
    y      =  s * x + (beta - s * m)                                       inference

In training the second factor, ``gamma' / sqrt(v_B + epsilon)``, is not a power of two: it normalises the batch at hand,
as that of any batch norm, and tends to s as v settles. gamma gets the gradient of gamma' (straight through); that of
x goes through m_B and v_B and is the true one; v and m get none.

The exponent and the sign of s are stored as whole numbers. Computed anew in float32, ``gamma' / sqrt(v + epsilon)``
would often miss the power of two. The exponent stays from ``LOWEST`` to ``HIGHEST``; the sign of a gamma of 0 is +.
Where r is near the border between two octaves, s may go to and fro between them, factor 2: ``freeze_step`` ends that,
and beta and the layers behind settle on what will be deployed.

The moving averages are plain averages of the first ``1 / (1 - momentum)`` batches, and follow with ``momentum`` from
then on, so that the first s already is that of the data.

Reference: Cardinaux et al., "Iteratively Training Look-Up Tables for Network Quantization", IEEE Journal of Selected
Topics in Signal Processing 14(4), 2020, https://arxiv.org/abs/1911.04951; US12045715B2, Sony. Differs from the source
in the plain averages at the start, in the limits of the exponent, and in ``freeze_step``.
"""

from typing import Any

import keras
import numpy as np
from keras import constraints, initializers, ops, regularizers

from tfcompress import gradients
from tfcompress.channel_affine import ChannelAffine
from tfcompress.structure import slots
from tfcompress.weight_tying.clustering import exponent, power_of_two

LOWEST, HIGHEST = -20, 20
"""Limits of the exponent."""

MANY = 2**30
"""Batches are not counted beyond."""


def first_factor(gamma: Any, variance: Any, epsilon: float) -> tuple[Any, Any]:
    """Exponent and sign (int32, shape of ``gamma``) of the power of two nearest to r in the logarithm.

    Args:
        gamma: float32, one per channel.
        variance: float32, the moving variance, of the same shape.
        epsilon: Added to the variance.
    """
    nearest = exponent(gamma / ops.sqrt(variance + epsilon))
    return ops.clip(nearest, LOWEST, HIGHEST), ops.where(gamma < 0, -1, 1)


def signed_power(exponents: Any, signs: Any) -> Any:
    """``signs * 2 ** exponents`` (float32, exact) of int32 tensors of equal shape."""
    return ops.cast(signs, "float32") * power_of_two(exponents)


@keras.saving.register_keras_serializable("tfcompress")
class PowerOfTwoBatchNormalization(ChannelAffine):
    """Batch normalisation that multiplies by powers of two at inference.

    Takes the place of ``keras.layers.BatchNormalization``, whose arguments it has;
    ``tfcompress.edits.multiplierless`` puts it there in a whole model. State and statistics are float32 whatever the
    global dtype policy.

    Args:
        axis: Axis of the channels. Default -1.
        momentum: Of the moving averages, 0 to 1. Default 0.99; a run of a few hundred steps wants 0.9.
        epsilon: Added to variances. Default 1e-3.
        center: Whether there is a beta. Default True.
        scale: Whether there is a gamma; without, it is 1. Default True.
        beta_initializer: Of beta.
        gamma_initializer: Of gamma.
        beta_regularizer: Of beta.
        gamma_regularizer: Of gamma.
        beta_constraint: Of beta.
        gamma_constraint: Of gamma.
        freeze_step: Training step of this layer from which on exponents and signs stay. None (default) is never.

    Raises:
        ValueError: ``momentum`` or ``freeze_step`` is out of range, or (when built) the number of channels varies.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        freeze_step: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= momentum <= 1:
            raise ValueError(f"`momentum` must be from 0 to 1. Received: momentum={momentum}")
        if freeze_step is not None and freeze_step < 0:
            raise ValueError(f"`freeze_step` must be at least 0, or None. Received: freeze_step={freeze_step}")
        self.axis, self.momentum, self.epsilon, self.center, self.scale = axis, momentum, epsilon, center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer, self.gamma_regularizer = map(regularizers.get, (beta_regularizer, gamma_regularizer))
        self.beta_constraint, self.gamma_constraint = map(constraints.get, (beta_constraint, gamma_constraint))
        self.freeze_step = freeze_step
        self.gamma: Any = None
        self.beta: Any = None
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates gamma and beta, the moving averages and how many batches they hold, exponent and sign."""
        channels = input_shape[self.axis]
        if channels is None:
            raise ValueError(
                f"PowerOfTwoBatchNormalization '{self.name}' must know the number of its channels, axis {self.axis}. "
                f"Received: shape {tuple(input_shape)}."
            )
        for name, wanted in (("gamma", self.scale), ("beta", self.center)):
            if wanted:
                made = self.add_weight(
                    shape=(channels,),
                    name=name,
                    initializer=getattr(self, f"{name}_initializer"),
                    regularizer=getattr(self, f"{name}_regularizer"),
                    constraint=getattr(self, f"{name}_constraint"),
                    dtype="float32",
                    autocast=False,
                )
                setattr(self, name, made)

        def state(name: str, shape: tuple[int, ...], start: str, dtype: str, aggregation: str) -> keras.Variable:
            options = {"trainable": False, "autocast": False, "aggregation": aggregation}
            return self.add_weight(shape=shape, name=name, initializer=start, dtype=dtype, **options)

        one = "only_first_replica"
        self.moving_mean = state("moving_mean", (channels,), "zeros", "float32", "mean")
        self.moving_variance = state("moving_variance", (channels,), "ones", "float32", "mean")
        self.batches = state("batches", (), "zeros", "int32", one)
        self.exponent = state("exponent", (channels,), "zeros", "int32", one)
        self.sign = state("sign", (channels,), "ones", "int32", one)
        if self.freeze_step is not None:
            self.step = state("step", (), "zeros", "int32", one)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalises the batch in training; shifts and adds at inference, or where the layer is not trainable.

        Args:
            inputs: Any shape.
            training: Whether statistics are those of the batch.
            mask: Of the shape of ``inputs`` without the channels; what is masked does not count in the statistics.
        """
        x = ops.cast(inputs, "float32")
        y = self._normalized(x, mask) if training and self.trainable else self._shifted(x)
        return ops.cast(y, self.compute_dtype)

    def _shifted(self, x: Any) -> Any:
        factor = signed_power(ops.convert_to_tensor(self.exponent), ops.convert_to_tensor(self.sign))
        return x * self._along(factor, x) + self._along(self._beta - factor * self.moving_mean, x)

    def _normalized(self, x: Any, mask: Any) -> Any:
        mean, variance = self._moments(x, mask)
        self._follow(ops.stop_gradient(mean), ops.stop_gradient(variance))
        moving = ops.sqrt(ops.convert_to_tensor(self.moving_variance) + self.epsilon)
        factor = signed_power(ops.convert_to_tensor(self.exponent), ops.convert_to_tensor(self.sign))
        gamma = gradients.straight_through(factor * moving, self._gamma)
        second = gamma / ops.sqrt(variance + self.epsilon)
        return x * self._along(second, x) + self._along(self._beta - second * mean, x)

    def _follow(self, mean: Any, variance: Any) -> None:
        """Moves the moving averages, then the first factor, unless it is frozen."""
        batches = ops.convert_to_tensor(self.batches)
        rate = ops.maximum(1.0 - self.momentum, 1.0 / (1.0 + ops.cast(batches, "float32")))
        self.moving_mean.assign(self.moving_mean + rate * (mean - self.moving_mean))
        self.moving_variance.assign(self.moving_variance + rate * (variance - self.moving_variance))
        self.batches.assign(ops.minimum(batches + 1, MANY))
        now = first_factor(ops.stop_gradient(self._gamma), ops.convert_to_tensor(self.moving_variance), self.epsilon)
        if self.freeze_step is not None:
            step = ops.convert_to_tensor(self.step)
            before = ops.convert_to_tensor(self.exponent), ops.convert_to_tensor(self.sign)
            now = tuple(ops.where(step < self.freeze_step, new, old) for new, old in zip(now, before, strict=True))
            self.step.assign(step + 1)
        self.exponent.assign(now[0])
        self.sign.assign(now[1])

    def _moments(self, x: Any, mask: Any) -> tuple[Any, Any]:
        """Mean and variance of each channel, over what ``mask`` leaves."""
        others = [axis for axis in range(len(x.shape)) if axis != self.axis % len(x.shape)]
        if mask is None:
            return ops.moments(x, others)
        counts = ops.broadcast_to(ops.cast(ops.expand_dims(mask, self.axis), "float32"), ops.shape(x))
        number = ops.maximum(ops.sum(counts, others), 1.0)
        mean = ops.sum(x * counts, others) / number
        return mean, ops.sum(ops.square(x - self._along(mean, x)) * counts, others) / number

    def _along(self, numbers: Any, x: Any) -> Any:
        """One number per channel in the shape that broadcasts to ``x``."""
        shape = [1] * len(x.shape)
        shape[self.axis] = -1
        return ops.reshape(numbers, shape)

    @property
    def _gamma(self) -> Any:
        return ops.convert_to_tensor(self.gamma) if self.scale else ops.ones(self.moving_mean.shape)

    @property
    def _beta(self) -> Any:
        return ops.convert_to_tensor(self.beta) if self.center else ops.zeros(self.moving_mean.shape)

    @property
    def factor(self) -> np.ndarray:
        """The power of two with its sign that each channel is multiplied by at inference; float32."""
        return np.ldexp(slots.numpy(self.sign).astype(np.float32), slots.numpy(self.exponent))

    @property
    def offset(self) -> np.ndarray:
        """What is added to each channel at inference; float32."""
        beta = slots.numpy(self.beta) if self.center else np.float32(0)
        return beta - self.factor * slots.numpy(self.moving_mean)

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        names = ("axis", "momentum", "epsilon", "center", "scale", "freeze_step")
        kinds = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}
        functions = {
            f"{weight}_{kind}": module.serialize(getattr(self, f"{weight}_{kind}"))
            for weight in ("beta", "gamma")
            for kind, module in kinds.items()
        }
        return {**super().get_config(), **{name: getattr(self, name) for name in names}, **functions}
