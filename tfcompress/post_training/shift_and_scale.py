r"""Multiplies and shifts each channel of the feature maps so that all of them fill the range of their tensor.

A feature map has one step for all channels; one whose values are small beside the others gets few of the codes. So the
layer that makes channel ``c`` makes

    u_c = gamma_c * (y_c - delta_c)

instead of ``y_c``, and the layers that read it undo that. Both happens in the weights:

    made by    W'[.., c] = gamma_c W[.., c],   b'_c = gamma_c (b_c - delta_c)
    read by    V'[c, ..] = V[c, ..] / gamma_c,   b' = b + sum_c V[c, ..] delta_c

The float function does not change. With ``low_c`` and ``high_c`` what channel ``c`` is seen to reach on data,
``delta_c = (low_c + high_c) / 2`` where a shift is possible, else 0, and ``gamma_c`` is the largest factor with which
the channel stays between the smallest and the largest value of its tensor:

    gamma_c = min over tensors of  min(top / (high_c - delta_c), bottom / (low_c - delta_c))

Which channels have one factor, and where a shift is possible, says ``free_scales.py``.

Reference: Sather and Teig, "Quantizing neural networks using shifting and scaling", Perceive, US11847568B2
(US20210034982A1), 2023, claims 1 to 9 and 13, https://patents.google.com/patent/US11847568B2. Differs from the source
in: the range is the one that the tensor has, not that of the codes, so that the tensor's own step, found later, does
the rest; channels of a concatenation have factors of their own; ranges are measured once, on the float network, since
``tfcompress.calibrate`` measures again what the quantised layers in front deliver.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from tfcompress.post_training.free_scales import FreeScales, added, weighted
from tfcompress.structure import slots
from tfcompress.structure.cut import cut_layer
from tfcompress.structure.groups import groups
from tfcompress.structure.mixing import depthwise_matrix, mixing
from tfcompress.structure.play import Batches, feed, play
from tfcompress.structure.rebuild import rebuild
from tfcompress.structure.relations import follows
from tfcompress.structure.scaling import multiply
from tfcompress.structure.trace import Call, Value, trace

MOST_ROWS = 65_536
"""Positions, over all samples, from which the range of a channel is taken."""

Ranges = dict[Value, tuple[np.ndarray, np.ndarray]]
Range = tuple[float, float]


class Ends(NamedTuple):
    """Factor and shift of each channel that goes into a layer, and of each that comes out."""

    gamma_in: np.ndarray
    delta_in: np.ndarray
    gamma_out: np.ndarray
    delta_out: np.ndarray

    @property
    def trivial(self) -> bool:
        """Whether there is nothing to do."""
        return all((g == 1).all() for g in self[::2]) and not any(d.any() for d in self[1::2])


def shift_and_scale(
    model: keras.Model,
    x: Any,
    shift: bool = True,
    power_of_two: bool = False,
    quantiles: Range = (0.0005, 0.9995),
    limit: float = 256.0,
    batch_size: int = 32,
    samples: int = 1024,
) -> keras.Model:
    """Returns a copy of ``model`` whose channels fill the ranges of their feature maps; the original is not changed.

    The copy computes the same, in the same layers, but loses less to feature maps of few bits. It is meant for what
    comes next, ``tfcompress.compress`` or ``tflite_export.convert``; layers that are Compressed already, and tensors
    with an output transform, stay as they are. So do the inputs and outputs of the model.

    What is rounded in the weights that read a channel grows with its factor, so that weights of 4 bits or less can lose
    more than feature maps gain; a smaller ``limit`` bounds that.

    A feature map in front of a ReLU, zero padding, a product or a maximum of two is not shifted, only scaled; one that
    ends in a ReLU6, sigmoid or other curved activation is neither.

    Args:
        model: A built Sequential or Functional model, nested ones included.
        x: Typical inputs, as ``tfcompress.calibrate`` takes them.
        shift: False only scales.
        power_of_two: Rounds factors down to powers of two, which floats are multiplied by without rounding.
        quantiles: Between which a channel's values count as its range; 0 and 1 for all of them.
        limit: Largest factor. Default 256.
        batch_size: Samples that a layer sees at once, where ``x`` is in arrays.
        samples: At most this many samples are read.

    Returns:
        A new model, to be compiled.

    Raises:
        ValueError: An argument is out of range, ``x`` does not fit the model, or its graph cannot be read.

    Warns:
        UserWarning: Channels fill less than half of their tensor's range afterwards; the message says which, and why.
    """
    if not 0 <= quantiles[0] < quantiles[1] <= 1 or limit < 1:
        raise ValueError(
            "`quantiles` must be two numbers from 0 to 1, the smaller first, and `limit` at least 1. "
            f"Received: quantiles={quantiles}, limit={limit}"
        )
    scales = FreeScales(trace(model))
    ranges = _measured(scales, feed(model.name, scales.trace, x, batch_size, samples), quantiles)
    delta = _shifts(scales, ranges if shift else {})
    gamma = _factors(scales, ranges, delta, limit, power_of_two)
    _warn_of_narrow(scales, ranges, delta, gamma, limit)
    return _edited(model, scales, gamma, delta)


def _measured(scales: FreeScales, fed: Mapping[Value, Batches], quantiles: Range) -> Ranges:
    """What the channels of every feature map that the chip stores reach."""
    stored = {group.value for group in groups(scales.trace)} & scales.numbers.keys()
    ranges: Ranges = {}

    def visit(call: Call, inputs: list[Batches]) -> list[Batches] | None:
        for value, batches in zip(call.inputs, inputs):
            if value in stored and value not in ranges:
                ranges[value] = _reach(batches, quantiles)
        return None

    play(scales.trace, fed, visit)
    return ranges


def _reach(batches: Batches, quantiles: Range) -> tuple[np.ndarray, np.ndarray]:
    rows = np.concatenate([np.asarray(ops.convert_to_numpy(b), np.float32).reshape(-1, b.shape[-1]) for b in batches])
    low, high = np.quantile(rows[:: -(-len(rows) // MOST_ROWS)], quantiles, axis=0)
    return low, high


def _shifts(scales: FreeScales, ranges: Ranges) -> dict[Value, np.ndarray]:
    """The shift of each channel of each value: layers with weights choose it, what is behind them follows."""
    stuck = np.array([n in scales.fixed or n in scales.unshifted for n in range(scales.count)], bool)
    delta: dict[Value, np.ndarray] = {}
    for call in scales.trace.calls:
        for value in (value for value in call.outputs if value in scales.numbers):
            numbers = scales.numbers[value]
            delta[value] = np.zeros(len(numbers))
            if weighted(call.layer) and value in ranges:
                delta[value] = np.where(stuck[numbers], 0.0, np.mean(ranges[value], axis=0))
            elif follows(call) and not weighted(call.layer) and not stuck[numbers].all():
                delta[value] = added(call, [delta[v] for v in call.inputs])
    return delta


def _factors(
    scales: FreeScales, ranges: Ranges, delta: Mapping[Value, np.ndarray], limit: float, power_of_two: bool
) -> np.ndarray:
    """The factor of every number."""
    gamma = np.full(scales.count, np.inf)
    for value, (low, high) in ranges.items():
        np.minimum.at(gamma, scales.numbers[value], _room(low - delta[value], high - delta[value]))
    gamma = np.where(np.isfinite(gamma), np.clip(gamma, 1.0, limit), 1.0)
    gamma[list(scales.fixed)] = 1.0
    return np.exp2(np.floor(np.log2(gamma))) if power_of_two else gamma


def _room(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The factor that each channel of a tensor has room for; infinite for one that is always zero."""
    bottom, top = min(low.min(), 0.0), max(high.max(), 0.0)
    above = np.divide(top, high, out=np.full(len(high), np.inf), where=high > 0)
    return np.minimum(above, np.divide(bottom, low, out=np.full(len(low), np.inf), where=low < 0))


def _edited(
    model: keras.Model, scales: FreeScales, gamma: np.ndarray, delta: Mapping[Value, np.ndarray]
) -> keras.Model:
    """The model with factors and shifts in its weights."""
    first: dict[int, Call] = {}
    for call in scales.trace.calls:
        first.setdefault(id(call.layer), call)

    def replace(layer: Any, path: str) -> Any:
        call = first.get(id(layer))
        if call is None or not weighted(layer) or call.inputs[0] not in scales.numbers:
            return None
        (x,), (y,) = call.inputs, call.outputs
        ends = Ends(gamma[scales.numbers[x]], delta[x], gamma[scales.numbers[y]], delta[y])
        if ends.trivial:
            return None
        return _normalization(layer, ends) if isinstance(layer, layers.BatchNormalization) else _sums(layer, x, ends)

    return rebuild(model, replace)


def _sums(layer: Any, x: Value, ends: Ends) -> Any:
    """A convolution or Dense layer on other channels, for other channels."""
    if mixing(layer):
        undone = ends.delta_in @ mixing(layer).matrix(layer).sum(axis=0)  # type: ignore[union-attr]
    else:
        undone = np.repeat(ends.delta_in, layer.depth_multiplier) * depthwise_matrix(layer).sum(axis=0)
    shift = undone - ends.delta_out
    inputs, outputs = (np.arange(len(side)) for side in (ends.gamma_in, ends.gamma_out))
    twin = cut_layer(layer, x.shape, inputs, outputs, shift if shift.any() else None)
    multiply(twin, 1 / ends.gamma_in, ends.gamma_out)
    return twin


def _normalization(layer: layers.BatchNormalization, ends: Ends) -> layers.BatchNormalization:
    """A batch norm on other channels, for other channels; its statistics are those of what it gets now."""
    config = layer.get_config()
    config["scale"] |= bool((ends.gamma_out != 1).any())
    config["center"] |= bool(ends.delta_out.any())
    twin = layers.BatchNormalization.from_config(config)
    twin.build(layer.get_build_config()["input_shape"])
    given = {slot: slots.numpy(variable).astype(np.float64) for slot, variable in slots.variables(layer).items()}
    mean, variance = given["moving_mean"], given["moving_variance"]
    given["moving_mean"] = ends.gamma_in * (mean - ends.delta_in)
    given["moving_variance"] = ends.gamma_in**2 * (variance + layer.epsilon) - layer.epsilon
    given["gamma"] = ends.gamma_out * given.get("gamma", 1.0)
    given["beta"] = ends.gamma_out * (given.get("beta", 0.0) - ends.delta_out)
    for slot, variable in slots.variables(twin).items():
        variable.assign(given[slot].astype(np.float32))
    twin.trainable = layer.trainable
    return twin


def _warn_of_narrow(
    scales: FreeScales, ranges: Ranges, delta: Mapping[Value, np.ndarray], gamma: np.ndarray, limit: float
) -> None:
    """Names the tensors of which some channels still fill less than half of the range."""
    lines = []
    for value, (low, high) in ranges.items():
        if value in (*scales.trace.inputs, *scales.trace.outputs):
            continue
        numbers = scales.numbers[value]
        low, high = gamma[numbers] * (low - delta[value]), gamma[numbers] * (high - delta[value])
        whole = max(high.max(), 0.0) - min(low.min(), 0.0)
        narrow = (2 * (high - low) < whole) & (high > low)
        if narrow.any():
            causes = Counter(map(_cause(scales, gamma, limit), numbers[narrow], _room(low, high)[narrow]))
            lines.append(
                f"'{value.name}': {narrow.sum()} of {len(numbers)} channels, which {causes.most_common(1)[0][0]}"
            )
    if lines:
        warnings.warn(
            "Some channels fill less than half of the range of their feature map, and no factor or shift can change "
            "that:\n  " + "\n  ".join(lines),
            stacklevel=3,
        )


def _cause(scales: FreeScales, gamma: np.ndarray, limit: float) -> Callable[[int, float], str]:
    """Why a channel is narrow, given its number and the factor that it still has room for."""

    def cause(number: int, room: float) -> str:
        if number in scales.fixed:
            return scales.fixed[number]
        if 2 * gamma[number] > limit and room > 1.01:
            return f"would need a factor over {limit:g}"
        if room > 1.01:
            return "have one factor in several feature maps, and less room in another"
        return scales.unshifted.get(number, "are not in the middle, and not to be shifted")

    return cause
