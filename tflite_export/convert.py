"""From a Keras model to a TFLite file: lower, fold, calibrate, quantise, write.

    Keras model -> float graph -> float passes -> a grid for every tensor -> integers -> integer passes -> bytes

What a Transform put on a grid arrives in the file as exactly those integers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tflite_export import passes
from tflite_export.calibration import Dataset, calibrate
from tflite_export.flatbuffer import write
from tflite_export.ir import Graph
from tflite_export.passes.float_borders import float_borders

if TYPE_CHECKING:
    import keras

BORDER_TYPES = ("int8", "float32")


def convert(
    model: keras.Model,
    representative_dataset: Dataset = None,
    *,
    inference_input_type: str = "int8",
    inference_output_type: str = "int8",
) -> bytes:
    """Exports a model as an integer TFLite file.

    Args:
        model: A built Sequential or Functional model, compressed or not; a compressed one keeps its integers.
        representative_dataset: Typical inputs, for the ranges of feature maps that no Transform quantises: a callable
            that returns an iterable of lists of arrays (as TFLite has it), an array with the samples first, or an
            iterable of batches. Not needed where every feature map has a trained grid.
        inference_input_type: ``"int8"``: the caller quantises the inputs by the scale and zero point in the file.
            ``"float32"``: the file does.
        inference_output_type: Likewise.

    Returns:
        The content of a ``.tflite`` file, for batch 1.

    Raises:
        ValueError: A layer cannot be exported, a feature map lacks a grid, the data does not fit, or a step is so
            small that LiteRT would abort. The message names the layers and what to do.
    """
    graph = integer_graph(
        model,
        representative_dataset,
        inference_input_type=inference_input_type,
        inference_output_type=inference_output_type,
    )
    return write(graph)


def integer_graph(
    model: keras.Model,
    representative_dataset: Dataset = None,
    *,
    inference_input_type: str = "int8",
    inference_output_type: str = "int8",
) -> Graph:
    """The graph that ``convert`` writes; same arguments."""
    for name, received in (("input", inference_input_type), ("output", inference_output_type)):
        if received not in BORDER_TYPES:
            raise ValueError(f"`inference_{name}_type` must be one of {BORDER_TYPES}. Received: {received!r}")
    borders = float_borders(inference_input_type == "float32", inference_output_type == "float32")
    graph = calibrate(passes.FLOAT(_lowered(model)), representative_dataset)
    return borders(passes.INTEGERS(graph))


def _lowered(model: keras.Model) -> Graph:
    from tflite_export.from_keras import lower  # needs Keras; reading, running and costing files does not

    return lower(model)


def convert_float(model: keras.Model) -> bytes:
    """Exports a model as a float32 TFLite file: weights as deployed, feature maps not rounded."""
    return write(_without_grids(passes.FLOAT(_without_grids(_lowered(model)))))


def _without_grids(graph: Graph) -> Graph:
    return replace(graph, tensors=tuple(replace(tensor, quantization=None) for tensor in graph.tensors))
