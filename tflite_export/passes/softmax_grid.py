"""Gives outputs of some ops the one grid that TFLite has for them.

    SOFTMAX, LOGISTIC    step 1/256, zero point -128

A trained grid behind one is reached by a RESHAPE that moves nothing, which ``requantize`` turns into a QUANTIZE.

Requires: a float graph. Ensures: as above. Tolerance: none, float results are equal.

Raises ValueError where a trained grid is finer: no kernel delivers it.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Op, Quantization
from tflite_export.passes.draft import Draft, Links, rewrite

SMALLEST_STEP = 2.0**-26
"""``beta`` times the step of the input of a SOFTMAX must be larger, or the reference kernels abort the process."""

FIXED = ("SOFTMAX", "LOGISTIC")
"""Ops whose kernels deliver one grid only."""


def grid() -> Quantization:
    """Step 1/256, zero point -128."""
    return Quantization(np.array([1 / 256], np.float32), np.array([-128], np.int64))


def softmax_grid(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _fix)


def _fix(graph: Graph, links: Links, k: int) -> Graph | None:
    op, (y, *_) = graph.ops[k], graph.ops[k].outputs
    if op.kind not in FIXED or graph.tensors[y].quantization == grid():
        return None
    draft, result = Draft(graph), graph.tensors[y]
    if result.quantization is None:
        draft.change(y, quantization=grid())
        return draft.graph()
    name = op.kind.lower()
    if result.quantization.scale[0] < grid().scale[0]:
        raise ValueError(
            f"'{result.name}': a {name} delivers steps of 1/256 in TFLite; its transform must not ask for finer ones. "
            f"Received: step={result.quantization.scale[0]:.3g}. Take the transform away, which needs no training: "
            f"tfcompress.compress(model, {{'{result.name.removesuffix('_output')}': {{'output': None}}}})."
        )
    shares = draft.add(replace(result, name=f"{result.name}/{name}", quantization=grid()))
    operand = draft.constant(f"{result.name}/shape", np.array(result.shape, np.int32))
    move = Op("RESHAPE", (shares, operand), (y,), {"new_shape": result.shape})
    draft.ops[k : k + 1] = [replace(op, outputs=(shares,)), move]
    return draft.graph()
