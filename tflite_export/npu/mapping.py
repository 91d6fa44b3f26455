"""How a layer of products gets onto the array: cores, Winograd tiles, the weight decoder, and what switches.

Cores share a layer: its filters (or groups), or its rows of output, whichever is done sooner; the slowest core is what
the layer takes. A convolution goes through Winograd's algorithm if the machine has it and it takes fewer cycles so.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from tflite_export.npu import winograd
from tflite_export.npu.loops import Loops, ceil_div
from tflite_export.npu.machine import Machine
from tflite_export.npu.multipliers import BINS, SHIFTS, product_bits, sigma
from tflite_export.npu.values import RESTING, Values
from tflite_export.npu.weights import Weights
from tflite_export.npu.work import Arithmetic, Cost, Work, in_turn, side_by_side


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of products: its loop nest, its weights and what is known of its operands.

    Attributes:
        loops: Extents.
        weights: As they are stored and travel.
        codes: Their values, zero being 0: (filters of all groups, taps).
        inputs: Where the inputs are not zero: bool, (groups, positions, taps); None if nothing is known.
        depthwise: One input channel a group.
    """

    loops: Loops
    weights: Weights
    codes: np.ndarray
    inputs: np.ndarray | None = None
    depthwise: bool = False


def on_array(layer: Layer, machine: Machine) -> Cost:
    """The cost of a layer of products."""
    loops, codes = layer.loops, layer.codes
    values = Values(codes, layer.inputs, machine.weight_zeros, machine.activation_zeros)
    _check_shifts(machine, values)
    moved = layer.weights.moved_bytes(machine.weight_format)
    work = _work(loops, values, moved, machine, layer.depthwise)
    direct = Cost(
        _decoded(work, layer.weights, machine),
        macs=loops.macs,
        weights=layer.weights,
        loops=loops,
        accumulator_bits=_accumulator_bits(loops, codes),
        **_executed(machine, loops, values),
    )
    tiles = winograd.products(loops, codes, machine.winograd) if machine.winograd else None
    options = [direct] if tiles is None else [direct, _by_tiles(direct, tiles, machine)]
    return min(options, key=lambda cost: cost.work.cycles)


def _work(loops: Loops, values: Values, weight_bytes: int, machine: Machine, depthwise: bool = False) -> Work:
    """Shared between the cores in the way that is fastest where no value is zero."""
    run = machine.array.depthwise if depthwise else machine.array.convolution
    if machine.cores == 1:
        return run(loops, weight_bytes, values)

    def together(way: Sequence[tuple[Loops, Values]], known: bool) -> Work:
        shares = [(part, ceil_div(weight_bytes * part.filters, loops.filters), of) for part, of in way]
        works = [run(part, size, of if known else None) for part, size, of in shares]
        return side_by_side([*works, *[Work()] * (machine.cores - len(works))])

    ways = [list(share(loops, values, machine.cores)) for share in (_by_filters, _by_rows)]
    best = min((way for way in ways if way), key=lambda way: together(way, known=False).cycles)
    return together(best, known=True)


def _decoded(work: Work, weights: Weights, machine: Machine) -> Work:
    if machine.decoder is None:
        return work
    return machine.decoder.delay(work, weights, machine.weight_format, machine.weight_zeros == "skipped")


def _by_filters(loops: Loops, values: Values, cores: int) -> Iterator[tuple[Loops, Values]]:
    everything = slice(None)
    for part in _shares(loops.groups if loops.groups > 1 else loops.n, cores):
        size = part.stop - part.start
        if loops.groups > 1:
            filters = slice(part.start * loops.n, part.stop * loops.n)
            yield replace(loops, groups=size), values.part(filters, part, everything)
        else:
            yield replace(loops, out_channels=size), values.part(part, everything, everything)


def _by_rows(loops: Loops, values: Values, cores: int) -> Iterator[tuple[Loops, Values]]:
    everything = slice(None)
    if loops.batch > 1 or loops.out_h == 1:
        return
    for part in _shares(loops.out_h, cores):
        rows = part.stop - part.start
        read = min((rows - 1) * loops.stride_h + (loops.kernel_h - 1) * loops.dilation_h + 1, loops.in_h)
        positions = slice(part.start * loops.out_w, part.stop * loops.out_w)
        yield replace(loops, out_h=rows, in_h=read), values.part(everything, everything, positions)


def _shares(extent: int, cores: int) -> Iterator[slice]:
    size = ceil_div(extent, cores)
    return (slice(start, min(start + size, extent)) for start in range(0, extent, size))


def _executed(machine: Machine, loops: Loops, values: Values) -> dict[str, Any]:
    """Products that took time and, in units of the array's peak rate, how busy they kept it; and what switched."""
    array = machine.array
    steps = values.steps(loops, array.multiplier) if array.KIND == "parallel" else loops.macs
    rate = min(sigma(array.multiplier, array.multiplier_bits, loops), Fraction(1))
    return {
        "executed": values.steps(loops, "fixed"),
        "busy": math.floor(steps * rate),
        "arithmetic": (_arithmetic(machine, loops, values),),
    }


def _arithmetic(machine: Machine, loops: Loops, values: Values) -> Arithmetic:
    kind, width = machine.array.multiplier, machine.array.multiplier_bits
    switched = values.steps(loops, kind, RESTING)
    bits = product_bits(kind, width, loops)
    if kind in SHIFTS:
        return Arithmetic(sums=switched, shifts=switched, bits=bits)
    bins = np.unique(values.codes[values.codes != 0]).size if kind == "binned" else 0
    if 0 < bins <= BINS and bins < loops.k:
        products = loops.m * loops.filters * bins
        return Arithmetic(products, switched + products, bits=bits)
    return Arithmetic(switched, switched, bits=bits)


def _by_tiles(direct: Cost, tiles: winograd.Products, machine: Machine) -> Cost:
    """The same layer by Winograd's algorithm."""
    loops, values = tiles.loops, Values(tiles.codes, None, machine.weight_zeros)
    grown_bytes = ceil_div(tiles.codes.size * loops.weight_bits, 8)
    products = _work(loops, values, grown_bytes, machine)
    read = tiles.input_bytes + loops.out_bytes  # the map, and the products
    summed = machine.vector.work(tiles.sums, read, loops.unfolded_bytes + tiles.output_bytes)
    work = _decoded(replace(in_turn([products, summed]), weight_reads=1), direct.weights, machine)
    parts = {name: getattr(direct.work, name) for name in ("input_parts", "weight_parts", "output_parts")}
    found = _executed(machine, loops, values)
    found["arithmetic"] += (Arithmetic(sums=tiles.sums),)
    name, sums = f"winograd {machine.winograd}x{machine.winograd}", tiles.accumulator_bits
    return replace(direct, work=replace(work, **parts), algorithm=name, accumulator_bits=sums, **found)


def _accumulator_bits(loops: Loops, codes: np.ndarray) -> int:
    """Sign, and the largest sum of products that the weights make of any input of its width."""
    largest = int(np.abs(codes.astype(np.int64)).sum(1).max(initial=0)) * (2 ** loops.widths[1] - 1)
    return 1 + largest.bit_length()


def _check_shifts(machine: Machine, values: Values) -> None:
    if machine.array.multiplier == "shift_only" and values.most_digits > 1:
        codes = np.unique(values.codes)
        wrong = [int(code) for code in codes if Values(code.reshape(1, 1)).most_digits > 1]
        raise ValueError(
            f"the machine shifts instead of multiplying, so all codes must be powers of two or 0. Received: "
            f"{', '.join(map(str, wrong[:8]))}{', ...' if len(wrong) > 8 else ''}. Train with "
            "`LookUpTable(values='power_of_two')`, or use a machine with `multiplier = \"shift\"`, which takes a step "
            "for each signed digit"
        )
