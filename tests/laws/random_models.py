"""Random functional networks for the laws of the exporter: every supported layer, joined in every way that fits."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

import tfcompress as tfc

Tensor = Any
Block = Callable[["Sampler", Tensor], Tensor]


class Sampler:
    """A random number generator with the choices that blocks make; ``dense`` networks end in Dense layers."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, *options: Any) -> Any:
        return options[self.rng.integers(len(options))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)


def conv(s: Sampler, x: Tensor) -> Tensor:
    """A convolution with stride or dilation, perhaps grouped; then perhaps a batch norm and an activation."""
    strides, dilation = s.pick((1, 1), (1, 1), (2, 1), (1, 2))
    groups = s.pick(1, 1, 2) if x.shape[-1] % 2 == 0 else 1
    layer = layers.Conv2D(
        s.pick(4, 6, 8), s.pick(1, 3, (3, 2)), strides, s.pick("same", "valid"), dilation_rate=dilation, groups=groups,
        use_bias=s.chance(0.5), bias_initializer="random_normal",
    )  # fmt: skip
    return tail(s, layer(x)) if fits(layer, x) else x


def depthwise(s: Sampler, x: Tensor) -> Tensor:
    layer = layers.DepthwiseConv2D(
        3, s.pick(1, 2), s.pick("same", "valid"), depth_multiplier=s.pick(1, 2), use_bias=s.chance(0.5)
    )
    return tail(s, layer(x)) if fits(layer, x) and x.shape[-1] <= 8 else x


def separable(s: Sampler, x: Tensor) -> Tensor:
    layer = layers.SeparableConv2D(6, 3, padding="same", activation=s.pick(None, "relu", "relu6"))
    return layer(x)


def built_in(s: Sampler, x: Tensor) -> Tensor:
    """A convolution with an activation of its own, so that a batch norm behind it does not fold."""
    x = layers.Conv2D(6, 3, padding="same", activation=s.pick("relu", "relu6"))(x)
    return layers.BatchNormalization(scale=s.chance(0.5), center=s.chance(0.8))(x)


def residual(s: Sampler, x: Tensor) -> Tensor:
    y = layers.Conv2D(x.shape[-1], 3, padding="same", use_bias=False)(x)
    y = layers.Add()([x, layers.BatchNormalization()(y)])
    return layers.ReLU()(y) if s.chance(0.5) else y


def three_sums(s: Sampler, x: Tensor) -> Tensor:
    return layers.Add()([x, *(layers.Conv2D(x.shape[-1], 1)(x) for _ in range(2))])


def branches(s: Sampler, x: Tensor) -> Tensor:
    left = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    right = layers.MaxPooling2D(3, 1, "same")(x) if s.chance(0.5) else layers.Conv2D(3, 1)(x)
    return layers.Concatenate()([left, right])


def shared(s: Sampler, x: Tensor) -> Tensor:
    layer = layers.Conv2D(x.shape[-1], 3, padding="same")
    return layer(layers.ReLU()(layer(x)))


def nested(s: Sampler, x: Tensor) -> Tensor:
    block = keras.Sequential(
        [keras.Input(x.shape[1:]), layers.Conv2D(6, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(6)]
    )
    return block(x)


def pool(s: Sampler, x: Tensor) -> Tensor:
    layer = s.pick(layers.MaxPooling2D, layers.AveragePooling2D)(s.pick(2, 3), s.pick(1, 2), s.pick("same", "valid"))
    return layer(x) if min(x.shape[1:3]) >= 3 else x


def pad(s: Sampler, x: Tensor) -> Tensor:
    x = layers.ZeroPadding2D(s.pick(1, ((0, 1), (0, 1)), ((2, 0), (1, 0))))(x)
    return layers.DepthwiseConv2D(3, s.pick(1, 2))(x) if min(x.shape[1:3]) >= 3 else x


def quiet(s: Sampler, x: Tensor) -> Tensor:
    return s.pick(layers.Dropout(0.2), layers.SpatialDropout2D(0.1), layers.Activation("linear"))(x)


def loose_norm(s: Sampler, x: Tensor) -> Tensor:
    return layers.BatchNormalization()(layers.ReLU()(layers.BatchNormalization()(x)))


def gated(s: Sampler, x: Tensor) -> Tensor:
    """Squeeze and excitation, as the EfficientNets have it."""
    x = layers.Conv2D(6, 3, padding="same", activation=s.pick("silu", "hard_silu", "gelu"))(x)
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Conv2D(6, 1, activation=s.pick("sigmoid", "hard_sigmoid"))(layers.Conv2D(3, 1, activation="silu")(y))
    return layers.Multiply()([x, y])


def bent(s: Sampler, x: Tensor) -> Tensor:
    """A convolution with an activation that does not fuse."""
    bend = s.pick(layers.LeakyReLU(0.1), layers.PReLU(alpha_initializer="uniform"), layers.ELU(), layers.ReLU(4.0))
    return bend(layers.BatchNormalization()(layers.Conv2D(5, 3, padding="same")(x)))


def merged(s: Sampler, x: Tensor) -> Tensor:
    sides = [layers.Conv2D(4, 1)(x) for _ in range(2)]
    return s.pick(layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum, layers.Average)()(sides)


def up_and_down(s: Sampler, x: Tensor) -> Tensor:
    up = s.pick(layers.UpSampling2D(2), layers.UpSampling2D(2, interpolation="bilinear"), None)
    x = up(x) if up else layers.Conv2DTranspose(4, 3, 2, s.pick("same", "valid"))(x)
    return layers.Cropping2D(s.pick(1, ((0, 1), (2, 0))))(layers.MaxPooling2D(2, padding="same")(tail(s, x)))


def normed(s: Sampler, x: Tensor) -> Tensor:
    x = layers.LayerNormalization()(layers.Conv2D(8, 3, padding="same")(x))
    return layers.Dense(4, activation="gelu")(x)


def operations(s: Sampler, x: Tensor) -> Tensor:
    y = keras.ops.relu(layers.Conv2D(4, 1)(x) * 0.5 + 0.1)
    return keras.ops.concatenate([y[..., 1:], -y], axis=-1)


def line(s: Sampler, x: Tensor) -> Tensor:
    """Convolutions over the pixels in a row."""
    y = layers.Reshape((-1, x.shape[-1]))(x)
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(4, 3, padding=s.pick("same", "causal"))(y)))
    return layers.Reshape((*x.shape[1:3], 4))(layers.SeparableConv1D(4, 3, padding="same")(y))


BLOCKS: tuple[Block, ...] = (
    conv, depthwise, separable, built_in, residual, three_sums, branches, shared, nested, pool, pad, quiet, loose_norm,
    gated, bent, merged, up_and_down, normed, operations, line,
)  # fmt: skip


def head(s: Sampler, x: Tensor) -> Tensor:
    """From an image to ten numbers."""
    gather = s.pick(layers.GlobalAveragePooling2D(), layers.GlobalMaxPooling2D(), layers.Flatten())
    x = gather(layers.MaxPooling2D(2, padding="same")(x))
    if s.chance(0.5):
        x = layers.Dense(12, activation=s.pick(None, "relu"))(x)
        x = layers.BatchNormalization()(x)
    if s.chance(0.3):
        x = layers.Dense(3)(layers.Reshape((-1, 2))(x)) if x.shape[-1] % 2 == 0 else x
        x = layers.Flatten()(x)
    x = layers.Dense(10)(x)
    return layers.Softmax()(x) if s.chance(0.5) else x


def tail(s: Sampler, x: Tensor) -> Tensor:
    """What may follow a linear layer."""
    if s.chance(0.6):
        x = layers.BatchNormalization()(x)
    activation = s.pick(None, layers.ReLU(), layers.ReLU(6), layers.Activation("relu6"))
    return activation(x) if activation else x


def fits(layer: Any, x: Tensor) -> bool:
    window = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    return layer.padding == "same" or all(n >= w for n, w in zip(x.shape[1:3], window, strict=True))


def random_model(seed: int) -> keras.Model:
    """A network of five or six blocks and a head, with random batch norm statistics; every block turns up."""
    keras.utils.set_random_seed(seed)
    s = Sampler(seed)
    inputs = x = keras.Input((int(s.rng.integers(7, 12)), int(s.rng.integers(7, 12)), int(s.pick(1, 3, 4))))
    if s.chance(0.4):
        x = layers.Rescaling(1 / s.pick(2, 3), s.pick(0.0, 0.5))(x)
    order = [BLOCKS[seed % len(BLOCKS)], *s.rng.choice(len(BLOCKS), s.rng.integers(4, 6))]
    for block in order:
        x = (block if callable(block) else BLOCKS[block])(s, x)
    model = keras.Model(inputs, head(s, x))
    randomize_norms(model, s.rng)
    return model


def randomize_norms(model: keras.Model, rng: np.random.Generator) -> None:
    """Batch norms as training leaves them: gammas of both signs, a few of them zero or tiny."""
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            size = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.3, size))
            layer.moving_variance.assign(rng.uniform(0.2, 2, size))
            if layer.scale:
                odd = rng.choice([1, -1, 0, 1e-9], size, p=[0.8, 0.1, 0.05, 0.05])
                layer.gamma.assign(rng.normal(1, 0.5, size) * odd)
            if layer.center:
                layer.beta.assign(rng.normal(0, 0.5, size))


def samples(model: keras.Model, count: int, seed: int) -> np.ndarray:
    """Inputs for a model with one input."""
    return np.random.default_rng(seed).normal(0, 1, (count, *model.input_shape[1:])).astype(np.float32)


def trained(model: keras.Model, seed: int) -> keras.Model:
    """The model with transforms on every kernel and every feature map, after a little training."""
    rng = np.random.default_rng(seed)
    weights = [
        tfc.LSQ(bits=4),
        tfc.LSQ(bits=2),
        tfc.LSQ(bits=8, power_of_two=True),
        tfc.Chain([tfc.MagnitudePruning(0.5), tfc.LSQ(bits=4)]),
    ]
    outputs = [tfc.LSQ(bits=8), tfc.MinMax(bits=8), tfc.LSQ(bits=4), tfc.LSQ(bits=8, power_of_two=True)]
    kernel, output = weights[rng.integers(len(weights))], outputs[rng.integers(len(outputs))]
    small = tfc.compress(model, {".*": {"kernel": kernel, "output": output}})
    x = samples(model, 16, seed)
    tfc.calibrate(small, x)
    small.compile(keras.optimizers.Adam(1e-3), "mse", run_eagerly=True)
    small.train_on_batch(x, np.zeros((16, *small.output_shape[1:])))
    return small
