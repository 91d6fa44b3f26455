r"""Generates convolutions of fewer multiplications, in exact rational numbers: Toom-Cook, also called Winograd.

A correlation of d with a kernel of r numbers has m outputs, ``y[i] = sum_j d[i + j] * g[j]``, and costs m r
multiplications. Read as polynomials, it can be computed from values at ``n - 1`` points and at infinity, with
``n = m + r - 1`` multiplications and sums with constant weights:

    y = A ((G g) * (B d))                     one line,  n instead of m r multiplications
    Y = A ((G g G') * (B d B')) A'            one image, n**2 instead of m**2 r**2; and so on
                                              sums over channels go between the product and A

For distinct rational points p_0, ..., p_(n-2), with ``M(x) = prod_k (x - p_k)``, ``M_i(x) = M(x) / (x - p_i)``:

    A (m, n)    A[k, i] = p_i**k                  last column 0, ..., 0, 1
    G (n, r)    G[i, k] = p_i**k / M_i(p_i)       last row    0, ..., 0, 1
    B (n, n)    row i: coefficients of M_i        last row: those of M

``integers`` multiplies each matrix by its common denominator. The result is then ``scale`` times the true one along
each axis, and divides without remainder: whatever the points, integers come out exact. Sums may wrap around on the way
as two's complement does; only the last, ``scale**2 * Y``, must fit. ``widths`` tells how many bits that takes.

Reference: A. L. Toom, "The Complexity of a Scheme of Functional Elements Realizing the Multiplication of Integers",
Soviet Mathematics 3, 1963; S. A. Cook, "On the Minimum Computation Time of Functions", Harvard, 1966; Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", CVPR 2016, https://arxiv.org/abs/1509.09308; "Apparatus and method
for generating efficient convolution", Samsung, US10387533B2, 2019, and US10997272B2, 2021,
https://patents.google.com/patent/US10387533B2. Differs from the source in the polynomials: the patents take x and
x**n +- 1, these are x - p for any rational p, each of which costs one multiplication.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

Matrix = tuple[tuple[Fraction, ...], ...]
Number = int | float | str | Fraction


@dataclass(frozen=True)
class Algorithm:
    """Computes m outputs of a correlation with a kernel of r numbers by ``m + r - 1`` multiplications.

    Attributes:
        m: Outputs.
        r: Length of the kernel.
        points: The finite ones, ``m + r - 2``; infinity is always the last.
        outputs: A, shape (m, n).
        kernel: G, shape (n, r).
        inputs: B, shape (n, n).
    """

    m: int
    r: int
    points: tuple[Fraction, ...]
    outputs: Matrix
    kernel: Matrix
    inputs: Matrix

    @property
    def multiplications(self) -> int:
        """n, along one axis."""
        return self.m + self.r - 1

    def __call__(self, inputs: Any, kernel: Any) -> np.ndarray:
        """One tile, exactly: inputs of n, kernel of r and result of m numbers along each of any number of axes.

        Args:
            inputs: Whole numbers or Fractions.
            kernel: Likewise, of the same rank.
        """
        product = along_axes(self.kernel, kernel) * along_axes(self.inputs, inputs)
        return along_axes(self.outputs, product)


def along_axes(matrix: Any, x: Any) -> np.ndarray:
    """``matrix`` applied along every axis of ``x``, in Python's exact numbers."""
    exact, x = np.array(matrix, object), np.array(x, object)
    for axis in range(x.ndim):
        x = np.moveaxis(np.tensordot(exact, x, (1, axis)), 0, axis)
    return x


def generate(m: int, r: int, points: Iterable[Number] | None = None) -> Algorithm:
    """The algorithm F(m, r).

    Args:
        m: Outputs at a time, at least 1.
        r: Length of the kernel, at least 1.
        points: ``m + r - 2`` distinct numbers, such as ``2``, ``0.5``, ``"1/3"`` or Fractions. None (default) is
            0, 1, -1, 2, -2, 1/2, -1/2, 4, -4, ...

    Raises:
        ValueError: ``m`` or ``r`` is below 1, points are equal, or there are not as many as it takes.
    """
    if m < 1 or r < 1:
        raise ValueError(f"`m` and `r` must be at least 1. Received: m={m}, r={r}")
    chosen = checked(points, m + r - 2, f"F({m}, {r})")
    others = [[p for p in chosen if p != point] for point in chosen]
    norms = [math.prod((point - p for p in rest), start=Fraction(1)) for point, rest in zip(chosen, others)]
    n = m + r - 1
    return Algorithm(
        m,
        r,
        chosen,
        outputs=tuple((*(p**k for p in chosen), Fraction(k == m - 1)) for k in range(m)),
        kernel=(
            *(tuple(p**k / norm for k in range(r)) for p, norm in zip(chosen, norms)),
            tuple(Fraction(k == r - 1) for k in range(r)),
        ),
        inputs=tuple(coefficients(roots, n) for roots in (*others, chosen)),
    )


def checked(points: Iterable[Number] | None, count: int, what: str) -> tuple[Fraction, ...]:
    """``count`` distinct points; the first of the usual ones if none are given."""
    if points is None:
        return tuple(itertools.islice(usual_points(), count))
    chosen = tuple(Fraction(p) for p in points)
    if len(chosen) != count or len({*chosen}) != count:
        received = ", ".join(map(str, chosen))
        raise ValueError(f"{what} needs {count} distinct finite points. Received: {len(chosen)}, ({received})")
    return chosen


def usual_points() -> Iterator[Fraction]:
    """0, 1, -1, 2, -2, 1/2, -1/2, 4, -4, ...: what keeps the numbers in the matrices small."""
    yield Fraction(0)
    for k in itertools.count():
        for size in dict.fromkeys((Fraction(2**k), Fraction(1, 2**k))):
            yield from (size, -size)


def coefficients(roots: Iterable[Fraction], length: int) -> tuple[Fraction, ...]:
    """Those of ``prod (x - root)``, that of ``x**0`` first, filled up with zeros."""
    polynomial = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *polynomial], [*polynomial, Fraction(0)]
        polynomial = [high - root * low for high, low in zip(shifted, scaled)]
    return (*polynomial, *[Fraction(0)] * (length - len(polynomial)))


@dataclass(frozen=True, eq=False)
class Integers:
    """An algorithm in whole numbers, whose result is ``scale`` times the true one along each axis.

    Attributes:
        m: Outputs.
        r: Length of the kernel.
        outputs: int64 (m, n).
        kernel: int64 (n, r).
        inputs: int64 (n, n).
        scale: The product of the three common denominators.
    """

    m: int
    r: int
    outputs: np.ndarray
    kernel: np.ndarray
    inputs: np.ndarray
    scale: int


def integers(algorithm: Algorithm) -> Integers:
    """Each matrix times the least common denominator of its entries.

    Raises:
        OverflowError: An entry leaves int64. Take points with smaller numerators and denominators.
    """
    a, g, b = algorithm.outputs, algorithm.kernel, algorithm.inputs
    outputs, kernel, inputs = (without_fractions(matrix) for matrix in (a, g, b))
    return Integers(algorithm.m, algorithm.r, outputs, kernel, inputs, denominator(a) * denominator(g) * denominator(b))


def without_fractions(matrix: Matrix) -> np.ndarray:
    """The matrix times its common denominator, int64."""
    return np.array([[int(x * denominator(matrix)) for x in row] for row in matrix], np.int64)


def denominator(matrix: Matrix) -> int:
    """The least common one of all entries."""
    return math.lcm(*(x.denominator for row in matrix for x in row))


@dataclass(frozen=True)
class Tiles:
    """Which algorithm serves which kernel: m outputs at a time along each axis, and one along an axis of length 1.

    ``tflite_export.Interpreter(..., convolution=Tiles(2))`` runs convolutions of stride 1 through it.

    Args:
        m: Outputs at a time along each axis. Default 2.
        points: As in ``generate``, for kernels of one length only; None (default) for any length.
    """

    m: int = 2
    points: Sequence[Number] | None = None

    def __call__(self, r: int) -> Integers:
        """The algorithm for a kernel of length ``r``."""
        return integers(generate(1, 1) if r == 1 else generate(self.m, r, self.points))


class Widths(NamedTuple):
    """What an algorithm saves and what it costs, for integers.

    Attributes:
        multiplications: In a tile, for each pair of an input and an output channel.
        direct: Without the algorithm.
        scale: By which the last sum is too large.
        weight_bits: Of the transformed kernel, ``G' g G'``.
        input_bits: Of the transformed inputs, ``B' d B'``.
        channels: Most input channels for which the last sum surely fits into the accumulator.
    """

    multiplications: int
    direct: int
    scale: int
    weight_bits: int
    input_bits: int
    channels: int


def widths(
    algorithm: Algorithm, axes: int = 2, input_bits: int = 8, weight_bits: int = 8, accumulator_bits: int = 32
) -> Widths:
    """Multiplications and signed widths of an algorithm on integers.

    Args:
        algorithm: From ``generate``.
        axes: 1 for lines, 2 for images.
        input_bits: Width of the signed inputs, which may use all codes.
        weight_bits: Width of the signed weights, which do not use the lowest code.
        accumulator_bits: Width of the sums.
    """
    whole = integers(algorithm)
    largest_input, largest_weight = 2 ** (input_bits - 1), 2 ** (weight_bits - 1) - 1
    scale, taps = whole.scale**axes, whole.r**axes
    return Widths(
        algorithm.multiplications**axes,
        (whole.m * whole.r) ** axes,
        scale,
        signed_bits(largest_weight * growth(whole.kernel) ** axes),
        signed_bits(largest_input * growth(whole.inputs) ** axes),
        (2 ** (accumulator_bits - 1) - 1) // (scale * taps * largest_input * largest_weight),
    )


def growth(matrix: np.ndarray) -> int:
    """By how much a matrix can enlarge the largest number: the largest sum of the magnitudes of a row."""
    return int(np.abs(matrix).sum(axis=1).max())


def signed_bits(largest: int) -> int:
    """Bits of two's complement that hold ``-largest`` to ``largest``."""
    return largest.bit_length() + 1
