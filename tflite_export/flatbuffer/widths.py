"""True bit widths, which the schema has no field for, in the metadata blob that every other reader ignores.

    metadata["tfcompress"] = {"version": 1, ..., "tensors": {"<tensor name>": {"bits": 4, "low": 112}}}

A tensor is listed if its grid is narrower than its type. Other keys of the blob belong to whoever wrote them
and pass through. ``docs/metadata.md`` describes all keys.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tflite_export.flatbuffer.errors import InvalidModel
from tflite_export.flatbuffer.packing import width
from tflite_export.ir import Graph, Quantization, Tensor

KEY = "tfcompress"
VERSION = 1


def describe(graph: Graph) -> dict[str, bytes]:
    """The metadata of ``graph`` with the widths of its tensors in it, by name in alphabetical order.

    Raises:
        InvalidModel: Two tensors share the name of one that must be listed.
    """
    narrow = [t for t in graph.tensors if _is_narrow(t)]
    blob = parse(graph.metadata.get(KEY, b"{}"))
    metadata = dict(graph.metadata)
    if narrow or KEY in metadata:
        listed = {t.name: _entry(t.quantization) for t in narrow if t.quantization}
        check_names(graph.tensors, {"tensors": listed})
        metadata[KEY] = _dump({"version": VERSION, **blob, "tensors": listed})
    return dict(sorted(metadata.items()))


def check_names(tensors: Sequence[Tensor], blob: Mapping[str, Any]) -> None:
    """Refuses widths that several quantised tensors could claim."""
    listed = blob.get("tensors", {})
    uses = Counter(t.name for t in tensors if t.quantization is not None and t.name in listed)
    if shared := [name for name, count in uses.items() if count > 1]:
        raise InvalidModel(f"Several tensors are called '{shared[0]}': rename them, since widths go by name.")


def restore(tensor: Tensor, blob: Mapping[str, Any]) -> Tensor:
    """``tensor`` with the width that the parsed metadata gives it, else that of its type."""
    if tensor.quantization is None:
        return tensor
    entry = blob.get("tensors", {}).get(tensor.name, {})
    bits, low = entry.get("bits", natural_bits(tensor.dtype)), entry.get("low")
    if type(bits) is not int or type(low) not in (int, type(None)):
        raise InvalidModel(f"Metadata '{KEY}': the width of tensor '{tensor.name}' makes no sense: {entry}")
    return replace(tensor, quantization=replace(tensor.quantization, bits=bits, low=low))


def parse(data: bytes) -> dict[str, Any]:
    """The JSON object in the blob.

    Raises:
        InvalidModel: It is not one, or of a version that is not known here.
    """
    try:
        blob = json.loads(data)
        version = blob.get("version", VERSION)
    except (ValueError, AttributeError, RecursionError) as error:
        raise InvalidModel(f"Metadata '{KEY}' is damaged: {error}") from None
    if type(version) is not int or version != VERSION:
        newer = " The file comes from a newer tfcompress: update." if type(version) is int and version > VERSION else ""
        raise InvalidModel(f"Metadata '{KEY}' must have version {VERSION}. Received: version={version!r}.{newer}")
    tensors = blob.get("tensors", {})
    if not isinstance(tensors, dict) or not all(isinstance(entry, dict) for entry in tensors.values()):
        raise InvalidModel(f"Metadata '{KEY}' is damaged: 'tensors' must map names to objects.")
    return blob


def natural_bits(dtype: str) -> int:
    """Width of a code if nothing else is said; a float tensor's grid may be as wide as an int32."""
    return width(dtype)


def _is_narrow(tensor: Tensor) -> bool:
    grid = tensor.quantization
    return grid is not None and (grid.bits != natural_bits(tensor.dtype) or grid.low is not None)


def _entry(grid: Quantization) -> dict[str, int | None]:
    return {"bits": int(grid.bits), "low": None if grid.low is None else int(grid.low)}


def _dump(blob: Mapping[str, Any]) -> bytes:
    return json.dumps(blob, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
