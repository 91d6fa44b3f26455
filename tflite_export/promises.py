"""Requested against delivered bits, from the file alone."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tflite_export import measures
from tflite_export.flatbuffer import InvalidModel
from tflite_export.flatbuffer.widths import KEY, parse
from tflite_export.ir import Graph, Tensor

OUTPUT = "output"
"""The slot that is a feature map; all others are weights."""

MISSING = "the file has no tensor of this name"


def request(layer: str, slot: str, tensor: str, bits: int | None) -> dict[str, Any]:
    """The record of one request, not delivered so far."""
    return {
        "layer": layer,
        "slot": slot,
        "tensor": tensor,
        "requested_bits": bits,
        "delivered_bits": None,
        "ok": False,
        "note": MISSING,
    }


def from_metadata(graph: Graph) -> list[dict[str, Any]]:
    """The requests that ``convert`` noted in the file, each held against its tensor.

    Raises:
        InvalidModel: The note is damaged.
    """
    tensors = {tensor.name: index for index, tensor in enumerate(graph.tensors)}
    ranges = measures.code_ranges(graph)
    found = []
    for layer, slot, bits in asked(graph):
        name = layer if slot == OUTPUT else f"{layer}/{slot}"
        record = request(layer, slot, name, bits)
        index = tensors.get(name)
        if index is not None:
            deliver_width(record, graph.tensors[index], ranges.get(index))
        elif slot == OUTPUT:  # fused into a neighbour: what is not stored needs no width
            record.update(ok=True, note="no tensor of its own")
        found.append(record)
    return found


def deliver_width(
    record: dict[str, Any], tensor: Tensor, limits: tuple[int, int] | None, codebook: bool = True
) -> None:
    """Fills in the bits that ``tensor`` needs, ``limits`` being the codes that a feature map can hold.

    A weight that needs more may be a codebook, if ``codebook`` says that it may: few values, and an index of the
    requested bits for each.
    """
    wanted = record["requested_bits"]
    if tensor.data is None:
        bits = 32 if limits is None else max(1, (limits[1] - limits[0]).bit_length())
        record.update(delivered_bits=bits, ok=bits <= wanted, note="" if bits <= wanted else f"can hold {bits} bits")
        return
    bits, values = measures.true_bits(tensor.data), _codebook_size(tensor) if codebook else 2**wanted + 1
    if bits <= wanted:
        record.update(delivered_bits=bits, ok=True, note="")
    elif values <= 2**wanted:
        record.update(delivered_bits=max(1, (values - 1).bit_length()), ok=True, note=f"codebook of {values} values")
    else:
        record.update(delivered_bits=bits, note=f"{wanted} bits requested, {bits} needed ({tensor.dtype})")


def _codebook_size(tensor: Tensor) -> int:
    grid, codes = tensor.quantization, np.asarray(tensor.data)
    if grid is None or codes.dtype.kind == "f":
        return codes.size + 2**32
    return measures.codebook_size(codes, grid.axis if len(grid.scale) > 1 else None)


def overdrawn(graph: Graph) -> Iterator[str]:
    """Tensors that hold more than the bits which the file declares for them."""
    ranges = measures.code_ranges(graph)
    for index, tensor in enumerate(graph.tensors):
        if tensor.quantization is None or not tensor.dtype.startswith(("int", "uint")):
            continue
        low, high = ranges.get(index, (0, 0))
        if tensor.data is not None:
            bits = measures.true_bits(tensor.data, tensor.quantization.low)
        else:
            bits = (high - low).bit_length()
        if bits > tensor.quantization.bits:
            claim = f"is declared to have {tensor.quantization.bits} bits, but its codes need {bits}"
            yield f"tensor '{tensor.name}' {claim}"


def asked(graph: Graph) -> Iterator[tuple[str, str, int]]:
    """Layer, slot and bits of every request that ``convert`` noted in the file."""
    layers = parse(graph.metadata.get(KEY, b"{}")).get("layers", {})
    for layer, slots in _items(layers):
        for slot, entry in _items(slots):
            bits = dict(_items(entry)).get("bits")
            if type(bits) is not int or bits < 1:
                raise InvalidModel(f"Metadata '{KEY}': the request of '{layer}', '{slot}' makes no sense: {entry}")
            yield layer, slot, bits


def _items(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise InvalidModel(f"Metadata '{KEY}': 'layers' is damaged at {str(value)[:80]!r}")
    return value.items()
