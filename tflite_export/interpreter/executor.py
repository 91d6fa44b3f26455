"""Runs a graph on arrays: kernels prepared once, ops in order, tensors dropped after their last use.

A graph made for one sample runs many samples of a batch at once where no op mixes samples (see `batching`), else
sample by sample; the caller sees no difference.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tflite_export.interpreter.batching import batchable
from tflite_export.interpreter.kernels import KERNELS, Prepare
from tflite_export.interpreter.operands import Kernel, UnsupportedOp
from tflite_export.ir import STORAGE, Graph, Op, Tensor

Observer = Callable[[int, np.ndarray], np.ndarray]

State = dict[int, np.ndarray]
"""Values of the tensors that stay from run to run, by index."""

DYNAMIC_BATCH = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "TILE", "FILL", "BROADCAST_TO")
"""Ops that the stock converter emits for plain layers only because the batch is of unknown size."""


AT_ONCE = 2**24
"""Bytes that the activations of an op may take: with more samples at once, caches and memory would fill for nothing."""

SEVERAL_OUTPUTS = ("SPLIT", "UNPACK")
"""Ops that take a tensor apart; every other has one output."""


class Executor:
    """A graph made ready to run.

    Args:
        graph: Float or integer graph; its ops must all have a kernel.
        kernels: What prepares each kind of op; others than the usual ones must compute the same.

    Raises:
        UnsupportedOp: No kernel for an op, or the kernel lacks a type or a parameter; names op and tensor.
    """

    def __init__(self, graph: Graph, kernels: Mapping[str, Prepare] = KERNELS):
        self.graph = graph
        _check_flow(graph)
        self._kernels = [_prepare(graph, op, kernels) for op in graph.ops]
        self.batchable = batchable(graph)
        self._step = max(1, AT_ONCE // _largest(graph)) if self.batchable else 1
        self._constants = {k: tensor.data for k, tensor in enumerate(graph.tensors) if tensor.data is not None}
        last = {index: position for position, op in enumerate(graph.ops) for index in (*op.inputs, *op.outputs)}
        self._variables = [k for k, tensor in enumerate(graph.tensors) if tensor.is_variable]
        kept = {*graph.outputs, *self._constants, *self._variables, -1}
        self._dead = [
            [k for k in {*op.inputs, *op.outputs} if last[k] == position and k not in kept]
            for position, op in enumerate(graph.ops)
        ]

    def run(
        self,
        inputs: Sequence[np.ndarray],
        observe: Observer | None = None,
        keep: bool = False,
        state: State | None = None,
    ) -> dict[int, np.ndarray]:
        """Computes the outputs.

        Args:
            inputs: One array per graph input, of its type and shape; or all with N samples where the graph says 1.
            observe: Called with the index and value of each op output as it is computed; what it returns is used on.
                Called also with each variable that an op changed and all the values that it took, (N, steps, units);
                what it returns then does not matter.
            keep: Returns every tensor, constants and variables included, not the outputs only.
            state: Where variables start, from `initial_state` for as many samples, brought up to date. None (default)
                lets every sample start afresh.

        Returns:
            Arrays by tensor index.

        Raises:
            ValueError: Number, type or shape of the inputs do not fit the graph.
        """
        samples = self._samples(inputs)
        state = self.initial_state(samples or 1) if state is None else state
        whole = self.batchable and (keep or observe is not None)  # then memory is wanted, not speed
        if samples is None or whole or samples <= self._step:
            return self._run(inputs, observe, keep, state, skip=0 if samples is None else 1)
        step, skip = self._step, int(self.batchable)
        starts = range(0, samples, step)
        states = [{index: value[k : k + step] for index, value in state.items()} for k in starts]
        runs = [
            self._run([x[k : k + step] for x in inputs], observe, keep, own, skip) for k, own in zip(starts, states)
        ]
        state.update({index: np.concatenate([own[index] for own in states]) for index in state})
        return {
            index: value if index in self._constants else np.concatenate([run[index] for run in runs])
            for index, value in runs[0].items()
        }

    def initial_state(self, samples: int = 1) -> State:
        """The variables as the runtime resets them: int8 ones to their zero point, others to 0.

        Args:
            samples: How many samples run at once where the graph was made for one.
        """
        return {index: _reset(self.graph.tensors[index], samples) for index in self._variables}

    def _run(
        self, inputs: Sequence[np.ndarray], observe: Observer | None, keep: bool, state: State, skip: int = 0
    ) -> dict[int, np.ndarray]:
        """``skip`` is 1 if first axes may be longer than the graph says, for a batch runs at once."""
        values = self._constants | state
        values.update(zip(self.graph.inputs, inputs))
        for op, kernel, dead in zip(self.graph.ops, self._kernels, self._dead):
            results = kernel(*(values[k] if k >= 0 else None for k in op.inputs))
            for index, value in zip(op.outputs, results):
                self._check(op, index, value, skip)
                values[index] = value if observe is None else observe(index, value)
            for index, taken in zip((k for k in op.inputs if k in state), results[len(op.outputs) :]):
                values[index] = state[index] = taken[:, -1].reshape(state[index].shape)
                if observe is not None:
                    observe(index, taken)
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


def _largest(graph: Graph) -> int:
    """Bytes of the activations of the op that has most, for one sample."""
    made = [
        0 if t.data is not None else math.prod(t.shape) * np.dtype(STORAGE[t.dtype]).itemsize for t in graph.tensors
    ]
    return max([1, *(sum(made[k] for k in {*op.inputs, *op.outputs} if k >= 0) for op in graph.ops)])


def _reset(tensor: Tensor, samples: int) -> np.ndarray:
    sizes = (samples, *tensor.shape[1:]) if tensor.shape[:1] == (1,) else tensor.shape
    grid = tensor.quantization
    zero = grid.zero_point[0] if grid is not None and tensor.dtype == "int8" else 0
    return np.full(sizes, zero, STORAGE[tensor.dtype])


def _check_flow(graph: Graph) -> None:
    there = (k for k, tensor in enumerate(graph.tensors) if tensor.data is not None or tensor.is_variable)
    known = {-1, *graph.inputs, *there}
    for reader, read, made in [*((op.kind, op.inputs, op.outputs) for op in graph.ops), ("", graph.outputs, ())]:
        for index in read:
            if index not in known:
                raise ValueError(f"{reader or 'The result'} reads tensor {index} before any op has made it")
        known.update(made)


def _prepare(graph: Graph, op: Op, kernels: Mapping[str, Prepare]) -> Kernel:
    names = [graph.tensors[index].name for index in op.outputs]
    if op.kind not in kernels:
        hint = " Convert the model with a fixed batch of 1, which does without it." if op.kind in DYNAMIC_BATCH else ""
        raise UnsupportedOp(f"No kernel for {op.kind}, which makes {names}.{hint} Supported: {', '.join(kernels)}")
    if not names or (len(names) > 1 and op.kind not in SEVERAL_OUTPUTS) or not op.inputs:
        raise UnsupportedOp(f"{op.kind} must have inputs and one output. Received: {op.inputs} and {names}")
    kernel = kernels[op.kind](op, graph.tensors)
    try:
        inspect.signature(kernel).bind(*op.inputs)
    except TypeError:
        raise UnsupportedOp(f"{op.kind}, which makes {names}, cannot have {len(op.inputs)} inputs") from None
    return kernel
