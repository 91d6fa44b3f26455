"""Runs a graph and leaves out what gates multiply by zero: filters, and the input channels that others would see.

One sample at a time. The gates come first; a convolution or fully connected layer then runs on the filters that are on
and on the input channels that are not zero, as a smaller op with the kernel that it always has. What is left out is
filled with the code of zero. The outputs are those of the whole graph, bit for bit.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.channel_masks import LINEAR, Mask, deciding, off_behind, order, zero_code, zeros
from tflite_export.interpreter.executor import Executor
from tflite_export.interpreter.kernels import KERNELS
from tflite_export.interpreter.operands import Kernel
from tflite_export.interpreter.parts import Part, part_of
from tflite_export.ir import STORAGE, Graph

KEPT = 256
"""How many smaller ops are kept ready."""


class SkippingExecutor:
    """A graph made ready to run sample by sample.

    Args:
        graph: Float or integer graph for batch 1, without state.

    Attributes:
        gates: Linear op -> the tensor that decides on its filters.

    Raises:
        ValueError: The graph was made for more than one sample, or keeps state.
        UnsupportedOp: An op has no kernel.
    """

    def __init__(self, graph: Graph) -> None:
        if any(graph.tensors[t].shape[:1] != (1,) for t in graph.inputs) or any(t.is_variable for t in graph.tensors):
            raise ValueError("Channels are left out sample by sample: the model must have batch 1 and keep no state.")
        Executor(graph)  # refuses what cannot run
        self.graph, self.gates = graph, deciding(graph)
        self.order = order(graph, self.gates)
        self._kernels = {k: KERNELS[op.kind](op, graph.tensors) for k, op in enumerate(graph.ops)}
        self._parts: dict[tuple[int, bytes, bytes], tuple[Part, Kernel | None]] = {}

    def run(self, inputs: Sequence[np.ndarray]) -> tuple[dict[int, np.ndarray], dict[int, Part]]:
        """Computes one sample.

        Args:
            inputs: One array per graph input, of its type and shape.

        Returns:
            The value of every tensor by its index, zero where it was left out; and what was computed of each linear op.
        """
        values = {k: t.data for k, t in enumerate(self.graph.tensors) if t.data is not None}
        values.update(zip(self.graph.inputs, inputs, strict=True))
        off: dict[int, Mask] = {}
        parts: dict[int, Part] = {}
        for k in self.order:
            op = self.graph.ops[k]
            if op.kind in LINEAR:
                parts[k], values[op.outputs[0]] = self._linear(k, values, off)
                continue
            results = self._kernels[k](*(values[t] if t >= 0 else None for t in op.inputs))
            values.update(zip(op.outputs, results))
            mask = off_behind(self.graph, op, values, off)
            if mask is not None:
                off[op.outputs[0]] = mask
        return values, parts

    def _linear(self, k: int, values: dict[int, np.ndarray], off: dict[int, Mask]) -> tuple[Part, np.ndarray]:
        """What is computed of a linear op, and its output."""
        op, tensors = self.graph.ops[k], self.graph.tensors
        x, y, gate = op.inputs[0], tensors[op.outputs[0]], self.gates.get(k)
        closed = np.zeros(y.shape[-1], bool) if gate is None else zeros(tensors[gate], values[gate].reshape(-1))
        part, kernel = self._part(k, closed, off.get(x, np.zeros(tensors[x].shape[-1], bool)))
        whole: np.ndarray = np.full(y.shape, zero_code(y), STORAGE[y.dtype])
        if kernel is not None:
            (whole[..., part.filters],) = kernel(values[x][..., part.inputs], *(t.data for t in part.tensors[1:-1]))
        return part, whole

    def _part(self, k: int, closed: Mask, dark: Mask) -> tuple[Part, Kernel | None]:
        key = (k, closed.tobytes(), dark.tobytes())
        if key not in self._parts:
            if len(self._parts) >= KEPT:
                self._parts.clear()
            part = part_of(self.graph.ops[k], self.graph.tensors, closed, dark)
            kernel = KERNELS[part.op.kind](part.op, part.tensors) if part.macs else None
            self._parts[key] = part, kernel
        return self._parts[key]
