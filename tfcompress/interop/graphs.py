"""Plays the calls of a tf_keras model again, on Keras 3 tensors and with the layers that the bridge made."""

from collections.abc import Iterator
from typing import Any

import keras

from tfcompress.interop.plain_layers import LAYERS, origin
from tfcompress.interop.wrappers import WRAPPERS, steps


def carry(model: Any) -> keras.Model:
    """The model in Keras 3.

    Raises:
        ValueError: Layers are not understood, the model is not built, or it has no graph.
    """
    work = _Bridge()
    work.make(model, "")
    if work.problems:
        raise ValueError(
            f"Model '{model.name}' must consist of layers that have an equal in Keras 3. Received:\n  "
            + "\n  ".join(work.problems)
            + f"\nKnown are {', '.join(LAYERS)}, and TFMOT's {', '.join(WRAPPERS)} around them."
        )
    return work.model(model)


class _Bridge:
    """A model on its way: the layers that stand for each of its layers, by id, and what could not be made."""

    def __init__(self) -> None:
        self.made: dict[int, list[Any]] = {}
        self.problems: list[str] = []

    def make(self, model: Any, scope: str) -> None:
        """Makes the layers for all layers of a model, so that one error can name all that cannot be made."""
        if not model.built or not getattr(model, "_is_graph_network", False):
            raise ValueError(
                f"Model '{model.name}' must be a Sequential model that has seen its input shape, or a Functional one. "
                f"Received: {type(model).__name__}. Give it an Input layer, or export what it computes as layers."
            )
        for layer in (layer for layer in model.layers if id(layer) not in self.made):
            if hasattr(layer, "layers") and origin(layer) == "tf_keras" and hasattr(layer, "inputs"):
                self.make(layer, f"{scope}{layer.name}/")
            elif type(layer).__name__ != "InputLayer":
                try:
                    self.made[id(layer)] = steps(layer)
                except ValueError as reason:
                    self.problems.append(f"{scope}{layer.name} ({type(layer).__name__}): {reason}")

    def model(self, model: Any) -> keras.Model:
        """The Keras 3 model of the same name and kind."""
        if type(model).__name__ == "Sequential":
            entry = _input(model.inputs[0], model.input_names[0], keras.layers.InputLayer)
            return keras.Sequential(
                [entry, *(step for layer in model.layers for step in self._steps(layer))], name=model.name
            )
        tensors: dict[int, Any] = {}
        for node in _nodes(model):
            results = self._play(node, tensors)
            tensors |= dict(zip(map(id, keras.tree.flatten(node.outputs)), results, strict=True))
        ends = [keras.tree.map_structure(lambda t: tensors[id(t)], end) for end in (model.input, model.output)]
        return keras.Model(*ends, name=model.name)

    def _steps(self, layer: Any) -> list[Any]:
        """What stands for a layer; a nested model is made once."""
        if id(layer) not in self.made:
            self.made[id(layer)] = [self.model(layer)]
        return self.made[id(layer)]

    def _play(self, node: Any, tensors: dict[int, Any]) -> list[Any]:
        """One call, on new tensors."""
        if type(node.layer).__name__ == "InputLayer":
            return [_input(node.outputs, node.layer.name, keras.Input)]
        args, kwargs = keras.tree.map_structure(
            lambda a: tensors.get(id(a), a), (tuple(node.call_args), dict(node.call_kwargs))
        )
        first, *behind = self._steps(node.layer) or [keras.layers.Identity()]
        result = first(*args, **{k: v for k, v in kwargs.items() if v is not None})
        for step in behind:
            result = step(result)
        return keras.tree.flatten(result)


def _nodes(model: Any) -> Iterator[Any]:
    """The calls of a Functional model in an order in which they can be played."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from model._nodes_by_depth[depth]


def _input(tensor: Any, name: str, kind: Any) -> Any:
    """An input of the shape and type of a tf_keras tensor."""
    return kind(batch_shape=tuple(tensor.shape), dtype=tensor.dtype.name, name=name)
