r"""The integer arithmetic of TFLite's reference kernels, one function per equation, in plain NumPy.

Every quantised op multiplies an int32 accumulator by a real number ``r`` (a ratio of scales). The file
format has no such number; each kernel derives a fixed-point pair from it and rounds twice:

    r      ~  m * 2**(s - 31),     2**30 <= m < 2**31                     (`quantize_multiplier`)
    MBQM   =  RDPOT(SRDHM(x * 2**max(s, 0), m), max(-s, 0))               (`multiply_by_quantized_multiplier`)
    SRDHM  =  floor((a * b + 2**30) / 2**31)                              (round half up)
    RDPOT  =  x / 2**e                                                    (round half away from zero)

Sums of int16 products are int64, and for these ``MBQM64 = floor((x * r + 2**(14 - s)) / 2**(15 - s))`` with the upper
16 bits ``r`` of ``m`` (`reduced_multiplier`): one rounding, half up.

int32 values wrap around, as they do in the kernels. Whether a scale enters ``r`` as float32 or float64
differs from op to op and changes the last bits of ``m``: see the kernels.

Source: TensorFlow Lite, ``kernels/internal/common.h`` and ``quantization_util.cc``, built without
``TFLITE_SINGLE_ROUNDING``. Differs from the source in nothing that can be observed.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

INT8_LOW, INT8_HIGH = -128, 127


def round_half_away(x: ArrayLike) -> np.ndarray:
    """C ``round``: nearest integer, halves away from zero, in the float type of ``x``."""
    whole = np.trunc(x)
    return whole + np.copysign(np.abs(x - whole) >= 0.5, x).astype(whole.dtype)


def wrap_int32(x: np.ndarray) -> np.ndarray:
    """``x`` modulo 2**32 as int32 would hold it, in int64."""
    return np.asarray(x, np.int64).astype(np.int32).astype(np.int64)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """``(m, s)`` with ``real ~ m * 2**(s - 31)``; (0, 0) if ``real`` is 0 or below 2**-32. ``QuantizeMultiplier``."""
    fraction, shift = math.frexp(real)
    multiplier = int(round_half_away(np.float64(fraction) * 2.0**31))
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def saturating_rounding_doubling_high_mul(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """SRDHM on int32 values held in int64: ``a * b / 2**31`` rounded half up, saturated at the one overflow."""
    return np.minimum((a * b + (1 << 30)) >> 31, 2**31 - 1)


def rounding_divide_by_power_of_two(x: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    """RDPOT on int64: ``x / 2**exponent`` rounded half away from zero."""
    mask = (np.int64(1) << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def reduced_multiplier(multiplier: np.ndarray) -> np.ndarray:
    """The 16 bits of a multiplier that remain for sums in int64: ``min(round(m / 2**16), 2**15 - 1)``."""
    return np.minimum((np.asarray(multiplier, np.int64) + (1 << 15)) >> 16, 2**15 - 1)


def multiply_by_quantized_multiplier(
    x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int
) -> np.ndarray:
    """MBQM: int32 values ``x`` (held in int64) times ``multiplier * 2**(shift - 31)``, rounded twice."""
    left, right = np.maximum(shift, 0), np.maximum(-np.asarray(shift), 0)
    scaled = saturating_rounding_doubling_high_mul(wrap_int32(np.asarray(x, np.int64) << left), multiplier)
    return rounding_divide_by_power_of_two(scaled, right)


ACTIVATIONS: dict[str, tuple[float | None, float | None]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}
"""Fused activations by schema name: the real bounds between which they clip."""


def activation_range(
    activation: str, scale: np.float32, zero_point: int, lowest: int = INT8_LOW, highest: int = INT8_HIGH
) -> tuple[int, int]:
    """The codes, from ``lowest`` to ``highest``, between which a fused activation clips.

    ``CalculateActivationRangeQuantized``: the bound ``f`` has the code ``zero_point + round(f / scale)`` with a
    float32 division.
    """

    def code(bound: float) -> int:
        return zero_point + int(round_half_away(np.float32(bound) / scale))

    low, high = ACTIVATIONS[activation]
    return (
        lowest if low is None else max(lowest, code(low)),
        highest if high is None else min(highest, code(high)),
    )


def activate(x: np.ndarray, activation: str) -> np.ndarray:
    """The fused activation on float values."""
    low, high = ACTIVATIONS[activation]
    return x if low is None and high is None else np.clip(x, low, high)
