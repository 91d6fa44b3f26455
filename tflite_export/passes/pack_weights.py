"""Stores weights of few bits in fewer bits: several codes share a byte where the reference kernels unpack them.

    4 bits or fewer   INT4   FULLY_CONNECTED, CONV_2D, DEPTHWISE_CONV_2D on int8 maps; FULLY_CONNECTED on int16 maps
    2 bits or fewer   INT2   FULLY_CONNECTED

The kernels unpack to int8 and go on as ever. What is needed is counted on the codes that are there, not taken from what
was declared. All other weights stay int8, and the metadata says how many bits they really need.

Requires: an integer graph. Ensures: no weight of these ops could be stored in fewer bits, down to the type that was
named. Results are bit-identical.

Vendor compilers often read int8 only (Vela 5.2 ends its process on INT4), so this is for those who ask for it.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tflite_export.flatbuffer.packing import width
from tflite_export.ir import Graph, Op, Tensor
from tflite_export.passes.draft import Draft, Links
from tflite_export.passes.linear import signed_bits

STORAGES = ("int8", "int4", "int2")
"""The narrowest type that may be stored: with ``"int2"``, INT4 is used too."""

KERNELS: dict[tuple[str, str], tuple[str, ...]] = {
    ("FULLY_CONNECTED", "int8"): ("int2", "int4"),
    ("FULLY_CONNECTED", "int16"): ("int4",),
    ("CONV_2D", "int8"): ("int4",),
    ("DEPTHWISE_CONV_2D", "int8"): ("int4",),
}
"""Op and type of its input -> the packed types that its reference kernel unpacks, narrowest first."""


def pack_weights(narrowest: str) -> Callable[[Graph], Graph]:
    """The pass down to ``narrowest``; with ``"int8"`` it does nothing.

    Raises:
        ValueError: ``narrowest`` is not one of ``STORAGES``.
    """
    if narrowest not in STORAGES:
        raise ValueError(f"`weight_storage` must be one of {STORAGES}. Received: {narrowest!r}")

    def pack(graph: Graph) -> Graph:
        draft, links = Draft(graph), Links(graph)
        for k, op in enumerate(graph.ops):
            dtype = packed_type(graph, op, narrowest)
            if dtype and links.only_reader(op.inputs[1]) == k and (grid := graph.tensors[op.inputs[1]].quantization):
                draft.change(op.inputs[1], dtype=dtype, quantization=replace(grid, bits=min(grid.bits, width(dtype))))
        if narrowest != "int8" and draft.tensors == list(graph.tensors):
            warnings.warn(
                f"weight_storage={narrowest!r} changes nothing: no weight of a dense layer or convolution has "
                f"{width(narrowest)} bits or fewer. Train it with narrower ones, as tfcompress.LSQ(bits=4).",
                stacklevel=2,
            )
        return draft.graph()

    return pack


def packed_type(graph: Graph, op: Op, narrowest: str) -> str | None:
    """The type in which the weight of ``op`` is to be stored; None if it stays as it is."""
    types = KERNELS.get((op.kind, graph.tensors[op.inputs[0]].dtype), ()) if op.inputs else ()
    weight = graph.tensors[op.inputs[1]] if types else None
    if weight is None or not _is_symmetric_int8(weight):
        return None
    bits = signed_bits(np.asarray(weight.data, np.int64))
    wide_enough = (t for t in types if bits <= width(t) and width(t) >= width(narrowest))
    return next(wide_enough, None)


def _is_symmetric_int8(weight: Tensor) -> bool:
    grid = weight.quantization
    return weight.data is not None and weight.dtype == "int8" and grid is not None and not np.any(grid.zero_point)
