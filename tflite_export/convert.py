"""From a Keras model to a TFLite file: lower, fold, calibrate, quantise, write.

    Keras model -> float graph -> float passes -> a grid for every tensor -> integers -> integer passes -> bytes

What a Transform put on a grid arrives in the file as exactly those integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite_export import passes
from tflite_export.bias_correction import WAYS, correct_bias, correct_bias_by_means, enough
from tflite_export.calibration import calibrate
from tflite_export.datasets import Dataset, batches
from tflite_export.flatbuffer import write
from tflite_export.ir import Graph
from tflite_export.observers import Calibration, method
from tflite_export.passes.float_borders import float_borders
from tflite_export.passes.pack_weights import STORAGES, pack_weights
from tflite_export.passes.tables import table_grids
from tflite_export.passes.weight_grids import weight_grids
from tflite_export.passes.widen import check_trained, widen

if TYPE_CHECKING:
    import keras

ACTIVATION_TYPES = ("int8", "int16")

Lowerings = Mapping[type, Callable[..., int]] | None
"""Layer class -> how it becomes ops."""


@dataclass(frozen=True)
class Options:
    """How to quantise: the keyword arguments of ``convert``, which describes them."""

    calibration: str | Calibration = "min_max"
    bias_correction: bool | str = False
    power_of_two: bool = False
    weight_bits: int = 8
    weight_storage: str = "int8"
    activation_type: str = "int8"
    inference_input_type: str | None = None
    inference_output_type: str | None = None
    verbose: int = 0

    def __post_init__(self) -> None:
        _check("activation_type", self.activation_type, ACTIVATION_TYPES)
        _check("weight_storage", self.weight_storage, STORAGES)
        _check("bias_correction", self.bias_correction, (False, True, *WAYS))
        for end in ("inference_input_type", "inference_output_type"):
            _check(end, getattr(self, end) or self.activation_type, (self.activation_type, "float32"))

    @property
    def activation_bits(self) -> int:
        """Width of feature maps that no Transform quantised."""
        return 16 if self.activation_type == "int16" else 8

    @property
    def table_bits(self) -> int:
        """Width of what embeddings deliver, if no Transform quantised their tables."""
        return 16 if self.activation_type == "int16" else self.weight_bits


def _check(name: str, received: Any, allowed: tuple[str | bool, ...]) -> None:
    if received not in allowed:
        raise ValueError(f"`{name}` must be one of {allowed}. Received: {received!r}")


def convert(
    model: keras.Model,
    representative_dataset: Dataset = None,
    *,
    calibration: str | Calibration = "min_max",
    bias_correction: bool | str = False,
    power_of_two: bool = False,
    weight_bits: int = 8,
    weight_storage: str = "int8",
    activation_type: str = "int8",
    inference_input_type: str | None = None,
    inference_output_type: str | None = None,
    verbose: int = 0,
    lowerings: Lowerings = None,
) -> bytes:
    """Exports a model as an integer TFLite file.

    Args:
        model: A built Sequential or Functional model, compressed or not; a compressed one keeps its integers.
        representative_dataset: Typical inputs, for the ranges of feature maps that no Transform quantises: an array
            with the samples first; a callable that returns an iterable of lists of arrays, as TFLite has it; an
            iterable of batches; a ``tf.data.Dataset`` or ``keras.utils.PyDataset`` as ``fit`` takes them. It is read
            once, a batch at a time. Not needed where every feature map has a trained grid.
        calibration: Which part of the measured ranges counts: ``"min_max"``, ``"percentile"``, ``"mse"``, or an object
            such as ``tflite_export.calibration.Percentile(99.9)``.
        bias_correction: Shifts biases by what rounding changes in each channel's mean: ``"empirical"``, or True,
            measures it on the first representative samples; ``"analytic"`` takes it from the batch norms of the model,
            and from the samples no more than the mean of the inputs. Helps most at ``weight_bits`` below 8. For weights
            that a Transform rounded or pruned, see ``tfcompress.edits.correct_bias``.
        power_of_two: Steps that no Transform set are powers of two, so that rescaling is a shift.
        weight_bits: Width of weights that no Transform quantised, 2 to 8. Tables of embeddings count as weights;
            beside int16 feature maps they have 16 bits.
        weight_storage: The narrowest type in which a weight may be stored: ``"int8"`` runs anywhere; ``"int4"`` puts
            weights of at most 4 bits in half the bytes, ``"int2"`` also those of dense layers of at most 2 bits in a
            quarter, for LiteRT. What no kernel unpacks stays int8, and ``receipt`` shows which.
        activation_type: ``"int8"``; or ``"int16"``, TFLite's 16x8: feature maps of 16 bits, weights of at most 8,
            biases of 64, where every op has such a kernel.
        inference_input_type: ``activation_type``, the default: the caller quantises the inputs by the scale and zero
            point in the file. ``"float32"``: the file does. Token numbers of embeddings are int32 always.
        inference_output_type: Likewise.
        verbose: 1 shows a progress bar over the representative data.
        lowerings: For layers of your own, ``{MyLayer: function}``. ``function(builder, call, *inputs)`` appends ops
            that compute the layer, and returns the tensor it delivers; ``docs/custom_layers.md`` has an example.

    Returns:
        The content of a ``.tflite`` file, for batch 1.

    Raises:
        ValueError: A layer cannot be exported, a feature map lacks a grid, the data does not fit, an option makes no
            sense, or a step is so small that LiteRT would abort. The message names the layers and what to do.
    """
    options = Options(
        calibration,
        bias_correction,
        power_of_two,
        weight_bits,
        weight_storage,
        activation_type,
        inference_input_type,
        inference_output_type,
        verbose,
    )
    return write(_integer_graph(model, representative_dataset, options, lowerings))


def integer_graph(
    model: keras.Model, representative_dataset: Dataset = None, *, lowerings: Lowerings = None, **options: Any
) -> Graph:
    """The graph that ``convert`` writes; same arguments."""
    return _integer_graph(model, representative_dataset, Options(**options), lowerings)


def _integer_graph(model: keras.Model, dataset: Dataset, options: Options, lowerings: Lowerings) -> Graph:
    place, pack = weight_grids(options.weight_bits, options.power_of_two), pack_weights(options.weight_storage)
    graph = _lowered(model, lowerings)
    check_trained(graph, options.activation_type)
    graph = passes.FLOAT(graph)
    if options.activation_type == "int16":
        graph = widen(graph)
    graph = table_grids(options.table_bits, options.power_of_two)(graph)
    samples, dataset = _samples(graph, dataset, options)
    graph = place(_calibrated(graph, dataset, options))
    return _borders(options)(pack(passes.INTEGERS(_corrected(model, graph, samples, options))))


def _samples(graph: Graph, dataset: Dataset, options: Options) -> tuple[list[list[np.ndarray]], Dataset]:
    """What a correction of the biases looks at, and the whole data set, which may be read only once."""
    if dataset is None and options.bias_correction in (True, "empirical"):
        raise ValueError("`bias_correction` needs a `representative_dataset`. Received: None")
    if dataset is None or not options.bias_correction:
        return [], dataset
    read = batches(graph, dataset)
    samples = enough(graph, read)
    return samples, chain(samples, read)


def _corrected(model: keras.Model, graph: Graph, samples: list[list[np.ndarray]], options: Options) -> Graph:
    """The float graph, which has all grids, with corrected biases if asked."""
    if options.bias_correction == "analytic":
        return correct_bias_by_means(passes.place_grids(graph), _mean_inputs(model, graph, samples))
    return correct_bias(passes.place_grids(graph), samples) if options.bias_correction else graph


def _calibrated(graph: Graph, dataset: Dataset, options: Options) -> Graph:
    return calibrate(
        graph,
        dataset,
        method(options.calibration),
        bits=options.activation_bits,
        power_of_two=options.power_of_two,
        verbose=options.verbose,
    )


def _borders(options: Options) -> passes.Pass:
    return float_borders(options.inference_input_type == "float32", options.inference_output_type == "float32")


def _lowered(model: keras.Model, lowerings: Lowerings) -> Graph:
    from tflite_export.from_keras import lower  # needs Keras; reading, running and costing files does not

    return lower(model, lowerings)


def _mean_inputs(model: keras.Model, graph: Graph, samples: list[list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Name of a feature map -> the mean of its channels, told by batch norms and, of the inputs, by samples."""
    from tfcompress.post_training.expectations import expectations
    from tfcompress.structure.expand import expand
    from tfcompress.structure.trace import trace

    traced = expand(trace(model))
    rows = [np.concatenate(parts) for parts in zip(*samples, strict=True)]
    inputs = {graph.tensors[t].name: x.reshape(-1, x.shape[-1]).mean(0) for t, x in zip(graph.inputs, rows)}
    given = {value: inputs[value.name] for value in traced.inputs if value.name in inputs}
    return {value.name: mean for value, (mean, _) in expectations(traced, given).items()}


def convert_float(model: keras.Model, lowerings: Lowerings = None) -> bytes:
    """Exports a model as a float32 TFLite file: weights as deployed, feature maps not rounded."""
    return write(_without_grids(passes.FLOAT(_without_grids(_lowered(model, lowerings)))))


def _without_grids(graph: Graph) -> Graph:
    return replace(graph, tensors=tuple(replace(tensor, quantization=None) for tensor in graph.tensors))
