"""Makes all layers of a network narrower that can be, front to back, and solves their readers by least squares.

    new width = the largest multiple of ``multiple_of`` that is at most ``share`` * width

Reference: ``change_width.py`` says which channels go and how the layers behind make up for them.
"""

import re
from typing import Any

import keras

from tfcompress.least_squares.change_width import Width, narrowed
from tfcompress.least_squares.fit_layer import Fitting
from tfcompress.least_squares.region import Listener
from tfcompress.structure.mixing import mixing
from tfcompress.structure.trace import trace


def narrow(
    model: keras.Model,
    x: Any,
    share: float = 0.75,
    multiple_of: int = 8,
    layers: str = ".*",
    batch_size: int = 128,
    samples: int = 8192,
) -> keras.Model:
    """Returns a copy of ``model`` with fewer channels; the original is not changed.

    Layers whose width is tied to that of others, as in a residual sum, become narrower together. Those keep theirs that
    deliver an output of the model, or whose readers cannot be solved anew.

    Args:
        model: A built Sequential or Functional model, nested ones included, not compressed.
        x: Inputs as ``model.fit`` takes them, without labels.
        share: Of the channels that stay, above 0 and below 1. Default 0.75.
        multiple_of: New widths are rounded down to multiples of it; a layer for which that leaves none keeps its
            width. Parallel hardware works on 8 or 16 channels at once, and as long on one as on all. Default 8.
        layers: Regular expression on the names or paths of Dense layers and convolutions, as a whole. Default: all.
        batch_size: Where ``x`` is in arrays.
        samples: At most this many samples are read.

    Returns:
        A new model, to be compiled, with the same names.

    Raises:
        ValueError: An argument is out of range, or no layer can become narrower; the message says why of each.
    """
    if not 0 < share < 1 or multiple_of < 1:
        raise ValueError(
            f"`share` must be between 0 and 1, `multiple_of` at least 1. Received: {share=}, {multiple_of=}"
        )
    ear, how = Listener(model, x, batch_size, samples), Fitting()
    small, reasons = model, {}
    widths = {call.path: call.outputs[0].shape[-1] or 0 for call in trace(model).calls if mixing(call.layer)}
    for path, width in widths.items():
        new = int(share * width) // multiple_of * multiple_of
        if not re.fullmatch(layers, path) and not re.fullmatch(layers, path.rpartition("/")[2]):
            continue
        try:
            if len({*Width(small, path).numbers.tolist()}) == width and new:
                small = narrowed(small, model, ear, path, new, how)
        except ValueError as error:
            reasons[path] = str(error)
    if small is model:
        raise ValueError(
            f"Model '{model.name}' must have a layer that can become narrower, with `layers` {layers!r} and to a "
            f"multiple of {multiple_of}. Received: widths {widths}. {' '.join(reasons.values())}"
        )
    return small
