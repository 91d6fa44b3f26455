"""Float inputs and outputs for an integer graph: QUANTIZE behind the inputs, DEQUANTIZE in front of the outputs.

Requires: an integer graph. Ensures: the chosen borders are float32, but for token numbers, which stay int32; the
integers between them are bit-identical.
"""

from collections.abc import Callable
from dataclasses import replace

from tflite_export.ir import Graph, Op
from tflite_export.passes.draft import Draft


def float_borders(inputs: bool, outputs: bool) -> Callable[[Graph], Graph]:
    """The pass for inputs, outputs, both or neither."""

    def convert(graph: Graph) -> Graph:
        draft = Draft(graph)
        for position, t in enumerate(graph.inputs if inputs else ()):
            if graph.tensors[t].quantization is None:
                continue
            draft.inputs[position] = _float(draft, t, "float")
            draft.ops.insert(0, Op("QUANTIZE", (draft.inputs[position],), (t,)))
        made: dict[int, int] = {}
        for position, t in enumerate(graph.outputs if outputs else ()):
            if t not in made:
                made[t] = _float(draft, t, "dequantized")
                draft.ops.append(Op("DEQUANTIZE", (t,), (made[t],)))
            draft.outputs[position] = made[t]
        return draft.graph()

    return convert


def _float(draft: Draft, t: int, suffix: str) -> int:
    tensor = draft.tensors[t]
    return draft.add(replace(tensor, name=f"{tensor.name}/{suffix}", dtype="float32", quantization=None))
