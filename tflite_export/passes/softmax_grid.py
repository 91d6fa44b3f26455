"""Gives outputs of some ops the one grid that TFLite has for them.

    SOFTMAX, LOGISTIC         step 1/256, zero point -128
    TANH, L2_NORMALIZATION    step 1/128, zero point 0

A trained grid behind one is reached by a RESHAPE that moves nothing, which ``requantize`` turns into a QUANTIZE. A TANH
delivers it by itself.

Requires: a float graph. Ensures: as above. Tolerance: none, float results are equal.

Raises ValueError where a trained grid is finer: no kernel delivers it.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Op, Quantization
from tflite_export.passes.draft import Draft, Links, rewrite

SMALLEST_STEP = 2.0**-26
"""``beta`` times the step of the input of a SOFTMAX must be larger, or the reference kernels abort the process."""

FIXED = {
    **dict.fromkeys(("SOFTMAX", "LOGISTIC"), (1 / 256, -128)),
    **dict.fromkeys(("TANH", "L2_NORMALIZATION"), (1 / 128, 0)),
}
"""Ops that have one grid, by their kernels or by TFLite's specification: its step and its zero point."""

FREE = ("TANH",)
"""Ops among them whose int8 kernel delivers others as well."""


def grid(kind: str = "SOFTMAX") -> Quantization:
    """The grid that ops of a kind deliver."""
    step, zero_point = FIXED[kind]
    return Quantization(np.array([step], np.float32), np.array([zero_point], np.int64))


def softmax_grid(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _fix)


def _fix(graph: Graph, links: Links, k: int) -> Graph | None:
    op, (y, *_) = graph.ops[k], graph.ops[k].outputs
    if op.kind not in FIXED or graph.tensors[y].quantization == grid(op.kind):
        return None
    draft, result, only = Draft(graph), graph.tensors[y], grid(op.kind)
    if result.quantization is None:
        draft.change(y, quantization=only)
        return draft.graph()
    if op.kind in FREE:
        return None
    name = op.kind.lower()
    if result.quantization.scale[0] < only.scale[0]:
        raise ValueError(
            f"'{result.name}': a {name} delivers steps of 1/{1 / only.scale[0]:.0f} in TFLite; its transform must not "
            f"ask for finer ones. Received: step={result.quantization.scale[0]:.3g}. Take the transform away, which "
            "needs no training: "
            f"tfcompress.compress(model, {{'{result.name.removesuffix('_output')}': {{'output': None}}}})."
        )
    return delivering(graph, k, only)


def delivering(graph: Graph, k: int, only: Quantization) -> Graph:
    """The graph whose op ``k`` delivers the grid ``only``, and a RESHAPE that leads from there to the one it had."""
    draft, op, (y, *_) = Draft(graph), graph.ops[k], graph.ops[k].outputs
    result = graph.tensors[y]
    shares = draft.add(replace(result, name=f"{result.name}/{op.kind.lower()}", quantization=only))
    operand = draft.constant(f"{result.name}/shape", np.array(result.shape, np.int32))
    move = Op("RESHAPE", (shares, operand), (y,), {"new_shape": result.shape})
    draft.ops[k : k + 1] = [replace(op, outputs=(shares,)), move]
    return draft.graph()
