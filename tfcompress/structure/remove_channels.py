"""Takes channels out of a network: layers, kernels and files become smaller, and nothing else changes.

A channel is the output of one kernel of a convolution, or one unit of a Dense layer, with all that follows from it up
to the layers that read it: batch norm, activation, pooling, the places in a concatenation, the columns behind a
Flatten.
``channels.py`` says what belongs together, ``doomed.py`` what goes, ``cut.py`` makes the smaller layers.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfcompress.composite import open_composites
from tfcompress.structure.channels import Channels
from tfcompress.structure.doomed import Doomed, Gone, Named, Unneeded, settled
from tfcompress.structure.fold_gates import fold_gates
from tfcompress.structure.mixing import mixing
from tfcompress.structure.select_channels import select_channels
from tfcompress.structure.trace import Call, Trace, Value, trace

Keep = Mapping[str, Sequence[int] | Sequence[bool] | np.ndarray]


def remove_channels(model: keras.Model, keep: Keep | None = None, multiple_of: int = 1) -> keras.Model:
    """Returns a copy of ``model`` without some of its channels; the original is not changed.

    Names and what is left of the weights stay, also in ``Compressed`` layers, where masks, steps and dictionaries are
    cut along. Channels that are one by their use go together or not at all: the terms of a sum, the channels in front
    of a depthwise convolution and those behind it, the same place in every group of a grouped convolution, the uses of
    a layer that is called twice.

    * ``keep=None`` removes what the model does not need, so that it computes the same: channels behind a closed gate
      (``layers.InformationBottleneck``, a ``Rescaling`` by zero), channels that are constant because their kernel is
      zero, and channels that no layer looks at. Constants go into the biases of the layers that read them, where no
      zero padding is in the way. Gates go into the weights next to them.
    * A ``layers.ChannelGate`` becomes a nested model of its layers; ``edits.settle_gates`` makes constant which of its
      channels are always closed.
    * ``keep={...}`` removes what it does not name: the layers that read these channels then compute as if they were
      zero. Gates stay as they are.

    Each tensor keeps at least one channel.

    Args:
        model: A built Sequential or Functional model, nested ones included.
        keep: Name or path (``backbone/conv1``) of a layer -> which of its output channels stay: one bool per channel,
            or their indices. None (default) for all that the model needs.
        multiple_of: Rounds the number of channels that a convolution or Dense layer keeps up to a multiple, with the
            most important of the others (those of large kernels). Default 1.

    Returns:
        A new model, to be compiled.

    Raises:
        ValueError: ``keep`` names no layer or none of its channels, channels that must stay (outputs of the model, or
            of a use that is not known here), or the state of a transform cannot be cut.

    Warns:
        UserWarning: Channels of ``keep`` stay because they belong together with channels that it does not remove.
    """
    if multiple_of < 1:
        raise ValueError(f"`multiple_of` must be at least 1. Received: multiple_of={multiple_of}")
    model = open_composites(model)
    traced = trace(model)
    channels = Channels(traced)
    if keep is None:
        return fold_gates(
            _without(model, channels, (doomed := Unneeded(channels)), settled(channels, doomed, multiple_of))
        )
    masks = _masks(channels, keep)
    named = Named(channels, masks)
    _check_fixed(channels, masks)
    gone = settled(channels, named, multiple_of)
    _warn_of_ties(channels, named, masks)
    return _without(model, channels, named, gone)


def _without(model: keras.Model, channels: Channels, doomed: Doomed, gone: Gone) -> keras.Model:
    """The model without the channels that go."""
    stays = {value: np.flatnonzero(~gone[numbers]) for value, numbers in channels.numbers.items()}

    def shift(call: Call) -> np.ndarray | None:
        biases = doomed.shift(call, gone)
        return None if biases is None else biases[stays[call.outputs[0]]]

    return select_channels(model, channels, stays, shift)


def _masks(channels: Channels, keep: Keep) -> dict[Value, np.ndarray]:
    """Value -> True for the channels that shall go."""
    masks: dict[Value, np.ndarray] = {}
    for name, wanted in keep.items():
        for call in _calls(channels.trace, name):
            value = call.outputs[0]
            if value not in channels.numbers or len(call.outputs) > 1:
                raise ValueError(
                    f"Layer '{call.path}' ({type(call.layer).__name__}) must deliver one tensor whose last axis has a "
                    f"fixed size. Received: shapes {[v.shape for v in call.outputs]}. Leave it out of `keep`."
                )
            masks[value] = ~_mask(call.path, wanted, len(channels.numbers[value]))
    return masks


def _calls(traced: Trace, name: str) -> list[Call]:
    """The uses of the layer with that name or path."""
    found = [call for call in traced.calls if name in (call.path, call.path.partition("#")[0], call.layer.name)]
    if not found or len({id(call.layer) for call in found}) > 1:
        paths = list(dict.fromkeys(call.path.partition("#")[0] for call in (found or traced.calls)))
        raise ValueError(f"`keep` must name one layer by name or path. Received: {name!r}. Layers: {paths}")
    return found


def _mask(path: str, wanted: Any, width: int) -> np.ndarray:
    """One bool per channel."""
    array = np.asarray(wanted)
    mask = np.zeros(width, bool)
    if array.dtype == bool and array.shape == (width,):
        mask = array
    elif array.ndim == 1 and array.size and np.issubdtype(array.dtype, np.integer) and (array < width).all():
        mask[array] = (array >= 0).all()
    if not mask.any():
        raise ValueError(
            f"Layer '{path}': `keep` must be {width} bools, at least one of them True, or a list of indices from 0 to "
            f"{width - 1}. Received: {wanted!r}"
        )
    return mask


def _check_fixed(channels: Channels, masks: Mapping[Value, np.ndarray]) -> None:
    """Refuses to remove what must stay."""
    for value, mask in masks.items():
        numbers = channels.numbers[value]
        stuck = [c for c in np.flatnonzero(mask).tolist() if int(numbers[c]) in channels.fixed]
        if stuck:
            raise ValueError(
                f"Layer '{value.name}': channels {stuck} cannot be removed: they "
                f"{channels.fixed[int(numbers[stuck[0]])]}. Leave this layer out of `keep`."
            )


def _warn_of_ties(channels: Channels, named: Named, masks: Mapping[Value, np.ndarray]) -> None:
    """Says which channels stay although they were to go, and because of whom."""
    free = named.free(np.zeros(channels.count, bool))
    for value, mask in masks.items():
        numbers = channels.numbers[value]
        kept = numbers[mask & ~free[numbers]]
        if len(kept):
            readers = [
                call.path for call, x in channels.reads() if np.isin(channels.numbers[x][~named.passed[x]], kept).any()
            ]
            makers = [c.path for c in channels.trace.calls if mixing(c.layer) and _makes(channels, c, kept)]
            warnings.warn(
                f"Layer '{value.name}' keeps {len(kept)} of the {int(mask.sum())} channels that it was to lose: they "
                f"are tied to channels of {makers} and read by {readers}, and `keep` does not remove them there. Give "
                "the same mask to all layers that are tied.",
                stacklevel=3,
            )


def _makes(channels: Channels, call: Call, kept: np.ndarray) -> bool:
    value = call.outputs[0]
    return value in channels.numbers and bool(np.isin(channels.numbers[value], kept).any())
