"""Runs a model by the names of its signature's arguments and results."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tflite_export.interpreter.interpreter import Interpreter


class SignatureRunner:
    """What ``Interpreter.get_signature_runner`` returns; call it with one array per argument, by name."""

    def __init__(self, interpreter: "Interpreter", inputs: dict[str, int], outputs: dict[str, int]):
        self._interpreter, self._inputs, self._outputs = interpreter, inputs, outputs

    def __call__(self, **arguments: np.ndarray) -> dict[str, np.ndarray]:
        """Resizes the inputs to the arguments' number of samples, runs, returns copies of the results by name.

        Raises:
            ValueError: An argument is missing, unknown, or of the wrong type or shape.
        """
        if arguments.keys() != self._inputs.keys():
            raise ValueError(f"Expected the arguments {sorted(self._inputs)}. Received: {sorted(arguments)}")
        for name, value in arguments.items():
            self._interpreter.resize_tensor_input(self._inputs[name], np.shape(value))
        self._interpreter.allocate_tensors()
        for name, value in arguments.items():
            self._interpreter.set_tensor(self._inputs[name], value)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}

    def get_input_details(self) -> dict[str, dict[str, Any]]:
        """Details of the tensor behind each argument."""
        return self._details(self._inputs)

    def get_output_details(self) -> dict[str, dict[str, Any]]:
        """Details of the tensor behind each result."""
        return self._details(self._outputs)

    def _details(self, names: dict[str, int]) -> dict[str, dict[str, Any]]:
        every = {entry["index"]: entry for entry in self._interpreter.get_tensor_details()}
        return {name: every[index] for name, index in names.items()}
