import pytest

from tflite_export.npu import compare, estimate

from .graphs import small


def test_half_the_weights_and_another_machine_stand_beside_the_first():
    dense, pruned = estimate(small()), estimate(small(density=0.5))
    other = estimate(small(), "systolic-16-os")
    comparison = compare({"dense": dense, "pruned": pruned, "array": other})
    rows = {row["quantity"]: row for row in comparison.rows}
    assert rows["cycles"]["dense"] == dense.totals["cycles_total"] and rows["cycles"]["dense ratio"] == 1
    assert rows["MACs"]["pruned ratio"] == 1 and rows["weights moved, B"]["pruned ratio"] < 0.7
    assert rows["cycles"]["array ratio"] == other.totals["cycles_total"] / dense.totals["cycles_total"]
    header, *lines = str(comparison).splitlines()
    assert header.split() == ["dense", "pruned", "of", "it", "array", "of", "it"] and len(lines) == len(rows)


def test_one_estimate_cannot_be_compared():
    with pytest.raises(ValueError, match=r"at least two estimates. Received: 1"):
        compare({"only": estimate(small())})
