"""Products of small integers added up in int32, several at a time, as the vector instructions of processors do it.

    total[r, c] = sum over k of  x[r, k] * w[k, c]

A *word* is an int32 that holds neighbours along ``k``: four bytes, of ``x`` without a sign, if the processor has an
instruction for the sum of their products (``vpdpbusd``), else two int16, for which all of x86 has one (``vpmaddwd``).
Both are exact, and faster than a product in float32. No loop in Python makes a compiler keep a tile of ``total`` in
registers, so the tiles are written here as LLVM's intermediate code; what surrounds them is ordinary Numba: `linear`.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import extending
from numba.core import cgutils, config, types

intrinsic: Any = extending.intrinsic  # by its annotations, what it makes could not be called

GIVEN: str | None = config.CPU_FEATURES  # type: ignore[attr-defined]
FEATURES = (llvm.get_host_cpu_features().flatten() if GIVEN is None else GIVEN).split(",")
LANES = 16 if "+avx512bw" in FEATURES else 8 if "+avx2" in FEATURES else 4
"""Totals in a vector register."""

BYTES = LANES == 16 and "+avx512vnni" in FEATURES
DEPTH = 4 if BYTES else 2
"""Values in a word of `multiply_tile`."""

CODE, WEIGHT = (np.uint8, np.int8) if BYTES else (np.int16, np.int16)
"""Types of the values in a word of `multiply_tile`, left and right."""

ROWS, PANEL = (12 if LANES == 16 else 4), 2 * LANES
"""Rows and columns of the tile of `multiply_tile`: as many vectors as the registers hold beside the operands."""

PIXELS = 8
"""Rows of the tile of `slide_tile`, which is one vector wide."""

INT, SIZE = ir.IntType(32), ir.IntType(64)
WORDS, PRODUCTS = ir.VectorType(INT, LANES), ir.VectorType(INT, 2 * LANES)
HALVES = ir.VectorType(ir.IntType(16), 2 * LANES)

Vector = Callable[[int], ir.Value]
"""From the row or the column of a tile to an operand."""


class _Words:
    """An array of int32 that a function was given."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: types.Array, value: ir.Value):
        array = context.make_array(kind)(context, builder, value)
        self.builder, self.data = builder, array.data
        self.shape, self.strides = (cgutils.unpack_tuple(builder, part) for part in (array.shape, array.strides))

    def pointer(self, *indices: ir.Value | int) -> ir.Value:
        """To the vector that begins at ``indices``; axes that are left out are at 0."""
        place: ir.Value = SIZE(0)
        for index, stride in zip(indices, self.strides):
            index = SIZE(index) if isinstance(index, int) else index
            place = self.builder.add(place, self.builder.mul(index, stride))
        return cgutils.pointer_add(self.builder, self.data, place, WORDS.as_pointer())

    def vector(self, *indices: ir.Value | int) -> ir.Value:
        """The words from ``indices`` on."""
        return self.builder.load(self.pointer(*indices), align=4)

    def everywhere(self, *indices: ir.Value | int) -> ir.Value:
        """One word in all places of a vector."""
        word = self.builder.load(self.builder.bitcast(self.pointer(*indices), INT.as_pointer()), align=4)
        first = self.builder.insert_element(ir.Constant(WORDS, ir.Undefined), word, INT(0))
        return self.builder.shuffle_vector(first, first, ir.Constant(WORDS, [0] * LANES))


def _add_pairs(builder: ir.IRBuilder, total: ir.Value, x: ir.Value, w: ir.Value) -> ir.Value:
    """``total + x[2c] * w[2c] + x[2c + 1] * w[2c + 1]``, the words being two int16."""
    x, w = (builder.sext(builder.bitcast(words, HALVES), PRODUCTS) for words in (x, w))
    product = builder.mul(x, w)
    for first in (0, 1):
        places = ir.Constant(WORDS, [*range(first, 2 * LANES, 2)])
        total = builder.add(total, builder.shuffle_vector(product, product, places))
    return total


def _add_quads(builder: ir.IRBuilder, total: ir.Value, x: ir.Value, w: ir.Value) -> ir.Value:
    """The same for words of four bytes, those of ``x`` without a sign."""
    kind = ir.FunctionType(WORDS, [WORDS] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, INSTRUCTION), [total, x, w])


INSTRUCTION = "llvm.x86.avx512.vpdpbusd.512"


class _Tile:
    """Totals that stay in registers, 0 at first: ``rows`` times ``columns`` vectors."""

    def __init__(self, builder: ir.IRBuilder, rows: int, columns: int, add: Callable[..., ir.Value]):
        self.builder, self.rows, self.columns, self.add = builder, rows, columns, add
        self.totals = {(r, c): cgutils.alloca_once(builder, WORDS) for r in range(rows) for c in range(columns)}
        for place in self.totals.values():
            builder.store(ir.Constant(WORDS, None), place)

    def add_products(self, x: Vector, w: Vector) -> None:
        """Of each row's ``x`` and each column's ``w``."""
        right = [w(c) for c in range(self.columns)]
        for r in range(self.rows):
            left = x(r)
            for c in range(self.columns):
                total = self.add(self.builder, self.builder.load(self.totals[r, c]), left, right[c])
                self.builder.store(total, self.totals[r, c])

    def store(self, out: _Words) -> None:
        for (r, c), place in self.totals.items():
            self.builder.store(self.builder.load(place), out.pointer(r, c * LANES), align=4)


@intrinsic
def multiply_tile(typing: Any, x: types.Type, w: types.Type, total: types.Type) -> Any:
    """``total = x @ w``: words (ROWS, n), words (n, PANEL), int32 (ROWS, PANEL)."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        left, right, out = (_Words(context, builder, kind, value) for kind, value in zip(signature.args, values))
        tile = _Tile(builder, ROWS, PANEL // LANES, _add_quads if BYTES else _add_pairs)
        with cgutils.for_range(builder, right.shape[0]) as loop:
            k = loop.index
            tile.add_products(lambda r: left.everywhere(r, k), lambda c: right.vector(k, c * LANES))
        tile.store(out)
        return context.get_dummy_value()

    return types.void(x, w, total), generate


@intrinsic
def slide_tile(
    typing: Any, x: types.Type, w: types.Type, stride: types.Type, dilation: types.Type, total: types.Type
) -> Any:
    """``total[r] = sum over i, j of x[i, r * stride + j * dilation] * w[i, j]``, place by place in vectors.

    Words of two int16 (n, pixels, LANES) and (n, width, LANES); int32 (PIXELS, LANES).
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        left, right, out = (_Words(context, builder, signature.args[k], values[k]) for k in (0, 1, 4))
        step, apart = values[2:4]
        tile = _Tile(builder, PIXELS, 1, _add_pairs)
        with cgutils.for_range(builder, right.shape[0]) as rows, cgutils.for_range(builder, right.shape[1]) as columns:
            i, j = rows.index, columns.index
            first = builder.mul(j, apart)
            tile.add_products(
                lambda r: left.vector(i, builder.add(first, builder.mul(SIZE(r), step))), lambda c: right.vector(i, j)
            )
        tile.store(out)
        return context.get_dummy_value()

    return types.void(x, w, types.int64, types.int64, total), generate


@intrinsic
def wide_vectors(typing: Any) -> Any:
    """Lets the loops of the function that calls it use whole vector registers, of which LLVM takes half on some x86."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # not among those that llvmlite knows
        return context.get_dummy_value()

    return types.void(), generate
