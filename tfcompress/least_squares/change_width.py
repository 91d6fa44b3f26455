r"""A layer with fewer or more channels, and the layers that read it solved anew.

    narrow:  the channel goes whose loss costs least:  cost(c) = tr(W_c' (K_cc)^-1 W_c),   K = C^-1
             then W <- W - K_:c (K_cc)^-1 W_c,  K <- K - K_:c (K_cc)^-1 K_c:,  and so on

``C`` is the covariance of what a reader gets, ``W`` its weights, and c the rows that belong to one channel: one of a
Dense layer, nine of a 3x3 convolution, all places of a flattened map. The cost is by how much the squared error of the
reader's sums grows when the channel is missing and all its other weights make up for it as well as they can. Costs of
several readers are added, each over the variance of its sums.

    widen:   the channels that would cost most are split: each half has the weights of the whole, with a little noise
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tfcompress.compressed import Compressed
from tfcompress.least_squares.activation_targets import LINEAR, rule
from tfcompress.least_squares.fit_layer import Fit, Fitting, fit_layer
from tfcompress.least_squares.linear_rows import ROWS
from tfcompress.least_squares.region import Listener, aims, use
from tfcompress.least_squares.sampled_rows import Signals
from tfcompress.structure import slots
from tfcompress.structure.channels import Channels
from tfcompress.structure.groups import core
from tfcompress.structure.mixing import SEPARABLE, TRANSPOSED, groups, mixing, scales
from tfcompress.structure.remove_channels import remove_channels
from tfcompress.structure.select_channels import select_channels
from tfcompress.structure.trace import Call, Trace, Value, trace


class Width:
    """The channels of one layer, and who makes and reads them.

    Args:
        model: The model.
        at: Name or path of a Dense layer or convolution.

    Raises:
        ValueError: The channels must stay, or a reader cannot be solved; the message names the layer.
    """

    def __init__(self, model: keras.Model, at: str) -> None:
        self.channels = Channels(trace(model))
        call = use(self.channels.trace, at)
        if mixing(call.layer) is None:
            raise ValueError(
                f"Layer '{call.path}' ({type(core(call.layer)).__name__}) must be Dense or a convolution that sums "
                "over channels, to have a width of its own. Name such a layer."
            )
        self.path, self.numbers = call.path, self.channels.numbers[call.outputs[0]]
        stuck = [self.channels.fixed[n] for n in self.numbers.tolist() if n in self.channels.fixed]
        if stuck:
            raise ValueError(f"Layer '{call.path}' must keep its width: its channels {stuck[0]}. Name another layer.")
        self.makers = [c for c in self.channels.trace.calls if mixing(c.layer) and self._touches(c.outputs[0])]
        self.readers = [c for c, x in self.channels.reads() if self._touches(x)]
        for reader in self.readers:
            self._check_reader(reader)
        if not self.readers:
            raise ValueError(f"Layer '{call.path}' must be read by a Dense layer or convolution. Received: no reader.")

    def _touches(self, value: Any) -> bool:
        return value in self.channels.numbers and bool(np.isin(self.channels.numbers[value], self.numbers).any())

    def _check_reader(self, call: Call) -> None:
        layer = core(call.layer)
        wrong = {
            "a kind of layer that least squares is known for": type(layer) not in ROWS or groups(layer) > 1,
            "without transforms; change widths first and compress then": isinstance(call.layer, Compressed),
            "used once": self.channels.uses(call.layer) > 1,
            "without an activation that cannot be inverted": rule(layer) is None,
        }
        for must, fails in wrong.items():
            if fails:
                raise ValueError(
                    f"Layer '{call.path}' ({type(layer).__name__}) reads the channels of '{self.path}' and is to be "
                    f"solved anew, so it must be {must}. Name another layer in `at`."
                )


class Costs:
    """What the loss of each channel would cost one reader; see the equation above.

    Args:
        layer: The reader.
        numbers: Of the channels of its input; equal ones go together.
        signals: What it gets and delivers.
        how: Ridge and positions.
    """

    def __init__(self, layer: Any, numbers: np.ndarray, signals: Signals, how: Fitting) -> None:
        c = Fit(layer, LINEAR, signals, how, layer.use_bias).equations.covariance[0]
        self.weights = mixing(layer).matrix(layer).reshape(len(c), -1)  # type: ignore[union-attr]
        self.scale = 1 / max(float(np.einsum("no,nm,mo->", self.weights, c, self.weights, optimize=True)), 1e-30)
        level = max(how.ridge, 1e-6) * max(float(np.trace(c)) / len(c), 1e-30)
        self.inverse = np.linalg.inv(c + level * np.eye(len(c)))
        self._numbers = np.tile(numbers, len(c) // len(numbers))

    def of(self, number: int) -> float:
        """The cost of one channel."""
        rows = self._rows(number)
        lost = self.weights[rows]
        return self.scale * float(np.sum(lost * np.linalg.solve(self.inverse[np.ix_(rows, rows)], lost)))

    def lose(self, number: int) -> None:
        """Makes up for the loss of one channel with all the others."""
        rows = self._rows(number)
        gain = np.linalg.solve(self.inverse[np.ix_(rows, rows)], self.inverse[rows]).T
        self.weights = self.weights - gain @ self.weights[rows]
        self.inverse = self.inverse - gain @ self.inverse[rows]

    def _rows(self, number: int) -> np.ndarray:
        return np.flatnonzero(self._numbers == number)


def narrowed(model: keras.Model, base: keras.Model, ear: Listener, at: str, width: int, how: Fitting) -> keras.Model:
    """A copy of ``model`` whose layer ``at`` has fewer channels; its readers deliver what those of ``base`` do."""
    place = Width(model, at)
    numbers = place.numbers.tolist()
    if not 1 <= width < len({*numbers}):
        raise ValueError(
            f"Layer '{place.path}' has {len({*numbers})} channels; mode='narrow' takes fewer. Received: new={width}"
        )
    costs = _costs(place, ear, how)
    left = list(dict.fromkeys(numbers))
    while len(left) > width:
        cheapest = min(left, key=lambda n: sum(cost.of(n) for cost in costs))
        left.remove(cheapest)
        for cost in costs:
            cost.lose(cheapest)
    gone = np.setdiff1d(numbers, left)
    chosen = {v: np.flatnonzero(~np.isin(n, gone)) for v, n in place.channels.numbers.items()}
    small = remove_channels(model, {call.path: chosen[call.outputs[0]] for call in place.makers})
    return _solved_anew(small, base, ear, place, how, chosen)


def widened(
    model: keras.Model, base: keras.Model, ear: Listener, at: str, width: int, how: Fitting, noise: float
) -> keras.Model:
    """A copy of ``model`` whose layer ``at`` has more channels; its readers deliver what those of ``base`` do."""
    place = Width(model, at)
    own = list(dict.fromkeys(place.numbers.tolist()))
    if width <= len(own):
        raise ValueError(
            f"Layer '{place.path}' has {len(own)} channels; mode='widen' takes more. Received: new={width}"
        )
    costs = _costs(place, ear, how)
    ranked = sorted(own, key=lambda n: -sum(cost.of(n) for cost in costs))
    counts = np.ones(place.channels.count, int)
    for k in range(width - len(own)):
        counts[ranked[k % len(own)]] += 1
    chosen = {v: np.repeat(np.arange(len(n)), counts[n]) for v, n in place.channels.numbers.items()}
    wide = select_channels(model, place.channels, chosen)
    _share(wide, place, chosen, counts)
    _check_same(model, wide, ear, place.path)
    rng = np.random.default_rng(how.seed)
    for call in place.makers:
        _tell_apart(use(trace(wide), call.path).layer, chosen[call.outputs[0]], noise, rng)
    return _solved_anew(wide, base, ear, place, how, chosen)


def _costs(place: Width, ear: Listener, how: Fitting) -> list[Costs]:
    traced, numbers = place.channels.trace, place.channels.numbers
    return [
        Costs(call.layer, numbers[call.inputs[0]], Signals(*ear.hear(traced, *call.inputs, *call.outputs)), how)
        for call in place.readers
    ]


def _solved_anew(
    model: keras.Model, base: keras.Model, ear: Listener, place: Width, how: Fitting, chosen: Mapping[Value, np.ndarray]
) -> keras.Model:
    """Solves the readers, front to back, for what they deliver in ``base``; some may have another width themselves."""
    now, before = trace(model), trace(base)
    for reader in place.readers:
        call, picked = use(now, reader.path), chosen[reader.outputs[0]]
        wanted = rule(call.layer) or LINEAR
        (z,) = ear.hear(now, call.inputs[0])
        y, t = aims(ear, *_source(before, place.channels.trace, reader), wanted)
        front = None if t is None else [part[..., picked] for part in t]
        fit_layer(call.layer, wanted, Signals(z, [part[..., picked] for part in y], front), how)
    return model


def _source(base: Trace, model: Trace, reader: Call) -> tuple[Trace, Value]:
    """Where the targets of a reader come from: the base, or the model itself where the base has no such tensor."""
    (wanted,) = reader.outputs
    found = [v for call in base.calls for v in call.outputs if (v.name, v.shape) == (wanted.name, wanted.shape)]
    return (base, found[0]) if found else (model, wanted)


def _share(wide: keras.Model, place: Width, chosen: Mapping[Value, np.ndarray], counts: np.ndarray) -> None:
    """Divides the weights of the readers among the halves."""
    now = trace(wide)
    for reader in place.readers:
        layer, x = use(now, reader.path).layer, reader.inputs[0]
        parts = 1 / counts[place.channels.numbers[x]][chosen[x]]
        for slot, factor in scales(layer, parts, np.ones(len(chosen[reader.outputs[0]]))).items():
            variable = slots.variables(layer)[slot]
            variable.assign((slots.numpy(variable) * factor).astype(np.float32))


def _check_same(model: keras.Model, wide: keras.Model, ear: Listener, path: str) -> None:
    """Splitting alone changes nothing, if all layers on the way treat channels one by one."""
    for old, new in zip(*(ear.outputs(m) for m in (model, wide)), strict=True):
        if np.abs(old - new).max() > 1e-3 * max(np.abs(old).max(), 1e-6):
            raise ValueError(
                f"Layer '{path}' cannot be widened: a layer between it and its readers mixes channels or orders them "
                "in another way (groups, a depth multiplier). Name another layer."
            )


def _tell_apart(layer: Any, chosen: np.ndarray, noise: float, rng: np.random.Generator) -> None:
    """Adds noise to all weights of a split channel but those of the first part."""
    layer = core(layer)
    variable = slots.variables(layer)["pointwise_kernel" if mixing(layer) is SEPARABLE else "kernel"]
    kernel = slots.numpy(variable)
    last = np.moveaxis(kernel, -2 if isinstance(layer, TRANSPOSED) else -1, -1)
    again = np.concatenate([[False], chosen[1:] == chosen[:-1]])
    last += noise * rng.normal(size=last.shape) * last.std(axis=tuple(range(last.ndim - 1))) * again
    variable.assign(kernel)
