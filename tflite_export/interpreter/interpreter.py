"""``Interpreter``: ``tf.lite.Interpreter`` in Python, bit for bit LiteRT's reference kernels, plus batched `predict`.

run = Interpreter(model_path="model.tflite")
run.allocate_tensors()
run.set_tensor(run.get_input_details()[0]["index"], x)
run.invoke()
y = run.get_tensor(run.get_output_details()[0]["index"])

y = run.predict(images)          # or a whole set of float or int8 images at once
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tflite_export.flatbuffer import read
from tflite_export.interpreter.details import details
from tflite_export.interpreter.executor import Executor, State
from tflite_export.interpreter.kernels import KERNELS
from tflite_export.interpreter.prediction import decode, decodes, encode
from tflite_export.interpreter.signature import SignatureRunner
from tflite_export.interpreter.threads import Threads
from tflite_export.interpreter.winograd import Choice, Convolution, Generated
from tflite_export.ir import STORAGE


class Interpreter:
    """Runs a TFLite model; methods, dictionaries and error types are those of ``tf.lite.Interpreter``.

    Differs from it in three ways: inputs can be resized in their number of samples only, ``set_tensor`` takes inputs
    only, and arrays from ``tensor()`` may be held as long as one likes.

    Args:
        model_path: Path of the ``.tflite`` file; either this or ``model_content``.
        model_content: The file's bytes.
        experimental_delegates: Must be None: there is nothing to delegate to.
        num_threads: Threads of NumPy's matrix products, those of floats and int16. None leaves its setting as it is.
            Those of int8 take one.
        experimental_op_resolver_type: Ignored; the arithmetic is always that of ``BUILTIN_REF``.
        experimental_preserve_all_tensors: Keeps intermediate tensors for ``get_tensor``.
        convolution: Which algorithm computes int8 convolutions of stride 1, such as ``tfcompress.toom_cook.Tiles(2)``:
            fewer multiplications, the same bits. See ``convolutions``. None (default) computes directly.

    Raises:
        ValueError: No model or two models given, an unreadable file, an op without kernel, a bad ``num_threads``, or
            sums that leave 64 bits with this ``convolution``.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str] | None = None,
        model_content: bytes | None = None,
        experimental_delegates: Sequence[Any] | None = None,
        num_threads: int | None = None,
        experimental_op_resolver_type: Any = None,
        experimental_preserve_all_tensors: bool = False,
        convolution: Choice | None = None,
    ):
        if experimental_delegates:
            raise ValueError(
                f"Delegates are not supported. Received: {experimental_delegates}. Use tf.lite.Interpreter"
            )
        self._threads = Threads(num_threads)
        self._graph = read(_content(model_path, model_content))
        generated = Generated(convolution) if convolution else None
        self._executor = Executor(self._graph, generated.kernels if generated else KERNELS)
        self._convolutions = tuple(generated.made) if generated else ()
        self._keep = experimental_preserve_all_tensors
        self._samples: int | None = None
        self._values: dict[int, np.ndarray] | None = None
        self._state: State = {}

    def allocate_tensors(self) -> None:
        """Makes the inputs and outputs, zeros until they are set or computed, and the state, at its start."""
        if self._values is None:
            self._state = self._executor.initial_state(self._samples or 1)
            ends = {*self._graph.inputs, *self._graph.outputs}
            constants = {k: tensor.data for k, tensor in enumerate(self._graph.tensors) if tensor.data is not None}
            zeros: dict[int, np.ndarray] = {
                k: np.zeros(self._shape(k), STORAGE[self._graph.tensors[k].dtype]) for k in ends
            }
            self._values = zeros | constants | self._state

    def invoke(self) -> None:
        """Computes the outputs from the inputs.

        The state of an LSTM goes on from the last call, whether or not the Keras layer was stateful; LiteRT does the
        same. Call ``reset_all_variables`` in front of each new sequence.

        Raises:
            RuntimeError: ``allocate_tensors`` was not called, or not since the last resize.
        """
        if self._values is None:
            raise RuntimeError("Invoke called on model that is not ready. Call allocate_tensors() first.")
        with self._threads.limit():
            inputs = [self._values[k] for k in self._graph.inputs]
            self._values.update(self._executor.run(inputs, keep=self._keep, state=self._state))
        self._values.update(self._state)

    def predict(self, batch: np.ndarray | Sequence[np.ndarray], batch_size: int = 32) -> Any:
        """Runs a whole set of samples, many at a time; needs no ``allocate_tensors`` and leaves the tensors alone.

        Every sample is a sequence of its own: an LSTM starts it from zeros, as a Keras layer does that is not stateful.

        Args:
            batch: One array per input, or the array itself if there is one input; samples along the first axis.
                An int8 input takes its codes, or floats, which are rounded to its grid.
            batch_size: Samples at a time. Models made for more than one sample run as many as they were made for.

        Returns:
            The output, or a list of outputs if there are several: codes if nothing but codes went in, else decoded to
            float32; token numbers are no codes.

        Raises:
            ValueError: The arrays do not fit the inputs, or the samples do not divide into the model's batch.
        """
        tensors = [self._graph.tensors[k] for k in self._graph.inputs]
        arrays = [np.asarray(batch)] if len(tensors) == 1 and not isinstance(batch, (list, tuple)) else list(batch)
        if len(arrays) != len(tensors):
            raise ValueError(f"The model has {len(tensors)} inputs. Received: {len(arrays)} arrays")
        codes = [encode(np.asarray(x), tensor) for x, tensor in zip(arrays, tensors)]
        if not codes or any(x.ndim == 0 or not tensor.shape for x, tensor in zip(codes, tensors)):
            raise ValueError("predict needs inputs with samples along the first axis. Use invoke() for this model")
        made_for = tensors[0].shape[0]
        step = batch_size if made_for == 1 else made_for
        if step < 1 or not len(codes[0]):
            raise ValueError(
                f"Expected at least one sample and batch_size >= 1. Received: {len(codes[0])}, {batch_size}"
            )
        with self._threads.limit():
            runs = [self._executor.run([x[k : k + step] for x in codes]) for k in range(0, len(codes[0]), step)]
        results = [np.concatenate([run[index] for run in runs]) for index in self._graph.outputs]
        if decodes([np.asarray(x) for x in arrays], tensors):
            results = [decode(y, self._graph.tensors[index]) for y, index in zip(results, self._graph.outputs)]
        return results[0] if len(results) == 1 else results

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """How each convolution is computed and what that saves, in order; empty without ``convolution``."""
        return self._convolutions

    def set_tensor(self, tensor_index: int, value: np.ndarray) -> None:
        """Copies ``value`` into an input.

        Raises:
            ValueError: The tensor is no input or not allocated, or type or shape differ.
        """
        value = np.asarray(value)
        if tensor_index not in self._graph.inputs:
            raise ValueError(f"Cannot set tensor: {tensor_index} is not an input. Inputs: {self._graph.inputs}")
        if self._values is None:
            raise ValueError("Cannot set tensor: Tensor is unallocated. Try calling allocate_tensors() first")
        target, name = self._values[tensor_index], self._graph.tensors[tensor_index].name
        if value.dtype != target.dtype:
            raise ValueError(f"Cannot set tensor: expected type {target.dtype} for {name!r}. Received: {value.dtype}")
        if value.shape != target.shape:
            raise ValueError(f"Cannot set tensor: expected shape {target.shape} for {name!r}. Received: {value.shape}")
        target[...] = value

    def get_tensor(self, tensor_index: int, subgraph_index: int = 0) -> np.ndarray:
        """A copy of a tensor's value."""
        self._check_subgraph(subgraph_index)
        return self._value(tensor_index).copy()

    def tensor(self, tensor_index: int) -> Callable[[], np.ndarray]:
        """A function that gives a tensor's value at the time, not copied; an input may be written through it."""
        return lambda: self._value(tensor_index)

    def resize_tensor_input(self, input_index: int, tensor_size: Sequence[int], strict: bool = False) -> None:
        """Changes the number of samples of a model made for one; ``allocate_tensors`` must follow.

        Raises:
            ValueError: Not an input, or more than the number of samples would change.
            RuntimeError: ``strict``, as no length is unknown in a model that this interpreter reads.
        """
        if input_index not in self._graph.inputs:
            raise ValueError(f"{input_index} is not an input. Inputs: {self._graph.inputs}")
        tensor, size = self._graph.tensors[input_index], tuple(int(length) for length in tensor_size)
        if size == self._shape(input_index):
            return
        if strict:
            raise RuntimeError(f"Input {tensor.name!r} has no unknown length to resize. Received: {size}")
        if tensor.shape[:1] != (1,) or size[1:] != tensor.shape[1:] or size[0] < 1:
            raise ValueError(
                f"Input {tensor.name!r} of shape {tensor.shape}: only the number of samples can change, where that "
                f"begins with 1. Received: {size}"
            )
        self._samples, self._values = size[0], None

    def get_input_details(self) -> list[dict[str, Any]]:
        """Name, index, shape, type and quantisation of each input."""
        return [self._details(index) for index in self._graph.inputs]

    def get_output_details(self) -> list[dict[str, Any]]:
        """Name, index, shape, type and quantisation of each output."""
        return [self._details(index) for index in self._graph.outputs]

    def get_tensor_details(self, subgraph_index: int = 0) -> list[dict[str, Any]]:
        """Name, index, shape, type and quantisation of every tensor."""
        self._check_subgraph(subgraph_index)
        return [self._details(index) for index in range(len(self._graph.tensors))]

    def num_subgraphs(self) -> int:
        """Always 1."""
        return 1

    def reset_all_variables(self) -> None:
        """Puts the state of LSTMs back to zero, as in front of a new sequence."""
        if self._values is not None:
            self._state = self._executor.initial_state(self._samples or 1)
            self._values.update(self._state)

    def get_signature_list(self) -> dict[str, dict[str, list[str]]]:
        """Names of arguments and results by signature."""
        if self._graph.signature is None:
            return {}
        key, inputs, outputs = self._graph.signature
        return {key: {"inputs": list(inputs), "outputs": list(outputs)}}

    def get_signature_runner(self, signature_key: str | None = None) -> SignatureRunner:
        """A callable that runs the model by the names of its signature.

        Raises:
            ValueError: The model has no signature, or not this one.
        """
        names = list(self.get_signature_list())
        if self._graph.signature is None or signature_key not in (None, *names):
            raise ValueError(f"Expected one of the model's signatures, {names}. Received: {signature_key!r}")
        _, inputs, outputs = self._graph.signature
        return SignatureRunner(self, dict(inputs), dict(outputs))

    def _shape(self, index: int) -> tuple[int, ...]:
        tensor = self._graph.tensors[index]
        if self._samples is None or tensor.data is not None or tensor.shape[:1] != (1,):
            return tensor.shape
        return (self._samples, *tensor.shape[1:])

    def _details(self, index: int) -> dict[str, Any]:
        return details(index, self._graph.tensors[index], self._shape(index))

    def _value(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self._graph.tensors):
            raise ValueError(f"Invalid tensor index {index}: the model has {len(self._graph.tensors)} tensors")
        if self._values is None:
            raise ValueError("Tensor data is null. Run allocate_tensors() first")
        if index not in self._values:
            raise ValueError(
                f"Tensor {self._graph.tensors[index].name!r} is intermediate. To read it, create the interpreter with "
                "experimental_preserve_all_tensors=True and invoke()"
            )
        return self._values[index]

    def _check_subgraph(self, subgraph_index: int) -> None:
        if subgraph_index != 0:
            raise ValueError(f"The model has 1 subgraph. Received: subgraph_index={subgraph_index}")


def _content(model_path: str | os.PathLike[str] | None, model_content: bytes | None) -> bytes:
    if model_path and model_content:
        raise ValueError("Can't both provide `model_path` and `model_content`")
    if model_content:
        return bytes(model_content)
    if not model_path:
        raise ValueError("`model_path` or `model_content` must be specified.")
    try:
        with open(os.fspath(model_path), "rb") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"Could not open {os.fspath(model_path)!r}: {error.strerror}") from error
