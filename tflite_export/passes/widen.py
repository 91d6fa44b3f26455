"""int16 feature maps (16x8): the grids that kernels prescribe for int8 give way to those that they prescribe for int16.

    SOFTMAX, LOGISTIC, TANH:   step 1/32768, zero point 0

Requires: a float graph whose only feature maps of 8 bits are results of these ops and what ``place_grids`` made of
them. Ensures: no feature map has 8 bits; every op has an int16 kernel in LiteRT. Tolerance: none, float results are
equal.

Raises ValueError that names the layers without such a kernel, all of them.
"""

import numpy as np

from tflite_export.ir import Graph, Op, Quantization
from tflite_export.passes.draft import Draft
from tflite_export.passes.place_grids import place_grids

PRESCRIBED = ("SOFTMAX", "LOGISTIC", "TANH")
"""Ops that deliver one grid only."""

KERNELS = (
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED",
    "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PAD", "PADV2", "QUANTIZE", "RELU", "RELU6",
    "RESHAPE", "SOFTMAX", "SQUEEZE", "STRIDED_SLICE", "SUB", "TRANSPOSE",
)  # fmt: skip
"""Ops whose int16 kernels are proven here against the reference kernels."""


def widen(graph: Graph) -> Graph:
    """The pass."""
    lacking = [f"'{graph.tensors[op.outputs[0]].name}' ({op.kind})" for op in graph.ops if op.kind not in KERNELS]
    if lacking:
        raise ValueError(
            "activation_type='int16' must find an int16 kernel in LiteRT for every layer. "
            f"Received: {', '.join(lacking)}. Export with activation_type='int8', or replace these layers."
        )
    draft, made = Draft(graph), {t: op for op in graph.ops for t in op.outputs}
    for t, tensor in enumerate(graph.tensors):
        if tensor.data is None and tensor.quantization is not None and tensor.quantization.bits <= 8:
            draft.change(t, quantization=prescribed() if _is_prescribed(made.get(t)) else None)
    return place_grids(draft.graph())


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
    wide = activation_type == "int16"
    grids = [(t.name, t.quantization.bits) for t in graph.tensors if t.data is None and t.quantization is not None]
    strangers = [f"'{name}' ({bits} bits)" for name, bits in grids if (bits > 8) != wide]
    if strangers:
        wanted = "transforms of 16 bits, or unsigned ones of 15" if wide else "transforms of at most 8 bits"
        remedy = "" if wide else ", or export with activation_type='int16'"
        raise ValueError(
            f"activation_type={activation_type!r} must find {wanted} on feature maps. "
            f"Received: {', '.join(strangers)}. Give them others, or none and measure the ranges: "
            f"tfcompress.compress(model, {{'.*': {{'output': None}}}}), representative_dataset=x{remedy}."
        )
