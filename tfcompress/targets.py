r"""What a base network's outputs become before a derived network learns them: few levels, kept as small integers.

    t = decode(encode(f(x)))

    Argmax        1 for the largest output, 0 for the others; code: its index
    Uniform       c = round(p * (2**bits - 1)),  t = c / sum(c)                     where all c are 0: as Argmax
    PowerOfTwo    t = 2**e / sum(2**e),  e = round(log2(p)), at least -octaves;     code: -e
    Threshold     1 where p >= 1/2, else 0
    Levels        t = low + c * step,  c = round((clip(y, low, high) - low) / step);  2**bits levels from low to high

``p`` are probabilities: the outputs themselves, or what softmax (Threshold: sigmoid) makes of logits. Which of the two
the base delivers has to be said; numbers do not show it. Codes are whole numbers, so that targets computed once can
be kept in a byte each, or, with Argmax, in a byte a sample.

Nothing here has a gradient: targets are constants of the training.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


class TargetQuantizer:
    """Base class: what a quantiser of outputs can do. Classes are along the last axis."""

    def encode(self, outputs: Any) -> Any:
        """Codes (int32) of ``outputs`` (float, any shape)."""
        raise NotImplementedError(f"{type(self).__name__} must define `encode`.")

    def decode(self, codes: Any, classes: int) -> Any:
        """Targets (float32) of ``codes`` (integers), of ``classes`` outputs each."""
        raise NotImplementedError(f"{type(self).__name__} must define `decode`.")

    def count(self, classes: int) -> int:
        """How many different codes there are."""
        raise NotImplementedError(f"{type(self).__name__} must define `count`.")

    def calibrate(self, outputs: np.ndarray) -> None:
        """Sets what depends on the outputs of real data. Only ``Levels`` does."""

    def check(self) -> None:
        """Raises ValueError if the quantiser must be calibrated first."""

    def __call__(self, outputs: Any) -> Any:
        """The targets for ``outputs`` (any shape), float32, of the same shape."""
        return ops.stop_gradient(self.decode(self.encode(outputs), outputs.shape[-1]))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TargetQuantizer":
        """The quantiser with these arguments."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.get_config().items())})"


@keras.saving.register_keras_serializable("tfcompress")
class Argmax(TargetQuantizer):
    """The class of the largest output, of equals the first; the same for logits and probabilities."""

    def encode(self, outputs: Any) -> Any:
        """The index of the largest output: one axis less."""
        return ops.cast(ops.argmax(outputs, axis=-1), "int32")

    def decode(self, codes: Any, classes: int) -> Any:
        """One-hot rows."""
        return ops.one_hot(ops.cast(codes, "int32"), classes, dtype="float32")

    def count(self, classes: int) -> int:
        """One code for each class."""
        return classes


@keras.saving.register_keras_serializable("tfcompress")
class Uniform(TargetQuantizer):
    """Probabilities in equal steps, then scaled to the sum of 1.

    Args:
        bits: Width of a code, 1 to 16. Default 4.
        from_logits: Whether the base delivers logits, or probabilities. Must be said.
        temperature: Logits are divided by this before softmax; above 1, small probabilities survive rounding. Train
            with ``tfcompress.TemperedCrossEntropy`` of the same temperature. Default 1.

    Raises:
        ValueError: ``bits`` is outside 1 to 16, or ``temperature`` below 1, or other than 1 for probabilities.
    """

    def __init__(self, bits: int = 4, *, from_logits: bool, temperature: float = 1.0) -> None:
        _check_bits(bits, 1)
        if temperature < 1 or (temperature != 1 and not from_logits):
            raise ValueError(
                "`temperature` must be at least 1, and 1 unless from_logits=True. "
                f"Received: temperature={temperature}, from_logits={from_logits}"
            )
        self.bits, self.from_logits, self.temperature = bits, bool(from_logits), float(temperature)

    def encode(self, outputs: Any) -> Any:
        """The number of steps in each probability; the largest gets one where all would get none."""
        p = _probabilities(outputs, self.from_logits, self.temperature)
        codes = ops.cast(ops.round(p * (2**self.bits - 1)), "int32")
        none = ops.max(codes, axis=-1, keepdims=True) == 0
        largest = ops.one_hot(ops.argmax(p, axis=-1), outputs.shape[-1], dtype="int32")
        return ops.where(none, largest, codes)

    def decode(self, codes: Any, classes: int) -> Any:
        """Shares of the sum."""
        return _shares(ops.cast(codes, "float32"))

    def count(self, classes: int) -> int:
        """``2**bits``."""
        return 2**self.bits


@keras.saving.register_keras_serializable("tfcompress")
class PowerOfTwo(TargetQuantizer):
    """Probabilities as the nearest powers of two (in the logarithm), then scaled to the sum of 1.

    Args:
        octaves: The smallest power is ``2**-octaves``; whatever is below gets it too, so that thousands of classes
            need more than the default of 15, which is 4-bit codes. At most 126.
        from_logits: Whether the base delivers logits, or probabilities. Must be said.

    Raises:
        ValueError: ``octaves`` is outside 1 to 126.
    """

    def __init__(self, octaves: int = 15, *, from_logits: bool) -> None:
        if octaves not in range(1, 127):
            raise ValueError(f"`octaves` must be a whole number from 1 to 126. Received: octaves={octaves}")
        self.octaves, self.from_logits = octaves, bool(from_logits)

    def encode(self, outputs: Any) -> Any:
        """How many borders between neighbouring powers are above each probability."""
        p = _probabilities(outputs, self.from_logits)
        borders = np.exp2(-np.arange(self.octaves) - 0.5).astype(np.float32)
        return ops.sum(ops.cast(ops.expand_dims(p, -1) < borders, "int32"), axis=-1)

    def decode(self, codes: Any, classes: int) -> Any:
        """Shares of the sum."""
        powers = np.ldexp(np.float32(1), -np.arange(self.octaves + 1))  # not every backend's exp2 is exact
        return _shares(ops.take(ops.convert_to_tensor(powers), ops.cast(codes, "int32"), axis=0))

    def count(self, classes: int) -> int:
        """One code for each power."""
        return self.octaves + 1


@keras.saving.register_keras_serializable("tfcompress")
class Threshold(TargetQuantizer):
    """Yes or no, for outputs that are not exclusive: several labels may hold at once.

    Args:
        from_logits: Whether the base delivers logits, or probabilities. Must be said.
    """

    def __init__(self, *, from_logits: bool) -> None:
        self.from_logits = bool(from_logits)

    def encode(self, outputs: Any) -> Any:
        """1 where the probability is 1/2 or more."""
        return ops.cast(ops.cast(outputs, "float32") >= (0.0 if self.from_logits else 0.5), "int32")

    def decode(self, codes: Any, classes: int) -> Any:
        """0 and 1 as floats."""
        return ops.cast(codes, "float32")

    def count(self, classes: int) -> int:
        """Two."""
        return 2


@keras.saving.register_keras_serializable("tfcompress")
class Levels(TargetQuantizer):
    """For regression: each output clipped to the range of most of its values, in equal steps.

    Args:
        bits: Width of a code, 1 to 16. Default 8.
        low: The lowest level of each output; None (default) until ``calibrate`` sets it to the quantile 0.001.
        high: The highest level of each output; None (default) until ``calibrate`` sets it to the quantile 0.999.

    Raises:
        ValueError: ``bits`` is outside 1 to 16, or (when used) the range is not known.
    """

    def __init__(self, bits: int = 8, low: list[float] | None = None, high: list[float] | None = None) -> None:
        _check_bits(bits, 1)
        self.bits, self.low, self.high = bits, low, high

    def calibrate(self, outputs: np.ndarray) -> None:
        """Takes the range of each output from ``outputs`` (samples first, outputs last)."""
        flat = np.asarray(outputs, np.float32).reshape(-1, np.shape(outputs)[-1])
        self.low, self.high = np.quantile(flat, [0.001, 0.999], axis=0).astype(np.float32).tolist()

    def check(self) -> None:
        """Raises ValueError while the range is not known."""
        self._range()

    def encode(self, outputs: Any) -> Any:
        """The number of steps above the lowest level."""
        low, high, step = self._range()
        steps = (ops.clip(ops.cast(outputs, "float32"), low, high) - low) / np.where(step > 0, step, 1)
        return ops.cast(ops.round(steps), "int32")

    def decode(self, codes: Any, classes: int) -> Any:
        """The levels."""
        low, _, step = self._range()
        return low + ops.cast(codes, "float32") * step

    def count(self, classes: int) -> int:
        """``2**bits``."""
        return 2**self.bits

    def _range(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.low is None or self.high is None:
            raise ValueError(
                f"Levels must be calibrated before use. Received: low={self.low}, high={self.high}. "
                "Call calibrate(base.predict(x)) with representative inputs, or give `low` and `high`."
            )
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        return low, high, (high - low) / np.float32(2**self.bits - 1)


def each(function: Callable[..., Any], quantizer: Any, *trees: Any) -> Any:
    """``function(quantizer, leaf, ...)`` for each leaf of ``trees``; a structure of quantisers has one for each."""
    if isinstance(quantizer, TargetQuantizer):
        return keras.tree.map_structure(lambda *leaves: function(quantizer, *leaves), *trees)
    return keras.tree.map_structure_up_to(quantizer, function, quantizer, *trees)


def checked(quantizer: Any) -> Any:
    """The same, if it holds nothing but TargetQuantizers.

    Raises:
        ValueError: It does not.
    """
    leaves = keras.tree.flatten(quantizer)
    if not leaves or not all(isinstance(leaf, TargetQuantizer) for leaf in leaves):
        raise ValueError(
            "`quantizer` must be one of Argmax, Uniform, PowerOfTwo, Threshold and Levels of tfcompress.targets, or a "
            f"structure of them like the base's outputs. Received: quantizer={quantizer!r}"
        )
    return quantizer


def _probabilities(outputs: Any, from_logits: bool, temperature: float = 1.0) -> Any:
    outputs = ops.cast(outputs, "float32")
    return ops.softmax(outputs / temperature, axis=-1) if from_logits else outputs


def _shares(parts: Any) -> Any:
    return parts / ops.sum(parts, axis=-1, keepdims=True)


def _check_bits(bits: int, least: int) -> None:
    if bits not in range(least, 17):
        raise ValueError(f"`bits` must be a whole number from {least} to 16. Received: bits={bits}")
