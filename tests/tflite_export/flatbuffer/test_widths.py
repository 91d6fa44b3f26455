import json
from dataclasses import replace
from pathlib import Path

import pytest

from tflite_export.flatbuffer import InvalidModel, canonical, read, write
from tflite_export.flatbuffer.widths import KEY, parse


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
    tensors = [
        replace(t, quantization=plain if t.quantization and t.dtype == "int8" else t.quantization)
        for t in graph.tensors
    ]
    tensors[1] = replace(tensors[1], quantization=replace(graph.tensors[1].quantization, bits=8))
    assert KEY not in canonical(replace(graph, tensors=tuple(tensors), metadata={})).metadata


def test_widths_come_back(graph):
    grids = [tensor.quantization for tensor in read(write(graph)).tensors]
    assert [(grid.bits, grid.low) for grid in grids if grid] == [
        (8, None),
        (4, None),
        (32, None),
        (4, 112),
        (4, 112),
        (8, None),
    ]


def test_names_that_carry_a_width_must_be_unique(graph):
    tensors = list(graph.tensors)
    tensors[5] = replace(tensors[5], name="conv")
    with pytest.raises(InvalidModel, match="Several tensors are called 'conv'"):
        write(replace(graph, tensors=tuple(tensors)))


@pytest.mark.parametrize(
    "blob", [b"", b"\xff", b"[]", b'{"version":2}', b'{"tensors":[]}', b'{"tensors":{"conv":4}}', b"[" * 100_000]
)
def test_a_blob_that_is_not_ours_is_one_clear_error(blob):
    with pytest.raises(InvalidModel, match="Metadata 'tfcompress'"):
        parse(blob)


def test_a_newer_version_is_refused_with_the_remedy(graph):
    blob = write(graph).replace(b'"version":1', b'"version":2')
    with pytest.raises(InvalidModel, match=r"must have version 1. Received: version=2. .*newer tfcompress: update"):
        read(blob)


@pytest.mark.parametrize("entry", ['"bits":"4"', '"bits":true', '"bits":9', '"bits":0', '"bits":4,"low":-129'])
def test_a_width_that_makes_no_sense_is_refused(graph, entry):
    good = canonical(graph).metadata[KEY]
    bad = f'{{"version":1,"tensors":{{"conv":{{{entry}}}}}}}'.encode()
    with pytest.raises(InvalidModel, match="'conv'"):
        read(write(graph).replace(good, bad.ljust(len(good))))


def test_the_documents_example_is_one():
    text = (Path(__file__).parents[3] / "docs/metadata.md").read_text(encoding="utf-8")
    example = text.split("```json\n")[1].split("\n```")[0]
    assert set(parse(example.encode())) == {"version", "tfcompress", "layers", "tensors"}
    assert json.dumps(json.loads(example), sort_keys=True, separators=(",", ":")) == example


def test_entries_of_tensors_that_are_gone_are_ignored(graph):
    data = write(graph).replace(b'"conv/kernel":{', b'"conv/kernal":{')
    assert read(data).tensors[1].quantization.bits == 8
