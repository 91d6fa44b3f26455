import pytest

from tflite_export.verification import Difference, Row, Verification, VerificationError


def result(*rows, failures=None):
    return Verification(rows, ("reference", "XNNPACK", "Keras"), failures or {}, samples=2)


def row(name="conv", reference=(0, 0), xnnpack=None, keras=None):
    peers = {"reference": Difference(allowed=0, differing=reference[0], max_lsb=reference[1])}
    if xnnpack:
        peers["XNNPACK"] = Difference(differing=xnnpack[0], max_lsb=xnnpack[1])
    if keras:
        peers["Keras"] = Difference(allowed=1, differing=keras[0], max_lsb=keras[1])
    return Row(name, "CONV_2D", 1000, peers)


def test_equal_to_the_reference_and_near_the_others_is_ok():
    good = result(row(xnnpack=(5, 3), keras=(7, 1)))
    assert good.ok
    assert good.first_diverging is None
    good.raise_if_different()
    assert good.summary() == (
        "0 of 1,000 values differ from LiteRT's reference kernels; "
        "XNNPACK differs in 5 of 1,000 outputs by up to 3 LSB; Keras is within 1 LSB (compared tensors: 1)."
    )


def test_the_first_diverging_tensor_is_named():
    bad = result(row("a"), row("b", reference=(2, 5)), row("c", reference=(9, 9)))
    assert not bad.ok
    assert bad.first_diverging.name == "b"
    with pytest.raises(
        VerificationError, match=r"The first to differ is 'b' \(CONV_2D\). 11 of 3,000 values differ .* 9 LSB"
    ):
        bad.raise_if_different()


def test_keras_may_be_one_step_away_but_not_two():
    assert result(row(keras=(9, 1))).ok
    assert not result(row(keras=(1, 2))).ok


@pytest.mark.parametrize(("peer", "ok"), [("reference", False), ("XNNPACK", True), ("Keras", False)])
def test_a_peer_that_could_not_be_asked_proves_nothing(peer, ok):
    verification = result(row(), failures={peer: "ended its process: SIGABRT"})
    assert verification.ok is ok
    assert "could not be compared (ended its process: SIGABRT)" in str(verification)


def test_totals_count_only_tensors_that_the_peer_has():
    assert result(row(), row(xnnpack=(3, 1))).total("XNNPACK") == (3, 1000, 1)


def test_the_table_has_one_line_a_tensor():
    lines = str(result(row("a", xnnpack=(5, 3)), row("b"))).splitlines()
    assert lines[0].split() == ["tensor", "made", "by", "values", "reference", "XNNPACK", "Keras"]
    assert lines[1].split() == ["a", "CONV_2D", "1,000", "0", "5", "by", "3", "-"]
    assert lines[2].split() == ["b", "CONV_2D", "1,000", "0", "-", "-"]
