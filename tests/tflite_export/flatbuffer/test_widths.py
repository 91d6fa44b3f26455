import json
from dataclasses import replace

import pytest

from tflite_export.flatbuffer import InvalidModel, canonical, read, write
from tflite_export.flatbuffer.widths import KEY


def described(graph):
    return json.loads(canonical(graph).metadata[KEY])


def test_only_tensors_narrower_than_their_type_are_listed(graph):
    assert described(graph)["tensors"] == {
        "conv/kernel": {"bits": 4, "low": None},
        "conv": {"bits": 4, "low": 112},
        "flat": {"bits": 4, "low": 112},
    }


def test_what_others_wrote_into_the_blob_stays(graph):
    assert described(graph)["layers"] == {"conv": {"kernel": {"bits": 4}}}


def test_a_graph_without_narrow_tensors_gets_no_blob(graph):
    plain = replace(graph.tensors[3].quantization, bits=8, low=None)
    tensors = [replace(t, quantization=plain if t.quantization and t.dtype == "int8" else t.quantization) for t in graph.tensors]
    tensors[1] = replace(tensors[1], quantization=replace(graph.tensors[1].quantization, bits=8))
    assert KEY not in canonical(replace(graph, tensors=tuple(tensors), metadata={})).metadata


def test_widths_come_back(graph):
    grids = [tensor.quantization for tensor in read(write(graph)).tensors]
    assert [(grid.bits, grid.low) for grid in grids if grid] == [(8, None), (4, None), (32, None), (4, 112), (4, 112), (8, None)]


def test_names_that_carry_a_width_must_be_unique(graph):
    tensors = list(graph.tensors)
    tensors[5] = replace(tensors[5], name="conv")
    with pytest.raises(InvalidModel, match="Several tensors are called 'conv'"):
        write(replace(graph, tensors=tuple(tensors)))


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"version":2}',
        b'{"version":1,"tensors":[]}',
        b'{"version":1,"tensors":{"conv":4}}',
        b'{"version":1,"tensors":{"conv":{"bits":"4"}}}',
        b'{"version":1,"tensors":{"conv":{"bits":true}}}',
        b'{"version":1,"tensors":{"conv":{"bits":9}}}',
        b'{"version":1,"tensors":{"conv":{"bits":0}}}',
        b'{"version":1,"tensors":{"conv":{"bits":4,"low":-129}}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_blob_is_one_clear_error(graph, blob):
    good = canonical(graph).metadata[KEY]
    data = write(graph)
    assert len(blob) <= len(good) or blob[:2] == b"[["
    if len(blob) > len(good):
        note = replace(graph, metadata={"note": blob})
        data = write(replace(note, tensors=tuple(_plain(t) for t in graph.tensors))).replace(b"note\0", b"tfco\0")
        with pytest.raises(InvalidModel):
            _parse(blob)
        return
    with pytest.raises(InvalidModel):
        read(data.replace(good, blob.ljust(len(good)) if blob else b" " * len(good)))


def test_entries_of_tensors_that_are_gone_are_ignored(graph):
    data = write(graph).replace(b'"conv/kernel":{', b'"conv/kernal":{')
    assert read(data).tensors[1].quantization.bits == 8
