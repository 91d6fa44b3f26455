r"""Channel gates: a small network looks at the input and switches off the channels that this input does not need.

    logits     = W2 relu(norm(W1 mean(block input))) + b2                  mean over all positions
    odds       = speed * logits                                            the logarithm of open to closed
    training   y = x * g,   g = 1[soft >= 1/2],   soft = sigmoid((odds + eps) / temperature),   eps ~ Logistic(0, 1)
               loss += shaping * regularizer(sigmoid(odds)) + l0 * mean(sigmoid(odds))
    inference  y = x * 1[logits > 0]

    dg/dodds = dsoft/dodds                  straight through the step

The last term is the expected fraction of channels that are on. Without the regularizer, batch-shaping, most gates
become constant; it makes them depend on the input first, and fades, while the price of open channels rises.

Reference: Bejnordi, Blankevoort and Welling, "Batch-Shaping for Learning Conditional Channel Gated Networks",
ICLR 2020, https://arxiv.org/abs/1907.06627; US patent application 20200372361 A1, Qualcomm, 2020,
https://patents.google.com/patent/US20200372361A1. Differs from the source in that each layer adds its price to the
loss, which makes the price of the network a sum over layers and not a mean; and in what the sources leave open: which
values are shaped, and how many gates are open at the start.
"""

import math
from typing import Any

import keras
from keras import layers, ops

from tfcompress import gradients, seeds
from tfcompress.channel_switch import ChannelSwitch
from tfcompress.composite import Composite
from tfcompress.structure.insert_gates import insert_gates

MOMENTUM = 0.9
"""Of the batch norm, as in the authors' framework: a decision that hangs on stale statistics is a wrong decision."""

SHAPED = ("probability", "sample")
"""What the regularizer gets: the probabilities without noise, or the noisy soft gates."""


def soft_gates(odds: Any, noise: Any, temperature: float) -> Any:
    """``sigmoid((odds + noise) / temperature)``; noise of the logistic distribution, any shape."""
    return ops.sigmoid((odds + noise) / temperature)


def hard_gates(soft: Any) -> Any:
    """``1[soft >= 1/2]``, with the gradient of ``soft``."""
    return gradients.straight_through(ops.cast(soft >= 0.5, "float32"), soft)


@keras.saving.register_keras_serializable("tfcompress")
class SampledSwitch(ChannelSwitch):
    """The last layer of a ``ChannelGate``, which describes the arguments: logits become gates, gates multiply.

    Variables:
        shaping, l0: The two coefficients, which ``callbacks.Anneal`` may set.
    """

    def __init__(
        self,
        shaping: float = 0.75,
        l0: float = 0.0,
        regularizer: Any = None,
        temperature: float = 2 / 3,
        shaped: str = "probability",
        speed: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min(shaping, l0) < 0 or min(temperature, speed) <= 0 or shaped not in SHAPED:
            raise ValueError(
                "`shaping` and `l0` must be at least 0, `temperature` and `speed` above 0, and `shaped` one of "
                f"{list(SHAPED)}. Received: shaping={shaping}, l0={l0}, temperature={temperature}, speed={speed}, "
                f"shaped={shaped!r}"
            )
        self.initial_shaping, self.initial_l0, self.temperature, self.shaped = shaping, l0, temperature, shaped
        self.regularizer = keras.regularizers.get(regularizer)
        self.speed, self.seed, self.noise = speed, seed, keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        """Creates the coefficients."""
        for name, start in (("shaping", self.initial_shaping), ("l0", self.initial_l0)):
            value = keras.initializers.Constant(start)
            setattr(self, name, self.add_weight(shape=(), initializer=value, trainable=False, name=name))

    def gates(self, logits: Any) -> Any:
        """Noisy gates, and their price."""
        uniform = keras.random.uniform(ops.shape(logits), 1e-6, 1 - 1e-6, dtype="float32", seed=self.noise)
        odds = self.speed * logits
        soft = soft_gates(odds, ops.log(uniform) - ops.log1p(-uniform), self.temperature)
        open_share = ops.sigmoid(odds)
        if self.regularizer is not None:
            self.add_loss(self.shaping * self.regularizer(open_share if self.shaped == "probability" else soft))
        self.add_loss(self.l0 * ops.mean(open_share))
        return hard_gates(soft)

    def save_own_variables(self, store: Any) -> None:
        """Writes the state of the random numbers too, which Keras leaves out."""
        super().save_own_variables(store)
        seeds.save(self, store)

    def load_own_variables(self, store: Any) -> None:
        """Restores the state from a file."""
        super().load_own_variables(seeds.restore(self, store))

    def get_config(self) -> dict[str, Any]:
        """Configuration; ``shaping`` and ``l0`` are those at the start."""
        regularizer = keras.regularizers.serialize(self.regularizer) if self.regularizer else None
        mine = {"shaping": self.initial_shaping, "l0": self.initial_l0, "regularizer": regularizer}
        names = ("temperature", "shaped", "speed", "seed")
        return {**super().get_config(), **mine, **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("tfcompress")
class ChannelGate(Composite):
    """Switches channels of a feature map on and off, input by input.

    Called on ``[features, block_input]``, with the channels last in both: what goes into the block decides which
    channels of the feature map are on, so that the others need not be computed. Called on one tensor, it gates that by
    itself. In a residual block gate what the first convolution makes, never the sum.

    The layers inside are called ``pool``, ``hidden``, ``norm``, ``relu``, ``logits`` and ``<name>_switch``;
    ``compress`` and ``edits.remove_channels`` put them into the model, as a nested model of the gate's name.

    Args:
        units: Width of the hidden layer. Default 16.
        shaping: Coefficient of the regularizer, at least 0. A variable of the switch, which
            ``callbacks.Anneal("shaping", ...)`` should let fall to 0. Default 0.75.
        l0: Price of open channels in units of the loss, at least 0: what a gate costs of which all are open. A variable
            likewise, to be raised when ``shaping`` has fallen. Default 0.
        regularizer: What ``shaping`` multiplies, e.g. ``regularizers.BatchShaping()``; None (default) for nothing.
        open_share: Probability of a gate to be open at the start. Default 0.85.
        temperature: Of the soft gates whose gradient is used. Default 2/3.
        shaped: What the regularizer gets: ``"probability"`` (default), the probabilities of the gates to be open, or
            ``"sample"``, the noisy soft gates.
        speed: How much faster the odds of gates move than weights do, above 0. Default 1: Adam at 1e-3 takes 1,700
            steps from an open share of 0.85 to even odds. For short trainings take more.
        normalize: Batch norm in the hidden layer. Default True.
        seed: Seed of the noise.

    Raises:
        ValueError: An argument is out of range, or (when built) the number of channels is unknown.
    """

    def __init__(
        self,
        units: int = 16,
        shaping: float = 0.75,
        l0: float = 0.0,
        regularizer: Any = None,
        open_share: float = 0.85,
        temperature: float = 2 / 3,
        shaped: str = "probability",
        speed: float = 1.0,
        normalize: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units < 1 or not 0 < open_share < 1:
            raise ValueError(
                "`units` must be at least 1, and `open_share` between 0 and 1. "
                f"Received: units={units}, open_share={open_share}"
            )
        self.units, self.open_share, self.normalize = units, open_share, normalize
        self.hidden = layers.Dense(units, use_bias=not normalize, name="hidden")
        self.norm = layers.BatchNormalization(momentum=MOMENTUM, name="norm") if normalize else None
        self.relu = layers.ReLU(name="relu")
        sampled = (shaping, l0, regularizer, temperature, shaped, speed, seed)
        self.switch = SampledSwitch(*sampled, name=f"{self.name}_switch")

    def build(self, input_shape: Any) -> None:
        """Creates the layers that depend on the shapes."""
        features, block = _pair(input_shape)
        if None in (features[-1], block[-1]):
            raise ValueError(f"ChannelGate '{self.name}' must know the number of channels. Received: {input_shape}")
        speed, odds = self.switch.speed, math.log(self.open_share) - math.log1p(-self.open_share)
        kernel = keras.initializers.VarianceScaling(speed**-2, "fan_avg", "uniform")
        bias = keras.initializers.Constant(odds / speed)
        self.logits = layers.Dense(features[-1], kernel_initializer=kernel, bias_initializer=bias, name="logits")
        self.pool = POOLS[len(block)](len(block) == len(features)) if len(block) > 2 else None
        shape = tuple(block) if self.pool is None else self.pool.compute_output_shape(block)
        for layer in filter(None, (self.hidden, self.norm, self.relu, self.logits)):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.switch.build([features, shape])
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The features, gated."""
        features, y = inputs if isinstance(inputs, (list, tuple)) else (inputs, inputs)
        y = y if self.pool is None else self.pool(y)
        y = self.hidden(y)
        y = y if self.norm is None else self.norm(y, training=training)
        return self.switch([features, self.logits(self.relu(y))], training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the features."""
        return tuple(_pair(input_shape)[0])

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        of_switch = self.switch.get_config()
        names = ("shaping", "l0", "regularizer", "temperature", "shaped", "speed", "seed")
        mine = {"units": self.units, "open_share": self.open_share, "normalize": self.normalize}
        return {**super().get_config(), **mine, **{name: of_switch[name] for name in names}}


POOLS = {
    3: lambda keepdims: layers.GlobalAveragePooling1D(keepdims=keepdims, name="pool"),
    4: lambda keepdims: layers.GlobalAveragePooling2D(keepdims=keepdims, name="pool"),
}
"""Number of axes of the block's input -> the mean over positions."""


def _pair(shapes: Any) -> tuple[Any, Any]:
    """Shapes of the features and of the block's input."""
    single = isinstance(shapes[0], (int, type(None)))
    return (shapes, shapes) if single else (shapes[0], shapes[1])


def insert_channel_gates(model: keras.Model, layers: str = ".*", **arguments: Any) -> keras.Model:
    """Returns a copy of ``model`` with channel gates; the original is not changed.

    A gate comes behind each group (a convolution or Dense layer, its batch norm and ReLU) whose channels nothing but
    other layers' sums need, and looks at what goes into the group: what a closed gate stops need not be computed.
    Where a sum ties the channels of several groups, as at the end of a residual block, there is no gate.

    Args:
        model: A built Sequential or Functional model, nested ones included. A Sequential one becomes Functional.
        layers: Regular expression on the names or paths of convolutions and Dense layers, as a whole. Default: all.
        **arguments: Of ``ChannelGate``, e.g. ``units=8``. From ``seed`` each gate gets its own, counted up.

    Returns:
        A new model, to be compiled, with layers called ``<last layer of the group>_gate``.

    Raises:
        ValueError: ``layers`` matches no convolution or Dense layer whose channels can be gated.
    """
    return insert_gates(model, layers, ChannelGate, arguments, "gate", looking=True)
