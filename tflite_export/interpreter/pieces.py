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

UNIT = np.float64(2**15)
"""The code of 1.0 where the step is 2**-15."""

LOW, HIGH = -(2**15), 2**15 - 1


def table(f: Callable[[np.ndarray], np.ndarray], low: np.floating, high: np.floating, unit: np.floating) -> np.ndarray:
    """The 513 values of ``f`` between ``low`` and ``high`` in codes, ``unit`` of which are 1.0; all in their float.

    Where ``f`` is infinite at both ends of a piece there is no number to move by, and casts to int16 make 0 of that.
    """
    step = (high - low) / low.dtype.type(PIECES)
    places = low + np.arange(PIECES + 1, dtype=low.dtype) * step
    here = round_half_away(f(places[:-1]) * unit)
    middle = round_half_away(f(places[:-1] + step / 2) * unit)
    chord = round_half_away((f(places[1:]) * unit + here) / 2)
    values = here - round_half_away((chord - middle) / 2)
    last = round_half_away(f(np.array([high])) * unit)
    return np.nan_to_num(np.clip(np.concatenate([values, last]), LOW, HIGH)).astype(np.int64)


def interpolate(v: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``f(v)`` for int16 ``v`` held in int64; slopes and results wrap around as int16."""
    place = 256 + (v >> 7)
    base = values[place]
    slope = (values[place + 1] - base).astype(np.int16).astype(np.int64)
    return (base + ((slope * (v & 127) + 64) >> 7)).astype(np.int16).astype(np.int64)


EXP = table(np.exp, np.float64(-10), np.float64(0), UNIT)
"""``exp`` from -10 to 0."""

RECIPROCAL = table(lambda x: 1.0 / (1.0 + x), np.float64(0), np.float64(1), UNIT)
"""``1 / (1 + x)`` from 0 to 1."""
