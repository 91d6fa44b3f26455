"""Runs a graph on arrays: kernels prepared once, ops in order, tensors dropped after their last use.

A graph made for one sample runs a whole batch at once where no op mixes samples (see `batching`), else sample
by sample; the caller sees no difference.
"""

import inspect
from collections.abc import Callable, Sequence

import numpy as np

from tflite_export.interpreter.batching import batchable
from tflite_export.interpreter.kernels import KERNELS
from tflite_export.interpreter.operands import Kernel, UnsupportedOp
from tflite_export.ir import STORAGE, Graph, Op

Observer = Callable[[int, np.ndarray], np.ndarray]

DYNAMIC_BATCH = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "TILE", "FILL", "BROADCAST_TO")
"""Ops that the stock converter emits for plain layers only because the batch is of unknown size."""


class Executor:
    """A graph made ready to run.

    Args:
        graph: Float or integer graph; its ops must all have a kernel.

    Raises:
        UnsupportedOp: No kernel for an op, or the kernel lacks a type or a parameter; names op and tensor.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        _check_flow(graph)
        self._kernels = [_prepare(graph, op) for op in graph.ops]
        self.batchable = batchable(graph)
        self._constants = {k: tensor.data for k, tensor in enumerate(graph.tensors) if tensor.data is not None}
        last = {index: position for position, op in enumerate(graph.ops) for index in (*op.inputs, *op.outputs)}
        kept = {*graph.outputs, *self._constants, -1}
        self._dead = [
            [k for k in {*op.inputs, *op.outputs} if last[k] == position and k not in kept]
            for position, op in enumerate(graph.ops)
        ]

    def run(
        self, inputs: Sequence[np.ndarray], observe: Observer | None = None, keep: bool = False
    ) -> dict[int, np.ndarray]:
        """Computes the outputs.

        Args:
            inputs: One array per graph input, of its type and shape; or all with N samples where the graph says 1.
            observe: Called with the index and value of each op output as it is computed; what it returns is used on.
            keep: Returns every tensor, constants included, not the outputs only.

        Returns:
            Arrays by tensor index.

        Raises:
            ValueError: Number, type or shape of the inputs do not fit the graph.
        """
        samples = self._samples(inputs)
        if samples is None or self.batchable:
            return self._run(inputs, observe, keep, skip=0 if samples is None else 1)
        runs = [self._run([x[k : k + 1] for x in inputs], observe, keep) for k in range(samples)]
        return {
            index: value if index in self._constants else np.concatenate([run[index] for run in runs])
            for index, value in runs[0].items()
        }

    def _run(
        self, inputs: Sequence[np.ndarray], observe: Observer | None, keep: bool, skip: int = 0
    ) -> dict[int, np.ndarray]:
        """``skip`` is 1 if first axes may be longer than the graph says, for a batch runs at once."""
        values = dict(self._constants)
        values.update(zip(self.graph.inputs, inputs))
        for op, kernel, dead in zip(self.graph.ops, self._kernels, self._dead):
            results = kernel(*(values[k] if k >= 0 else None for k in op.inputs))
            for index, value in zip(op.outputs, results):
                self._check(op, index, value, skip)
                values[index] = value if observe is None else observe(index, value)
            if not keep:
                for index in dead:
                    del values[index]
        return values if keep else {index: values[index] for index in self.graph.outputs}

    def _check(self, op: Op, index: int, value: np.ndarray, skip: int) -> None:
        tensor = self.graph.tensors[index]
        fits = value.ndim == len(tensor.shape) and value.shape[skip:] == tensor.shape[skip:]
        if not fits or value.dtype != STORAGE[tensor.dtype]:
            raise ValueError(
                f"{op.kind}: tensor {tensor.name!r} is {tensor.dtype}, {tensor.shape} by the file, but its inputs and "
                f"options make it {value.dtype}, {value.shape}. Repair the file"
            )

    def _samples(self, inputs: Sequence[np.ndarray]) -> int | None:
        """How many samples ``inputs`` hold where the graph was made for one; None if they fit the graph as it is."""
        tensors = [self.graph.tensors[index] for index in self.graph.inputs]
        if len(inputs) != len(tensors):
            raise ValueError(f"The graph has {len(tensors)} inputs. Received: {len(inputs)} arrays")
        for x, tensor in zip(inputs, tensors):
            if x.dtype != STORAGE[tensor.dtype]:
                raise ValueError(f"Input {tensor.name!r} must be of type {tensor.dtype}. Received: {x.dtype}")
        if all(x.shape == tensor.shape for x, tensor in zip(inputs, tensors)):
            return None
        samples = inputs[0].shape[0] if inputs[0].ndim else 0
        for x, tensor in zip(inputs, tensors):
            if tensor.shape[:1] != (1,) or x.shape != (samples, *tensor.shape[1:]) or not samples:
                raise ValueError(
                    f"Input {tensor.name!r} must have shape {tensor.shape}, or any number of samples where that begins "
                    f"with 1. Received: {x.shape}"
                )
        return samples


def _check_flow(graph: Graph) -> None:
    known = {-1, *graph.inputs, *(k for k, tensor in enumerate(graph.tensors) if tensor.data is not None)}
    for reader, read, made in [*((op.kind, op.inputs, op.outputs) for op in graph.ops), ("", graph.outputs, ())]:
        for index in read:
            if index not in known:
                raise ValueError(f"{reader or 'The result'} reads tensor {index} before any op has made it")
        known.update(made)


def _prepare(graph: Graph, op: Op) -> Kernel:
    names = [graph.tensors[index].name for index in op.outputs]
    if op.kind not in KERNELS:
        hint = " Convert the model with a fixed batch of 1, which does without it." if op.kind in DYNAMIC_BATCH else ""
        raise UnsupportedOp(f"No kernel for {op.kind}, which makes {names}.{hint} Supported: {', '.join(KERNELS)}")
    if len(names) != 1 or not op.inputs:
        raise UnsupportedOp(f"{op.kind} must have inputs and one output. Received: {op.inputs} and {names}")
    kernel = KERNELS[op.kind](op, graph.tensors)
    try:
        inspect.signature(kernel).bind(*op.inputs)
    except TypeError:
        raise UnsupportedOp(f"{op.kind}, which makes {names}, cannot have {len(op.inputs)} inputs") from None
    return kernel
