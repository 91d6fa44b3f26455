"""The weights of each layer of a graph, with what the report shows of them."""

from dataclasses import dataclass

import numpy as np

from tflite_export.ir import Graph, Tensor
from tflite_export.npu.weights import Weights, measure

WEIGHT_OPERAND = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1}
"""Op kind -> which of its inputs holds the weights."""


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one layer.

    Attributes:
        layer: Name of the op's output.
        tensor: The constant.
        values: Its codes (or floats).
        measured: Counts and bytes.
    """

    layer: str
    tensor: Tensor
    values: np.ndarray
    measured: Weights

    @property
    def is_coded(self) -> bool:
        """The values are integer codes, not floats."""
        return not self.tensor.dtype.startswith("float")

    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Codes that occur, ascending, and the share of the weights on each, in percent."""
        codes, counts = np.unique(self.values, return_counts=True)
        return codes, 100 * counts / counts.sum()

    def grid(self) -> str:
        """The grid in words: ``4 bits, step 0.0121 to 0.0533``."""
        if self.tensor.quantization is None or not self.is_coded:
            return self.tensor.dtype
        scale = self.tensor.quantization.scale
        low, high = f"{scale.min():.3g}", f"{scale.max():.3g}"
        return f"{self.tensor.quantization.bits} bits, step {low if low == high else f'{low} to {high}'}"


def layer_weights(graph: Graph) -> list[LayerWeights]:
    """Layers with constant weights, in execution order."""
    found = []
    for op in graph.ops:
        if op.kind in WEIGHT_OPERAND:
            tensor = graph.tensors[op.inputs[WEIGHT_OPERAND[op.kind]]]
            if tensor.data is not None and tensor.data.size:
                found.append(LayerWeights(graph.tensors[op.outputs[0]].name, tensor, tensor.data, measure(tensor)))
    return found
