"""Grids for the weights that no Transform gave one, one step per output channel.

    scale = max |w| / (2**(bits - 1) - 1),    raised to the next power of two if asked

Requires: a float graph, everything folded that will be. Ensures: the weight of every linear op has a grid.
Tolerance: none, the values stay until ``quantize`` rounds them.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Quantization, Tensor
from tflite_export.passes.draft import Draft, remove_dead
from tflite_export.passes.linear import CHANNEL_AXIS, is_linear, operands, with_operands
from tflite_export.passes.place_grids import raised


def weight_grids(bits: int = 8, power_of_two: bool = False) -> Callable[[Graph], Graph]:
    """The pass.

    Raises:
        ValueError: ``bits`` is not between 2 and 8.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"`weight_bits` must be between 2 and 8. Received: weight_bits={bits}")

    def place(graph: Graph) -> Graph:
        draft = Draft(graph)
        for k, op in enumerate(graph.ops):
            if not is_linear(graph, op):
                continue
            x, weight, bias = operands(op)
            if graph.tensors[weight].quantization is None:
                covering = covered(graph.tensors[weight], CHANNEL_AXIS[op.kind], bits, power_of_two)
                draft.ops[k] = with_operands(op, x, draft.add(covering), bias)
        return remove_dead(draft.graph())

    return place


def covered(weight: Tensor, axis: int, bits: int = 8, power_of_two: bool = False) -> Tensor:
    """``weight`` with a grid that covers the largest weight of each channel along ``axis``."""
    data = np.asarray(weight.data)
    largest = np.abs(data).max(tuple(k for k in range(data.ndim) if k != axis)).astype(np.float64)
    scale = np.where(largest > 0, largest / (2 ** (bits - 1) - 1), 1.0).astype(np.float32)
    if power_of_two:
        scale = raised(np.maximum(scale, np.finfo(np.float32).tiny))
    return replace(weight, quantization=Quantization(scale, np.zeros(len(scale), np.int64), axis=axis, bits=bits))
