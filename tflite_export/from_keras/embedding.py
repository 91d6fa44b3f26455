"""Embedding -> GATHER: each token number fetches its row of the table.

    y[t] = table[token[t]]

Nothing is computed, so the rows lie on one grid in the table and behind it. Token numbers are no quantised values: they
go in as int32, whatever type the Keras model gives its input.
"""

import numpy as np

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.grids import Unsupported


def embedding(builder: Builder, call: Call, tokens: int) -> int:
    """The table (tokens, channels) and the numbers of its rows."""
    layer, (value,) = core(call.layer), call.outputs
    if layer.mask_zero:
        raise Unsupported("mask_zero=True, and TFLite has no masks; train the layer with mask_zero=False")
    if layer.quantization_mode:
        raise Unsupported(f"quantised by Keras itself ({layer.quantization_mode}); use tfcompress.compress instead")
    if builder.draft.tensors[tokens].dtype != "int32":
        raise Unsupported(
            "token numbers that are computed, or that other layers read too; supported are those of an input that goes "
            "into Embedding layers only: keras.Input(shape, dtype='int32')"
        )
    table = builder.weight(call, "embeddings", 1, np.asarray)
    grid = builder.draft.tensors[table].quantization
    if grid is not None and len(grid.scale) > 1:
        raise Unsupported(
            "a table with several scales, and TFLite has one: leave the transform's `axis` at its default"
        )
    shape = (*builder.shape(tokens), layer.output_dim)
    return builder.emit("GATHER", (table, tokens), value.name, shape, axis=0, batch_dims=0)
