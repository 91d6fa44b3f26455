"""Representative inputs, in whatever form the user has them, as lists of arrays, a batch at a time.

    array                   samples first
    callable                as TFLite takes it: returns an iterable
    iterable                of arrays (one input), lists or tuples of arrays (in the order of the inputs), dicts by name
    tf.data.Dataset,        as model.fit takes them: ``x``, ``(x, y)`` or ``(x, y, weights)``; only ``x`` is used
    keras.utils.PyDataset

No more than one batch is held at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tflite_export.ir import STORAGE, Graph, Tensor

Dataset = Callable[[], Iterable[Any]] | Iterable[Any] | np.ndarray | None
"""What ``convert`` takes as ``representative_dataset``."""

BATCH = 32
"""Samples that go through the network together if the data comes as one array."""


def batches(graph: Graph, dataset: Any, verbose: int = 0) -> Iterator[list[np.ndarray]]:
    """The inputs of the graph in their types, float32 or int32 for token numbers, some samples at a time.

    Args:
        graph: The float graph.
        dataset: See the module.
        verbose: 1 shows a progress bar.

    Raises:
        ValueError: An item does not fit the inputs, or there is none.
    """
    items, total, labelled = _opened(dataset)
    number = None
    for number, item in enumerate(_shown(items, total) if verbose else items):
        if labelled and isinstance(item, tuple):
            item = item[0]
        yield _inputs(graph, item, number)
    if number is None:
        raise ValueError("`representative_dataset` must yield at least one sample. Received: none")


def _opened(dataset: Any) -> tuple[Iterable[Any], int | None, bool]:
    """The items, how many there are if that is known, and whether tuples among them hold labels."""
    import keras

    items = dataset
    if isinstance(dataset, keras.utils.PyDataset):
        count = dataset.num_batches
        if count is None:
            raise ValueError("`representative_dataset` must end. Received: a PyDataset with num_batches=None")
        return (dataset[k] for k in range(count)), count, True
    if callable(dataset):
        items = dataset()
    if isinstance(items, np.ndarray):
        count = -(-len(items) // BATCH)
        return (items[k * BATCH : (k + 1) * BATCH] for k in range(count)), count, False
    labelled = getattr(items, "element_spec", None) is not None  # a tf.data.Dataset
    return items, len(items) if isinstance(items, (list, tuple)) else _length(items), labelled


def _length(items: Any) -> int | None:
    """The known number of batches of a tf.data.Dataset."""
    cardinality = getattr(items, "cardinality", None)
    count = int(cardinality()) if cardinality is not None else -1
    return count if count >= 0 else None


def _shown(items: Iterable[Any], total: int | None) -> Iterator[Any]:
    """``items``, with the progress bar of Keras."""
    import keras

    bar, count = keras.utils.Progbar(total, unit_name="batch"), 0
    for count, item in enumerate(items, 1):
        yield item
        bar.update(count, finalize=count == total)
    if count != total:
        bar.update(count, finalize=True)


def _inputs(graph: Graph, item: Any, number: int) -> list[np.ndarray]:
    names = list(graph.signature[1]) if graph.signature else [graph.tensors[t].name for t in graph.inputs]
    if isinstance(item, Mapping):
        item = [item[name] for name in names if name in item]
    arrays = [np.asarray(x) for x in (item if isinstance(item, (list, tuple)) else [item])]
    expected = [(None, *graph.tensors[t].shape[1:]) for t in graph.inputs]
    fits = len(arrays) == len(expected) and all(
        x.shape[1:] == shape[1:] and x.ndim == len(shape) and len(x) == len(arrays[0]) > 0
        for x, shape in zip(arrays, expected, strict=False)
    )
    if not fits:
        shapes = ", ".join(f"{name} {shape}" for name, shape in zip(names, expected, strict=True))
        raise ValueError(
            f"Each item of `representative_dataset` must hold the inputs {shapes}, None being any number of "
            f"samples, and no labels. Received: item {number} with shapes {[x.shape for x in arrays]}"
        )
    return [_typed(x, graph.tensors[t], number) for x, t in zip(arrays, graph.inputs, strict=True)]


def _typed(x: np.ndarray, tensor: Tensor, number: int) -> np.ndarray:
    """``x`` in the type of an input."""
    with np.errstate(invalid="ignore"):
        typed: np.ndarray = x.astype(STORAGE[tensor.dtype])
    if tensor.dtype != "float32" and np.any(typed != x):
        raise ValueError(
            f"Input '{tensor.name}' takes whole numbers, one for each token. Received: others, in item {number}"
        )
    return typed
