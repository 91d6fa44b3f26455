"""Small graphs for the tests of the passes, and ways to compare them."""

from typing import Any

import numpy as np

from tflite_export.interpreter import Executor
from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.passes.draft import Draft

CONV = {
    "padding": "VALID", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1,
    "fused_activation_function": "NONE",
}  # fmt: skip
POOL = {
    "padding": "SAME", "filter_height": 2, "filter_width": 2, "stride_h": 1, "stride_w": 1,
    "fused_activation_function": "NONE",
}  # fmt: skip


def grid(scale: float, zero_point: int = 0, bits: int = 8, low: int | None = None) -> Quantization:
    """One scale for all."""
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64), bits=bits, low=low)


class Chart:
    """Builds a float graph: ``chart.op("RELU", x)`` returns the tensor that the op makes."""

    def __init__(self) -> None:
        self.draft = Draft()
        self.rng = np.random.default_rng(0)

    def input(self, *shape: int, grid: Quantization | None = None) -> int:
        t = self.draft.add(Tensor(f"x{len(self.draft.inputs)}", (1, *shape), "float32", grid))
        self.draft.inputs.append(t)
        return t

    def constant(self, data: Any, grid: Quantization | None = None) -> int:
        return self.draft.constant(f"c{len(self.draft.tensors)}", data, grid)

    def op(
        self, kind: str, *inputs: int, shape: tuple[int, ...] | None = None, grid: Quantization | None = None,
        **options: Any,
    ) -> int:  # fmt: skip
        """Appends an op; its output has the shape of the first input unless told."""
        shape = shape or self.draft.tensors[inputs[0]].shape
        y = self.draft.add(Tensor(f"t{len(self.draft.tensors)}", shape, "float32", grid))
        self.draft.ops.append(Op(kind, inputs, (y,), options))
        return y

    def conv(self, x: int, channels: int, grid: Quantization | None = None, **options: Any) -> int:
        """A 1x1 CONV_2D with 4-bit weights, one step per channel."""
        shape = self.draft.tensors[x].shape
        scale = self.rng.uniform(0.05, 0.2, channels).astype(np.float32)
        codes = self.rng.integers(-7, 8, (channels, 1, 1, shape[-1]))
        steps = Quantization(scale, np.zeros(channels, np.int64), axis=0, bits=4)
        weight = self.constant((codes * scale.reshape(-1, 1, 1, 1)).astype(np.float32), steps)
        bias = self.constant(self.rng.normal(0, 1, channels).astype(np.float32))
        return self.op("CONV_2D", x, weight, bias, shape=(*shape[:3], channels), grid=grid, **{**CONV, **options})

    def per_channel(self, kind: str, x: int, values: Any, grid: Quantization | None = None) -> int:
        """A MUL or ADD by a constant."""
        return self.op(kind, x, self.constant(np.array(values, np.float32)), grid=grid)

    def reshape(self, x: int, *shape: int, grid: Quantization | None = None) -> int:
        """A RESHAPE, by default to the shape that it has."""
        shape = shape or self.draft.tensors[x].shape
        return self.op("RESHAPE", x, self.constant(np.array(shape, np.int32)), shape=shape, grid=grid, new_shape=shape)

    def graph(self, *outputs: int) -> Graph:
        self.draft.outputs = list(outputs)
        return self.draft.graph()


def run(graph: Graph, seed: int = 1) -> list[np.ndarray]:
    """Outputs on random inputs of the graph's types."""
    rng = np.random.default_rng(seed)
    inputs = []
    for t in graph.inputs:
        shape = (3, *graph.tensors[t].shape[1:])
        whole = rng.integers(-128, 128, shape).astype(np.int8)
        inputs.append(whole if graph.tensors[t].dtype == "int8" else rng.normal(0, 2, shape).astype(np.float32))
    made = Executor(graph).run(inputs)
    return [made[t] for t in graph.outputs]


def assert_equal_results(before: Graph, after: Graph, tolerance: float = 0.0) -> None:
    """Same inputs, same outputs: bit for bit, or within a relative tolerance."""
    for a, b in zip(run(before), run(after), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(a).max())))


def kinds(graph: Graph) -> list[str]:
    """Op kinds in order."""
    return [op.kind for op in graph.ops]


def of(graph: Graph, position: int, operand: int) -> Tensor:
    """An operand of an op; -1 is its output."""
    op = graph.ops[position]
    return graph.tensors[op.outputs[0] if operand < 0 else op.inputs[operand]]
