"""Folds a multiplication by one positive number into all the linear ops behind it.

    W (a x) + b  =  (W a) x + b,        a > 0

A Rescaling by 1/255 in front of a network so costs nothing. Where ``a x`` lies on a trained grid of step ``s``, ``x``
lies on the same codes with step ``s / a``.

Requires: a float graph. Ensures: no such MUL is left, unless something besides linear ops reads it, or trained
grids in front of it and behind it ask for two roundings. Tolerance: float32 rounding of weights and step.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph
from tflite_export.passes.draft import OUTSIDE, Draft, Links, rewrite
from tflite_export.passes.fold_affine import is_affine
from tflite_export.passes.linear import CHANNEL_AXIS, is_linear, operands, scaled, with_operands


def fold_scale(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _fold)


def _fold(graph: Graph, links: Links, k: int) -> Graph | None:
    op = graph.ops[k]
    if op.kind != "MUL" or not is_affine(graph, op):
        return None
    (x, constant), (y,) = op.inputs, op.outputs
    factor, readers = np.unique(np.asarray(graph.tensors[constant].data, np.float64)), links.readers[y]
    behind = {r: graph.ops[r] for r in readers if r != OUTSIDE}
    linear = OUTSIDE not in readers and all(is_linear(graph, r) and y not in operands(r)[1:] for r in behind.values())
    if not linear or len(factor) != 1 or factor[0] <= 0 or not _grid_moves(graph, links, x, y):
        return None
    draft = Draft(graph)
    grid = graph.tensors[y].quantization
    if grid is not None:
        draft.change(x, quantization=replace(grid, scale=(grid.scale / factor).astype(np.float32)))
    for r, reader in behind.items():
        _, kernel, bias = operands(reader)
        weight, axis = graph.tensors[kernel], CHANNEL_AXIS[reader.kind]
        weight = scaled(weight, np.broadcast_to(factor, (weight.shape[axis],)), axis)
        draft.ops[r] = with_operands(reader, x, draft.add(weight), bias)
    del draft.ops[k]
    return draft.graph()


def _grid_moves(graph: Graph, links: Links, x: int, y: int) -> bool:
    """Whether the grid of ``y``, if it has one, may become the grid of ``x``."""
    return graph.tensors[y].quantization is None or (
        graph.tensors[x].quantization is None and links.only_reader(x) is not None
    )
