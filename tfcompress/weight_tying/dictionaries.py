"""The dictionaries that weights may be tied to: what they start from, and what a step of k-means may make of them.

``entries`` are (slices, K), ascending, one dictionary per column of the weights ``x``, which are (n, slices).

    Free            any K numbers; what is deployed are the nearest 8-bit codes, since TFLite has no codebooks
    PowersOfTwo     signs times powers of two over at most seven octaves, which are the codes +-1, +-2 .. +-64, and 0
    Listed          the numbers of a list, times one learned factor if the list is ``scaled``
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from tfcompress.weight_tying import clustering

OCTAVES = 7
"""Powers of two that int8 holds beside each other: 1 to 64."""

PLACES = 2 * OCTAVES + 1
"""Those of both signs, and zero in the middle."""

LOWEST = -40
"""Exponent of the largest power of two in a dictionary for weights that are as good as zero."""


NAMED = {"binary": (-1.0, 1.0), "ternary": (-1.0, 0.0, 1.0)}
"""Lists that have a name; these are scaled."""


class Free:
    """Any ``size`` numbers, one of them zero if ``zero``; one of them gives way to zero where ``x`` holds zeros."""

    moves = True

    def __init__(self, size: int, zero: bool, rounded: bool = True) -> None:
        self.size, self.zero, self.rounded = size, zero, rounded

    def start(self, x: Any) -> Any:
        """Evenly spaced over the range, or the numbers themselves where there are no more than entries."""
        if x.shape[0] <= self.size:
            numbers = ops.transpose(ops.sort(x, axis=0))
            return ops.take(numbers, np.minimum(np.arange(self.size), x.shape[0] - 1), axis=1)
        low, high = (ops.reshape(extreme(x, axis=0), (-1, 1)) for extreme in (ops.min, ops.max))
        return low + (high - low) * np.linspace(0, 1, self.size, dtype="float32")

    def in_use(self, x: Any, entries: Any) -> Any:
        """The entries with zero among them, where there must be."""
        if self.zero:
            return clustering.with_zero(entries)
        zeros = ops.reshape(ops.any(x == 0, axis=0), (-1, 1))
        return ops.where(zeros, clustering.with_zero(entries), entries)

    def placed(self, x: Any, entries: Any, wanted: Any, counts: Any) -> Any:
        """The entries nearest to ``wanted`` that are allowed; ``counts`` are the members of ``entries``."""
        return wanted

    def deployed(self, entries: Any) -> Any:
        """The numbers that stand in the file, if they are to be ``rounded`` here."""
        return clustering.on_int8(entries) if self.rounded else entries


class PowersOfTwo(Free):
    """As many different powers of two of both signs; with 15 entries or more, all seven octaves and zero."""

    def __init__(self, size: int, zero: bool) -> None:
        super().__init__(min(size, PLACES), zero or size >= PLACES)

    def start(self, x: Any) -> Any:
        """Both signs, the highest octaves."""
        negative = (self.size - self.zero) // 2
        positive = self.size - self.zero - negative
        places = [*range(negative), *[OCTAVES] * self.zero, *range(PLACES - positive, PLACES)]
        return self._values(np.array([places], "int32"), _top(x))

    def placed(self, x: Any, entries: Any, wanted: Any, counts: Any) -> Any:
        """Rounds in the logarithm; of entries that meet, the one with most members stays and the others move on."""
        top = _top(x)
        octave = ops.clip(clustering.exponent(wanted) - top, 1 - OCTAVES, 0) + OCTAVES
        place = OCTAVES + ops.where(wanted < 0, -octave, octave)
        place = ops.where(entries == 0, OCTAVES, place)
        return self._values(spread(place, counts), top)

    def deployed(self, entries: Any) -> Any:
        """The same: powers of two are exact in int8 and in float32."""
        return entries

    @staticmethod
    def _values(place: Any, top: Any) -> Any:
        """Places 0 to 6 are negative, 7 is zero, 8 to 14 are positive, in ascending order."""
        octave = ops.abs(place - OCTAVES)
        size = clustering.power_of_two(top - OCTAVES + octave)
        return ops.where(octave == 0, 0.0, ops.where(place < OCTAVES, -size, size))


def _top(x: Any) -> Any:
    """Exponent of the power of two nearest to the largest magnitude of each column, (slices, 1)."""
    exponent = clustering.exponent(ops.max(ops.abs(x), axis=0))
    return ops.reshape(ops.clip(exponent, LOWEST, 127), (-1, 1))


def spread(place: Any, counts: Any) -> Any:
    """Moves entries that share a place to others, until each has its own.

    In each round, those without a place ask for the nearest unused one of their sign (of the other sign, if none is
    left), and the one with most members gets it.

    Args:
        place: int32, (slices, K): 0 to 6 negative, 7 zero, 8 to 14 positive, towards larger numbers. 7 occurs once.
        counts: Members of each entry, int32, of the same shape.
    """
    distance = ops.take(_distances(), place, axis=0)
    order = ops.argsort(-counts, axis=-1)
    rank = ops.cast(ops.argsort(order, axis=-1), "int32")

    def unsettled(found: Any) -> Any:
        return ops.any(found < 0)

    def settle(found: Any) -> Any:
        used = ops.any(ops.expand_dims(found, -1) == np.arange(PLACES), axis=1, keepdims=True)
        asked = ops.argmin(distance + 100_000 * ops.cast(used, "int32"), axis=-1)
        asked = ops.where(found < 0, ops.cast(asked, "int32"), -1 - rank)  # who has a place asks for none
        same = ops.expand_dims(asked, 1) == ops.expand_dims(asked, 2)
        better = ops.expand_dims(rank, 1) < ops.expand_dims(rank, 2)
        lost = ops.any(ops.logical_and(same, better), axis=-1)
        return ops.where(ops.logical_or(found >= 0, lost), found, asked)

    return ops.while_loop(unsettled, lambda found: (settle(found),), (ops.full_like(place, -1),))[0]


def _distances() -> np.ndarray:
    """From each place (row) to each: octaves if the sign is the same, much more if not, most of all to zero."""
    places = np.arange(PLACES) - OCTAVES
    distance = np.abs(places[:, None] - places) + 1000 * (places[:, None] * places < 0)
    distance[:, OCTAVES] += 2000 * (places != 0)
    return distance.astype("int32")


class Listed:
    """The numbers ``values``, which do not move; ``scaled`` multiplies them by a learned factor, equal for all.

    Numbers that are not multiples of one scale within int8 are moved to the nearest such, with a warning.
    """

    moves = False

    def __init__(self, values: Sequence[float], scaled: bool) -> None:
        self.codes, unit = int8_codes(values)
        self.values, self.scaled = (self.codes * unit).astype("float32"), scaled
        self.size, self.zero = len(self.codes), 0 in self.codes

    def start(self, x: Any) -> Any:
        """The list; a scaled one covers the range."""
        if not self.scaled:
            return ops.zeros((x.shape[1], 1)) + self.values
        return ops.reshape(ops.max(ops.abs(x), axis=0), (-1, 1)) * (self.values / np.abs(self.values).max())

    def in_use(self, x: Any, entries: Any) -> Any:
        """The same."""
        return entries

    def placed(self, x: Any, entries: Any, wanted: Any, counts: Any) -> Any:
        """The factor of least squared error: for one magnitude only, the mean magnitude of what is assigned to it."""
        if not self.scaled:
            return entries
        counted = ops.cast(counts - (0 if self.zero else self._zeros(x, entries)), "float32")
        weight = ops.sum(counted * self.values**2, axis=-1, keepdims=True)
        total = ops.sum(ops.cast(counts, "float32") * self.values * wanted, axis=-1, keepdims=True)
        factor = total / ops.maximum(weight, 1e-30)
        return ops.where(weight > 0, factor * self.values, entries)

    @staticmethod
    def _zeros(x: Any, entries: Any) -> Any:
        """How many members of each entry are zeros, which stay zero and therefore do not count."""
        zeros = ops.sum(ops.cast(x == 0, "int32"), axis=0)
        where = clustering.nearest(ops.zeros((1, x.shape[1])), entries)
        return ops.reshape(zeros, (-1, 1)) * ops.cast(ops.transpose(where) == np.arange(entries.shape[1]), "int32")

    def deployed(self, entries: Any) -> Any:
        """The same; scaled ones on a scale with a short mantissa."""
        highest = int(np.abs(self.codes).max())
        return clustering.on_int8(entries, self.codes.astype("float32"), highest) if self.scaled else entries


def int8_codes(values: Sequence[float]) -> tuple[np.ndarray, np.float32]:
    """Ascending whole numbers from -127 to 127, and the scale that makes ``values`` of them."""
    numbers = np.unique(np.asarray(values, np.float32))
    sizes = np.abs(numbers[numbers != 0])
    for code in range(1, 128):
        scale = np.float32(sizes.min() / code)
        codes = np.rint(numbers / scale)
        if np.abs(codes).max() <= 127 and np.array_equal((codes * scale).astype(np.float32), numbers):
            return codes.astype("int32"), scale
    mantissa, exponent = math.frexp(sizes.max() / 127)
    scale = np.float32(math.ldexp(math.floor(mantissa * 2**17) / 2**17, exponent))
    codes = np.unique(np.rint(numbers / scale).astype("int32"))
    warnings.warn(
        f"`values` must be whole multiples, up to 127, of one number to be exact in a file. Received: values={values}. "
        f"They become {(codes * scale).tolist()}.",
        stacklevel=4,
    )
    return codes, scale


def dictionary(size: int | None, values: Any, zero: bool, scaled: bool | None, rounded: bool = True) -> Free | Listed:
    """The dictionary that the arguments describe.

    Raises:
        ValueError: They describe none.
    """
    if not rounded and not (isinstance(values, str) and values == "free"):
        raise ValueError(f"`rounded=False` goes with values='free'; others are exact. Received: values={values!r}")
    if isinstance(values, str) and values in ("free", "power_of_two"):
        most = 256 if values == "free" else 16
        if size is not None and size not in range(2, most + 1):
            raise ValueError(f"`size` must be from 2 to {most} for {values!r} values. Received: size={size}")
        if scaled:
            raise ValueError(f"`scaled` goes with a list of values, 'binary' or 'ternary'. Received: values={values!r}")
        return Free(size or 16, zero, rounded) if values == "free" else PowersOfTwo(size or 16, zero)
    listed = NAMED.get(values) if isinstance(values, str) else values
    if listed is None or len(set(listed)) < 2:
        raise ValueError(
            "`values` must be 'free', 'power_of_two', 'binary', 'ternary', or a list of two or more different numbers. "
            f"Received: values={values!r}"
        )
    kind = Listed(listed, isinstance(values, str) if scaled is None else scaled)
    if size not in (None, kind.size):
        raise ValueError(f"`size` must be that of the list of values, {kind.size}, or None. Received: size={size}")
    if zero and not kind.zero:
        raise ValueError(f"`zero` and `sparsity` need a 0 among the values. Received: values={values}")
    if kind.scaled and not np.array_equal(kind.codes, -kind.codes[::-1]):
        raise ValueError(f"A `scaled` list must be symmetric about zero. Received: values={values}")
    return kind
