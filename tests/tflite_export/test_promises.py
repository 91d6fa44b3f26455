from dataclasses import replace

import numpy as np
import pytest

from tflite_export.flatbuffer import InvalidModel
from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.promises import asked, from_metadata, overdrawn


def note(graph, layers):
    return replace(graph, metadata={"tfcompress": b'{"version":1,"layers":%s}' % layers})


def with_tensor(graph, index, **changes):
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(graph, tensors=tuple(tensors))


def test_requests_are_held_against_what_the_tensors_hold(network):
    kernel, output = from_metadata(network)
    assert (kernel["tensor"], kernel["requested_bits"], kernel["delivered_bits"]) == ("conv/kernel", 4, 4)
    assert (output["tensor"], output["requested_bits"], output["delivered_bits"]) == ("conv", 4, 4)
    assert kernel["ok"] and output["ok"]


def test_a_wider_code_is_noticed(network):
    wide = network.tensors[1].data.copy()
    wide.ravel()[:30] = np.arange(-60, 60, 4)
    (kernel, _) = from_metadata(with_tensor(network, 1, data=wide))
    assert not kernel["ok"]
    assert kernel["note"] == "4 bits requested, 7 needed (int8)"


def test_a_codebook_of_wide_codes_is_delivered_as_an_index(network):
    powers = np.sign(network.tensors[1].data) * 2 ** (np.abs(network.tensors[1].data) % 7)
    (kernel, _) = from_metadata(with_tensor(network, 1, data=powers.astype(np.int8)))
    assert kernel["ok"]
    assert (kernel["delivered_bits"], kernel["note"]) == (4, "codebook of 15 values")


def test_a_feature_map_that_nothing_clamps_is_noticed(network):
    free = replace(network.ops[0], options={**network.ops[0].options, "fused_activation_function": "NONE"})
    (_, output) = from_metadata(replace(network, ops=(free, *network.ops[1:])))
    assert (output["ok"], output["delivered_bits"], output["note"]) == (False, 8, "can hold 8 bits")


def test_a_weight_that_is_not_there_is_noticed_and_a_fused_feature_map_is_not(network):
    weight, output = from_metadata(note(network, b'{"gone":{"kernel":{"bits":4},"output":{"bits":4}}}'))
    assert (weight["ok"], weight["note"]) == (False, "the file has no tensor of this name")
    assert (output["ok"], output["note"]) == (True, "no tensor of its own")


def test_floats_are_no_delivery():
    weight = Tensor("d/kernel", (2, 2), "float32", None, np.eye(2, dtype=np.float32))
    graph = Graph((weight,), (), (), (), metadata={"tfcompress": b'{"layers":{"d":{"kernel":{"bits":4}}}}'})
    (record,) = from_metadata(graph)
    assert (record["ok"], record["note"]) == (False, "4 bits requested, 32 needed (float32)")


@pytest.mark.parametrize(
    "layers", [b"[]", b'{"conv":4}', b'{"conv":{"kernel":4}}', b'{"conv":{"kernel":{}}}', b'{"conv":{"k":{"bits":0}}}']
)
def test_a_damaged_note_is_one_clear_error(network, layers):
    with pytest.raises(InvalidModel, match="Metadata 'tfcompress'"):
        list(asked(note(network, layers)))


def test_a_file_without_a_note_asked_for_nothing(network):
    assert from_metadata(replace(network, metadata={})) == []


def test_nothing_is_declared_narrower_than_it_is(network):
    assert list(overdrawn(network)) == []


@pytest.mark.parametrize(
    ("index", "changes", "message"),
    [
        (1, {"bits": 3}, "'conv/kernel' is declared to have 3 bits, but its codes need 4"),
        (2, {"bits": 2}, "'conv/bias' is declared to have 2 bits, but its codes need 4"),
        (6, {"bits": 7}, "'softmax' is declared to have 7 bits, but its codes need 8"),
        (5, {"bits": 3}, "'flat' is declared to have 3 bits, but its codes need 4"),
    ],
)
def test_a_declaration_below_the_truth_is_named(network, index, changes, message):
    lie = with_tensor(network, index, quantization=replace(network.tensors[index].quantization, **changes))
    (problem,) = overdrawn(lie)
    assert message in problem


def test_a_maximum_delivers_a_narrow_signed_map():
    grid = Quantization(np.float32([0.5]), np.array([120]))
    narrow = replace(grid, bits=4, low=112)
    tensors = (
        Tensor("x", (4,), "int8", grid),
        Tensor("low", (1,), "int8", grid, np.array([112], np.int8)),
        Tensor("y", (4,), "int8", narrow),
    )
    assert list(overdrawn(Graph(tensors, (Op("MAXIMUM", (0, 1), (2,)),), (0,), (2,)))) == []
