"""Functions on int16 by straight pieces: 513 values at equal distances, with linear interpolation between them.

    f(v)  ~  t[i] + ((t[i + 1] - t[i]) * (v mod 128) + 64) >> 7,    i = 256 + (v >> 7)

A value of the table is not ``f`` at its place but moved by half of how far the middle of the piece behind it would be
off, so that the error of a piece is spread over both signs.

Source: TensorFlow Lite, ``LUTPopulate`` and ``LUTLookup`` for int16 in ``kernels/internal/common.h``. Differs from the
source in nothing.
"""

from collections.abc import Callable

import numpy as np

from tflite_export.interpreter.arithmetic import round_half_away

PIECES = 512


UNIT = 2.0**15
"""The code of 1.0."""


def table(f: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> np.ndarray:
    """The 513 values of ``f`` between ``low`` and ``high``, in codes."""
    step = (high - low) / PIECES
    places = low + np.arange(PIECES) * step
    here = round_half_away(f(places) * UNIT)
    middle = round_half_away(f(places + step / 2) * UNIT)
    chord = round_half_away((f(places + step) * UNIT + here) / 2)
    values = here - round_half_away((chord - middle) / 2)
    last = round_half_away(f(np.array([high])) * UNIT)
    return np.clip(np.concatenate([values, last]), -32768, 32767).astype(np.int64)


def interpolate(v: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``f(v)`` for int16 ``v`` held in int64."""
    place = 256 + (v >> 7)
    base = values[place]
    return base + (((values[place + 1] - base) * (v & 127) + 64) >> 7)


EXP = table(np.exp, -10.0, 0.0)
"""``exp`` from -10 to 0."""

RECIPROCAL = table(lambda x: 1.0 / (1.0 + x), 0.0, 1.0)
"""``1 / (1 + x)`` from 0 to 1."""
