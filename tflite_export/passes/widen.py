"""int16 feature maps (16x8): the grids that kernels prescribe for int8 give way to those that they prescribe for int16.

    SOFTMAX, LOGISTIC, TANH:   step 1/32768, zero point 0
    states between -1 and 1:   step 1/32768, zero point 0
    zeros and ones:            step 1, zero point 0
    table of an embedding:     its own step, in int16

Requires: a float graph whose only feature maps of 8 bits are results of these ops, states of recurrent layers, and what
``place_grids`` made of them. Ensures: no feature map has 8 bits; every op has an int16 kernel in LiteRT, and one that
computes its function. Tolerance: none, float results are equal.

Raises ValueError that names the layers without such a kernel, all of them.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Op, Quantization
from tflite_export.passes.binary import binary_grid, is_binary
from tflite_export.passes.draft import Draft, Links, rewrite
from tflite_export.passes.place_grids import place_grids
from tflite_export.passes.softmax_grid import delivering
from tflite_export.passes.softmax_grid import grid as fixed

PRESCRIBED = ("SOFTMAX", "LOGISTIC", "TANH")
"""Ops that deliver one grid only."""

KERNELS = (
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "EXP", "FULLY_CONNECTED",
    "GATHER", "GELU", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PACK", "PAD",
    "PADV2", "PRELU", "QUANTIZE", "RELU", "RELU6", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
    "REVERSE_V2", "SOFTMAX", "SQUEEZE", "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE", "TRANSPOSE_CONV",
)  # fmt: skip
"""Ops whose int16 kernels are proven here against the reference kernels."""

COARSE = {"RSQRT": "whose int16 kernel draws straight lines between 256 points, and near 0 the root is far from them"}
"""Ops that have an int16 kernel, which is not to be used."""

BETWEEN_ONES = fixed("TANH")
"""The grid of 8 bits that a lowering gives to states of recurrent layers."""


def widen(graph: Graph) -> Graph:
    """The pass."""
    lacking = [_named(graph, op) for op in graph.ops if op.kind not in KERNELS]
    if lacking:
        raise ValueError(
            "activation_type='int16' must find an int16 kernel in LiteRT for every layer. "
            f"Received: {', '.join(lacking)}. Export with activation_type='int8', or replace these layers."
        )
    draft = Draft(rewrite(graph, _prescribe))
    made = {t: op for op in draft.ops for t in op.outputs}
    for t in {op.inputs[0] for op in draft.ops if op.kind == "GATHER"}:
        if grid := draft.tensors[t].quantization:
            draft.change(t, quantization=replace(grid, bits=16))
    for t, tensor in enumerate(draft.tensors):
        if tensor.data is None and tensor.quantization is not None and tensor.quantization.bits <= 8:
            draft.change(t, quantization=_wide(tensor.quantization, made.get(t)))
    return place_grids(draft.graph())


def _named(graph: Graph, op: Op) -> str:
    reason = f", {COARSE[op.kind]}" if op.kind in COARSE else ""
    return f"'{graph.tensors[op.outputs[0]].name}' ({op.kind}{reason})"


def _prescribe(graph: Graph, links: Links, k: int) -> Graph | None:
    """A grid that was trained behind a TANH, whose int16 kernel delivers one only, is reached by a RESHAPE."""
    op, grid = graph.ops[k], graph.tensors[graph.ops[k].outputs[0]].quantization
    own = grid is None or grid.bits <= 8 or grid == prescribed()
    return None if op.kind != "TANH" or own else delivering(graph, k, prescribed())


def _wide(grid: Quantization, maker: Op | None) -> Quantization | None:
    if is_binary(grid):
        return binary_grid(wide=True)
    return prescribed() if _is_prescribed(maker) or grid == BETWEEN_ONES else None


def prescribed() -> Quantization:
    """Step 1/32768, zero point 0."""
    return Quantization(np.array([1 / 32768], np.float32), np.array([0], np.int64), bits=16)


def _is_prescribed(op: Op | None) -> bool:
    return op is not None and op.kind in PRESCRIBED


def check_trained(graph: Graph, activation_type: str) -> None:
    """Refuses a graph from Keras whose trained feature maps do not fit ``activation_type``.

    Raises:
        ValueError: Names the layers.
    """
    wide, moved = activation_type == "int16", {t for op in graph.ops if op.kind == "RESHAPE" for t in op.outputs}
    grids = [
        (tensor.name, grid.bits)
        for t, tensor in enumerate(graph.tensors)
        if tensor.data is None and (grid := tensor.quantization) is not None and (t in moved or not _of_states(grid))
    ]
    strangers = [f"'{name}' ({bits} bits)" for name, bits in grids if bits > 1 and (bits > 8) != wide]
    if strangers:
        wanted = "transforms of 16 bits, or unsigned ones of 15" if wide else "transforms of at most 8 bits"
        remedy = "" if wide else ", or export with activation_type='int16'"
        raise ValueError(
            f"activation_type={activation_type!r} must find {wanted} on feature maps. "
            f"Received: {', '.join(strangers)}. Give them others, or none and measure the ranges: "
            f"tfcompress.compress(model, {{'.*': {{'output': None}}}}), representative_dataset=x{remedy}."
        )


def _of_states(grid: Quantization) -> bool:
    """Whether a lowering chose the grid for what goes round in a recurrent layer; trained ones stand on a RESHAPE."""
    return grid in (BETWEEN_ONES, fixed("LOGISTIC"))
