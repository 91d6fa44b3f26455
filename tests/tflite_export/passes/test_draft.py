"""Links, drafts, and what falls out of a graph when nobody reads it."""

from passes.helpers import Chart, assert_equal_results, kinds
from tflite_export.passes.draft import OUTSIDE, Draft, Links, remove_dead, rewrite, sequence


def test_links_know_makers_and_readers() -> None:
    chart = Chart()
    x = chart.input(2)
    y = chart.op("RELU", x)
    z = chart.op("ADD", y, y)
    links = Links(chart.graph(y, z))
    assert links.maker == {y: 0, z: 1}
    assert links.readers[y] == [1, OUTSIDE]
    assert links.only_reader(x) == 0
    assert links.only_reader(y) is None
    assert links.only_reader(z) is None


def test_dead_ops_and_tensors_go_and_unused_inputs_stay() -> None:
    chart = Chart()
    x, unused = chart.input(2), chart.input(3)
    y = chart.op("RELU", x)
    chart.op("RELU6", unused)
    before = chart.graph(y)
    after = remove_dead(before)
    assert kinds(after) == ["RELU"]
    assert [t.name for t in after.tensors] == ["x0", "x1", f"t{y}"]
    assert_equal_results(before, after)


def test_a_signature_follows_its_tensors() -> None:
    chart = Chart()
    dead, x = chart.constant([1.0]), chart.input(2)
    y = chart.op("RELU", x)
    draft = Draft(chart.graph(y))
    draft.start = draft.graph().__class__(**{**vars(draft.start), "signature": ("serving_default", {"a": x}, {"b": y})})
    after = remove_dead(draft.graph())
    assert after.signature == ("serving_default", {"a": 0}, {"b": 1})
    assert dead == 0


def test_rules_apply_until_none_matches() -> None:
    chart = Chart()
    y = chart.op("RELU", chart.op("RELU", chart.op("RELU", chart.input(2))))

    def drop_second(graph, links, k):
        x = graph.ops[k].inputs[0]
        if x not in links.maker:
            return None
        draft = Draft(graph)
        draft.redirect(graph.ops[k].outputs[0], x)
        del draft.ops[k]
        return draft.graph()

    assert kinds(rewrite(chart.graph(y), drop_second)) == ["RELU"]


def test_a_sequence_is_a_pass() -> None:
    chart = Chart()
    graph = chart.graph(chart.op("RELU", chart.input(2)))
    assert sequence(remove_dead, sequence(remove_dead))(graph) == graph
