"""Grids for the tables of embeddings that no Transform gave one, one step for the whole table.

    scale = max |w| / (2**(bits - 1) - 1),    raised to the next power of two if asked

Every row counts, also those that the representative data never asks for. Where what the table delivers has a grid
already, ``place_grids`` has put the table on it.

Requires: a float graph, and ``place_grids``. Ensures: every table that a GATHER reads has a grid, and so has what is
read. Tolerance: none, the values stay until ``quantize`` rounds them.
"""

from collections.abc import Callable

import numpy as np

from tflite_export.ir import Graph, Quantization
from tflite_export.passes.draft import Draft
from tflite_export.passes.place_grids import place_grids, raised


def table_grids(bits: int = 8, power_of_two: bool = False) -> Callable[[Graph], Graph]:
    """The pass, for codes of so many bits."""

    def place(graph: Graph) -> Graph:
        draft = Draft(graph)
        for op in graph.ops:
            table = graph.tensors[op.inputs[0]] if op.inputs else None
            if op.kind == "GATHER" and table is not None and table.data is not None and table.quantization is None:
                draft.change(op.inputs[0], quantization=_covering(table.data, bits, power_of_two))
        return place_grids(draft.graph())

    return place


def _covering(data: np.ndarray, bits: int, power_of_two: bool) -> Quantization:
    largest = float(np.abs(data).max(initial=0))
    scale = np.array([largest / (2 ** (bits - 1) - 1) if largest else 1.0], np.float32)
    scale = np.maximum(scale, np.finfo(np.float32).tiny)
    return Quantization(raised(scale) if power_of_two else scale, np.zeros(1, np.int64), bits=bits)
