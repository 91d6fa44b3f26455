r"""Puts a new layer into a trained network, and starts it from least squares instead of chance.

    W, b = argmin sum |phi(W' z1 + b) - y2|**2

``z1`` are the signals in front of the place, in the network as it is now; ``y2`` are those behind it, in the network as
it was. The layer then computes about what stood there before, so that training has little left to do. No labels are
read.

    insert     y2 = z1: at first the new layer does nothing
    replace    y2 behind the layers that it takes the place of
    narrow     a layer loses channels, those whose loss costs least; the layers that read it are solved anew
    widen      channels are split in two, a little noise tells the halves apart, and the readers are solved anew

``fit_layer.py`` says how it is solved, ``change_width.py`` how widths are changed.

Reference: "Artificial neural network", Sony, US20190258931A1, 2019,
https://patents.google.com/patent/US20190258931A1. Differs from the source in what it leaves open: which layers can be
introduced, how activations are inverted, the ridge; and in narrow and widen, where the least squares is that of the
layers behind, after T. Chen, I. Goodfellow and J. Shlens, "Net2Net", ICLR 2016, https://arxiv.org/abs/1511.05641
(splitting), and He, Zhang and Sun, "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017,
https://arxiv.org/abs/1707.06168 (solving the readers).
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import layers

from tfcompress.least_squares.activation_targets import ALONE, LINEAR, RULES, Rule, rule
from tfcompress.least_squares.change_width import narrowed, widened
from tfcompress.least_squares.fit_layer import Fitting, fit_layer
from tfcompress.least_squares.linear_rows import ROWS
from tfcompress.least_squares.region import Listener, Region, aims, behind, between
from tfcompress.least_squares.sampled_rows import Signals
from tfcompress.structure.groups import MOVERS
from tfcompress.structure.rebuild import SKIP, rebuild
from tfcompress.structure.trace import Trace, Value, trace

MODES = ("insert", "replace", "narrow", "widen")
STILL = 0.01
"""Error, relative to the variance, from which on an inserted layer is not an identity."""


class Parts(NamedTuple):
    """New layers by what they do: all, the one with weights, its batch norm, its activation."""

    all: list[Any]
    linear: Any
    norm: Any | None
    activation: Any


def introduce_layer(
    model: keras.Model,
    new: keras.layers.Layer | Sequence[keras.layers.Layer] | int,
    x: Any,
    *,
    at: str | tuple[str, str],
    mode: str = "replace",
    base: keras.Model | None = None,
    batch_size: int = 128,
    samples: int = 4096,
    ridge: float = 1e-6,
    positions: int = 256,
    noise: float = 0.05,
    seed: int = 0,
) -> keras.Model:
    """Returns a copy of ``model`` with a new layer, or a layer of another width; the original is not changed.

        small = tfc.edits.introduce_layer(model, layers.SeparableConv2D(64, 3, padding="same"), x, at="conv_2")

    Names and weights of all other layers stay, except that ``narrow`` and ``widen`` solve the layers anew that read the
    changed one. Train the new network with ``fit``; a derived network (``tfcompress.DerivedModel``) needs no labels
    for it either.

    Args:
        model: A built Sequential or Functional model, nested ones included. Several layers are best introduced from
            front to back, each into the result of the one before, with the first model as ``base``.
        new: For insert and replace, a new layer: Dense, Conv1D, Conv2D, DepthwiseConv1D, DepthwiseConv2D,
            SeparableConv1D or SeparableConv2D; or a list of it with, in front, layers without weights that reshape or
            pool, and behind, a BatchNormalization and an activation (``[Conv2D(16, 3), BatchNormalization(),
            ReLU()]``). A copy is used. For narrow and widen, the number of channels.
        x: Inputs as ``model.fit`` takes them, without labels; ten times as many rows (samples times positions) as the
            new layer has weights for each output are plenty.
        at: Name or path of a layer: behind it for insert; itself for replace, or first and last of several that go; the
            layer whose channels change for narrow and widen.
        mode: "insert", "replace" (default), "narrow" or "widen".
        base: The model that says what shall come out; ``model`` (default) if nothing has been introduced before.
            Layers behind a changed width that it does not have are solved for what they deliver in ``model``.
        batch_size: Where ``x`` is in arrays.
        samples: At most this many samples are read; the signals at both positions of all of them are in memory.
        ridge: Penalty on large weights, relative to the mean variance of the layer's inputs.
        positions: At most this many positions of each image count, drawn at random; fewer where there are plenty of
            images.
        noise: For widen, the noise on the weights of split channels, relative to their size.
        seed: Of positions and noise.

    Returns:
        A new model, to be compiled.

    Raises:
        ValueError: The place or the new layer is of a kind that is not known here, tensors pass it by, shapes do not
            fit, or a name is taken; the message names the layer.

    Warns:
        UserWarning: The data are too few for so many weights, or an inserted layer is not an identity, as where a ReLU
            stands behind signals that are not positive.
    """
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES}. Received: mode={mode!r}")
    how = Fitting(ridge=ridge, positions=positions, seed=seed)
    original = model if base is None else base
    if mode in ("narrow", "widen"):
        if not isinstance(new, int) or not isinstance(at, str):
            raise ValueError(
                f"mode='{mode}' takes the number of channels as `new` and one layer as `at`. "
                f"Received: new={new!r}, at={at!r}"
            )
        ear = Listener(model, x, batch_size, samples)
        if mode == "narrow":
            return narrowed(model, original, ear, at, new, how)
        return widened(model, original, ear, at, new, how, noise)
    parts = _parts(new)
    traced = trace(model)
    names = (at, at) if isinstance(at, str) else tuple(at)
    region = behind(traced, names[-1]) if mode == "insert" else between(traced, names[0], names[-1])
    twin = _placed(model, traced, region, parts)
    _fit(twin, original, Listener(model, x, batch_size, samples), region, parts, how, mode)
    return twin


def _parts(new: Any) -> Parts:
    """Copies of the new layers, sorted; refuses what is not known here."""
    given = list(new) if isinstance(new, (list, tuple)) else [new]
    strangers = [layer for layer in given if not isinstance(layer, layers.Layer)]
    if strangers or not given:
        raise ValueError(f"`new` must be a Keras layer or a list of layers. Received: {strangers or new!r}")
    copies = [type(layer).from_config(layer.get_config()) for layer in given]
    places = [k for k, layer in enumerate(copies) if type(layer) in ROWS]
    if len(places) != 1:
        kinds = [kind.__name__ for kind in ROWS]
        names = [f"'{layer.name}' ({type(layer).__name__})" for layer in copies]
        raise ValueError(f"`new` must hold one layer of {kinds}. Received: {names}")
    linear, tail = copies[places[0]], copies[places[0] + 1 :]
    _check_linear(linear)
    norm = tail.pop(0) if tail and isinstance(tail[0], layers.BatchNormalization) else None
    activation = tail.pop(0) if tail and isinstance(tail[0], ALONE) else linear
    wrong = [*tail, *(layer for layer in copies[: places[0]] if not isinstance(layer, MOVERS) or layer.weights)]
    if wrong or (norm is not None and rule(linear) != LINEAR) or (activation is not linear and rule(linear) != LINEAR):
        layer = wrong[0] if wrong else linear
        raise ValueError(
            f"`new`: layer '{layer.name}' ({type(layer).__name__}) must stand in this order: layers without weights "
            "that reshape or pool; Dense or convolution; BatchNormalization; activation, once."
        )
    if norm is not None and not (norm.scale and norm.center):
        raise ValueError(f"`new`: BatchNormalization '{norm.name}' must have scale and center, to do nothing at first.")
    return Parts(copies, linear, norm, activation)


def _check_linear(layer: Any) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ValueError(f"`new`: layer '{layer.name}' must have channels last. Received: {layer.data_format}")


def _rule(parts: Parts) -> Rule:
    found = rule(parts.activation)
    if found is None:
        names = [r.name for r in RULES.values()]
        raise ValueError(
            f"`new`: layer '{parts.activation.name}' ({type(parts.activation).__name__}) must have an activation that "
            f"can be inverted: {names}, leaky_relu. Introduce the layer without activation and add it behind."
        )
    return found


def _placed(model: keras.Model, traced: Trace, region: Region, parts: Parts) -> keras.Model:
    """The model with the new layers, which are built but not fitted."""
    gone = {id(call.layer) for call in region.calls}
    taken = {call.layer.name for call in traced.calls if id(call.layer) not in gone}
    clashes = [layer.name for layer in parts.all if layer.name in taken]
    if clashes:
        raise ValueError(f"`new` must have names that are free in model '{model.name}'. Received: {clashes}")
    shape = region.entry.shape
    for layer in parts.all:
        shape = layer.compute_output_shape(shape)
    if tuple(shape) != region.exit.shape:
        raise ValueError(
            f"`new`: layer '{parts.linear.name}' ({type(parts.linear).__name__}) must deliver the shape "
            f"{region.exit.shape} of '{region.exit.name}'. Received: shape={tuple(shape)}. Choose its width, strides "
            "and padding to fit, or put a pooling or Flatten layer in front of it."
        )
    added: Mapping[str, list[Any]] = {region.exit.name: parts.all}
    return rebuild(model, lambda layer, path: SKIP if id(layer) in gone else None, added.get)


def _fit(
    twin: keras.Model, base: keras.Model, ear: Listener, region: Region, parts: Parts, how: Fitting, mode: str
) -> None:
    """Solves for the weights of the new layers, which ``twin`` holds."""
    now, before = trace(twin), trace(base)
    call = next(call for call in now.calls if call.layer is parts.linear)
    aim = _value(before, region.exit, base)
    wanted = _rule(parts)
    (z,) = ear.hear(now, call.inputs[0])
    signals = Signals(z, *aims(ear, before, aim, wanted))
    error = fit_layer(parts.linear, wanted, signals, how, parts.norm)
    if mode == "insert" and error > STILL:
        warnings.warn(
            f"Layer '{parts.linear.name}' is inserted behind '{region.exit.name}' but does not pass on what comes in: "
            f"error {error:.0%} of the variance. Choose a layer that can be an identity (as wide as its input, and "
            "'linear', or 'relu' behind a ReLU), or train on.",
            stacklevel=3,
        )


def _value(traced: Trace, wanted: Value, base: keras.Model) -> Value:
    """The tensor of that name in the base."""
    for call in traced.calls:
        for value in call.outputs:
            if value.name == wanted.name and value.shape == wanted.shape:
                return value
    raise ValueError(
        f"`base` '{base.name}' must have the tensor '{wanted.name}' of shape {wanted.shape}. Received: "
        f"{[call.path for call in traced.calls]}"
    )
