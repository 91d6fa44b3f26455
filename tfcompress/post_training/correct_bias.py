r"""Takes out of the biases what rounded or pruned weights change in the mean of each output channel.

With weights ``W`` and what they became, ``W~``, a layer's output is wrong by ``(W~ - W) x`` in every sample, and in
the mean over all of them by something that a bias can take back:

    analytic     b' = b - (W~ - W) E[x]                       E[x] from the batch norms in front, without data
    empirical    b' = b - (E[W~ x' + b] - E[W x + b])         means over samples and places

``x'`` is what the changed network delivers whose earlier layers are corrected already, so that the second way makes up
for rounded feature maps too. Behind a ReLU, ``E[x]`` is the mean of the positive part of a normal distribution; how it
follows in other places says ``expectations.py``. A convolution's tap counts as often as it sees the input and not the
zeros around it.

Reference: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
https://arxiv.org/abs/1906.04721, section 4.2 and appendices C and D; Qualcomm, "Analytic and empirical correction of
biased error introduced by approximation methods", US11604987B2, 2023. Differs from the sources in that zero padding is
counted, that sums in front of a ReLU are treated as normal too, and in one run over the data for all layers.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress.compressed import Compressed
from tfcompress.post_training.expectations import expectations, mean_weights
from tfcompress.structure.cut import cut_layer
from tfcompress.structure.groups import core
from tfcompress.structure.mixing import bias, mixing
from tfcompress.structure.play import Batches, Fed, feed, play
from tfcompress.structure.rebuild import SKIP, clone, rebuild
from tfcompress.structure.relations import DEPTHWISE
from tfcompress.structure.trace import Call, Trace, trace
from tfcompress.transform import Transform

Shifts = dict[str, np.ndarray]
"""Path of a layer -> what its bias needs, per output channel."""


def correct_bias(
    model: keras.Model,
    x: Any = None,
    reference: keras.Model | None = None,
    input_mean: Any = None,
    batch_size: int = 32,
    samples: int = 512,
) -> keras.Model:
    """Returns a copy of ``model`` with corrected biases of its Dense and convolutional layers; the original stays.

    Without ``x`` the mean inputs of the layers come from the batch norms of the model. With ``x`` they are measured.
    A layer without bias gets one.

    Args:
        model: A built Sequential or Functional model whose weights are rounded, pruned or otherwise changed: what
            ``tfcompress.compress`` returned, or any other together with ``reference``.
        x: Typical inputs, as ``tfcompress.calibrate`` takes them; no labels are needed. None: no data.
        reference: The network whose means are to be restored, with the same layers. None: ``model`` without its
            transforms, with the latent weights. After training with transforms those are no reference any more.
        input_mean: Without ``x``, the mean of the model's inputs: a number, or an array of one a channel; a list of
            them for several inputs. None: not known, and a layer that reads the input of the model is not corrected.
        batch_size: Samples that a layer sees at once, where ``x`` is in arrays.
        samples: At most this many samples are read.

    Returns:
        A new model, to be compiled.

    Raises:
        ValueError: There is no reference, or its layers are others; ``x`` does not fit the model; or without ``x`` the
            mean input of no changed layer is known.

    Warns:
        UserWarning: Layers are not corrected, since without ``x`` their mean input is not known.
    """
    before = trace(_twin(model, latent=True) if reference is None else _twin(reference))
    if reference is None and not any(isinstance(call.layer, (Compressed, Transform)) for call in trace(model).calls):
        raise ValueError(
            f"Model '{model.name}' must have transforms, or come with the float model that it was made from. Received: "
            "reference=None. Pass the float model as `reference`."
        )
    after = trace(_twin(model))
    _check_same(before, after)
    if x is None:
        shifts = _analytic(before, after, input_mean)
    else:
        fed = feed(model.name, after, x, batch_size, samples)
        shifts = _empirical(before, dict(zip(before.inputs, fed.values(), strict=True)), after, fed)
    return _shifted(model, shifts)


def _twin(model: keras.Model, latent: bool = False) -> keras.Model:
    """A copy to work on: all with biases, or with latent weights and without transforms."""

    def replace(layer: Any, path: str) -> Any:
        if latent and isinstance(layer, Transform):
            return SKIP
        return clone(layer.layer) if latent and isinstance(layer, Compressed) else None

    return rebuild(model, replace)


def _sums(traced: Trace) -> Iterator[Call]:
    """The calls of layers whose bias can take a correction."""
    return (call for call in traced.calls if mixing(call.layer) or type(core(call.layer)) in DEPTHWISE)


def _check_same(before: Trace, after: Trace) -> None:
    """Refuses a reference with other layers."""
    shapes = [{c.path: [tuple(v.shape) for v in (*c.inputs, *c.outputs)] for c in _sums(t)} for t in (before, after)]
    if shapes[0] != shapes[1]:
        odd = sorted({path for path in {**shapes[0], **shapes[1]} if shapes[0].get(path) != shapes[1].get(path)})
        raise ValueError(
            f"`reference` must have the Dense and convolutional layers of the model. Received: other layers {odd}."
        )


def _analytic(before: Trace, after: Trace, input_mean: Any) -> Shifts:
    """Mean inputs times changes of the weights."""
    given = {} if input_mean is None else dict(zip(before.inputs, _listed(input_mean, len(before.inputs))))
    means = expectations(before, given)
    found: dict[str, list[np.ndarray]] = {}
    for old, new in zip(_sums(before), _sums(after), strict=True):
        mean = means[old.inputs[0]][0]
        found.setdefault(_layer_path(new), []).append(_error(old, new, mean))
    unknown = [path for path, errors in found.items() if np.isnan(errors).any()]
    shifts = {path: -np.mean(errors, axis=0) for path, errors in found.items() if path not in unknown}
    _report_unknown(unknown, any(shift.any() for shift in shifts.values()))
    return shifts


def _error(old: Call, new: Call, mean: np.ndarray) -> np.ndarray:
    """By how much a layer's mean output is wrong for inputs of that mean; NaN where it takes one that is not known."""
    change = mean_weights(new) - mean_weights(old)
    open_ends = (change[np.isnan(mean)] != 0).any(axis=0)
    return np.where(open_ends, np.nan, np.nan_to_num(mean) @ change + bias(new.layer) - bias(old.layer))


def _listed(means: Any, count: int) -> list[np.ndarray]:
    means = means if isinstance(means, list) and count > 1 else [means]
    if len(means) != count:
        raise ValueError(f"`input_mean` must be a list of {count}, one for each input. Received: {len(means)}")
    return [np.asarray(mean, np.float64) for mean in means]


def _report_unknown(unknown: list[str], some: bool) -> None:
    if unknown and not some:
        raise ValueError(
            f"The batch norms of the model must tell the mean input of at least one changed layer. Received: nothing "
            f"known of what goes into {unknown}. Pass typical inputs as `x`, or `input_mean`."
        )
    if unknown:
        warnings.warn(
            f"The biases of {unknown} stay as they are: no batch norm tells the mean of what these layers get. Pass "
            "typical inputs as `x`, or `input_mean` for those that read the input of the model.",
            stacklevel=4,
        )


def _empirical(before: Trace, fed: Fed, after: Trace, fed_after: Fed) -> Shifts:
    """Differences of measured means, in a network that is corrected up to there."""
    wanted = _means(before, fed)
    shared = {path for path in map(_layer_path, _sums(after)) if f"{path}#1" in wanted}
    first_look = _means(after, fed_after) if shared else {}
    shifts = {
        path: np.mean([wanted[use] - first_look[use] for use in wanted if use.partition("#")[0] == path], axis=0)
        for path in shared
    }

    def correct(call: Call, mean: np.ndarray) -> np.ndarray:
        return shifts.setdefault(_layer_path(call), wanted[call.path] - mean)

    _means(after, fed_after, correct)
    return shifts


def _means(traced: Trace, fed: Fed, correct: Any = lambda call, mean: 0.0) -> dict[str, np.ndarray]:
    """Path of each use -> mean of what it delivers in front of its activation, before ``correct`` adds something."""
    found: dict[str, np.ndarray] = {}
    sums = {*_sums(traced)}

    def visit(call: Call, inputs: list[Batches]) -> list[Batches] | None:
        if call not in sums:
            return None
        layer = core(call.layer)
        activation, layer.activation = layer.activation or keras.activations.linear, keras.activations.linear
        try:
            made = [call.layer(batch) for batch in inputs[0]]
        finally:
            layer.activation = activation
        found[call.path] = _mean(made)
        shift = ops.cast(correct(call, found[call.path]), made[0].dtype)
        return [[activation(y + shift) for y in made]]

    play(traced, fed, visit)
    return found


def _mean(batches: Batches) -> np.ndarray:
    rows = [np.asarray(ops.convert_to_numpy(ops.cast(y, "float32"))).reshape(-1, y.shape[-1]) for y in batches]
    return np.sum([r.sum(axis=0, dtype=np.float64) for r in rows], axis=0) / sum(map(len, rows))


def _shifted(model: keras.Model, shifts: Shifts) -> keras.Model:
    """The model with ``shifts`` in its biases."""
    first: dict[int, Call] = {}
    for call in _sums(trace(model)):
        first.setdefault(id(call.layer), call)

    def replace(layer: Any, path: str) -> Any:
        call = first.get(id(layer))
        shift = shifts.get(call.path, np.zeros(1)) if call else np.zeros(1)
        if call is None or not shift.any():
            return None
        inputs, outputs = (np.arange(value.shape[-1] or 0) for value in (call.inputs[0], call.outputs[0]))
        return cut_layer(layer, call.inputs[0].shape, inputs, outputs, shift)

    return rebuild(model, replace)


def _layer_path(call: Call) -> str:
    """The path of the layer's first use."""
    return call.path.partition("#")[0]
