"""Normal equations, summed up, are least squares."""

import numpy as np
import pytest

from tfcompress.least_squares.least_squares import NormalEquations, predicted


def solved(a, t, ridge=0.0, bias=True, batch=7):
    equations = NormalEquations(ridge, bias)
    for k in range(0, len(a), batch):
        equations.add(a[k : k + batch])
    return equations, equations.solve((a[k : k + batch], t[k : k + batch]) for k in range(0, len(a), batch))


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 1, 5)) + 3, rng.normal(size=(60, 1, 2)) - 1


@pytest.mark.parametrize("batch", [1, 7, 60])
def test_sums_over_batches_give_what_all_rows_at_once_give(rows, batch):
    a, t = rows
    _, (weights, offset) = solved(a, t, batch=batch)
    ones = np.ones((60, 1))
    expected = np.linalg.lstsq(np.hstack([a[:, 0], ones]), t[:, 0], rcond=None)[0]
    np.testing.assert_allclose(weights[0], expected[:-1], atol=1e-9)
    np.testing.assert_allclose(offset[0], expected[-1], atol=1e-9)
    _, (weights, offset) = solved(a, t, bias=False, batch=batch)
    np.testing.assert_allclose(weights[0], np.linalg.lstsq(a[:, 0], t[:, 0], rcond=None)[0], atol=1e-9)
    np.testing.assert_array_equal(offset, 0)


def test_hand_value_with_ridge():
    """Variance 1, covariance 2; the ridge of 1 halves the weight, and the offset is what is left of the mean."""
    a, t = np.array([[[1.0]], [[3.0]]]), np.array([[[4.0]], [[8.0]]])
    assert [float(v.item()) for v in solved(a, t)[1]] == pytest.approx([2, 2])
    assert [float(v.item()) for v in solved(a, t, ridge=1.0)[1]] == pytest.approx([1, 4])


def test_inputs_that_never_change_get_no_weight_and_equal_ones_share(rows):
    a, t = rows
    still = np.concatenate([a, np.full((60, 1, 1), 5.0), np.zeros((60, 1, 1))], axis=-1)
    weights, offset = solved(still, t)[1]
    np.testing.assert_array_equal(weights[0, 5:], 0)
    np.testing.assert_allclose(predicted(still, weights, offset), predicted(a, *solved(a, t)[1]), atol=1e-6)
    twice = np.concatenate([a, a], axis=-1)
    weights, _ = solved(twice, t, ridge=1e-9)[1]
    np.testing.assert_allclose(weights[0, :5], weights[0, 5:], atol=1e-3)
    dead = np.full((60, 1, 2), 2.0)
    weights, offset = solved(dead, t)[1]
    np.testing.assert_array_equal(weights, 0)
    np.testing.assert_allclose(offset, t.mean(axis=0))


def test_blocks_are_problems_of_their_own(rows):
    a, t = rows
    both = solved(np.concatenate([a, 2 * a], axis=1), np.concatenate([t, t**2], axis=1))[1]
    for k, alone in enumerate([solved(a, t)[1], solved(2 * a, t**2)[1]]):
        np.testing.assert_allclose(both[0][k], alone[0][0], atol=1e-9)
        np.testing.assert_allclose(both[1][k], alone[1][0], atol=1e-9)


def test_other_targets_for_the_same_rows_need_no_new_sums(rows):
    a, t = rows
    equations, _ = solved(a, t)
    assert equations.count == 60 and equations.covariance.shape == (1, 5, 5)
    np.testing.assert_allclose(equations.mean, a.mean(axis=0))
    again = equations.solve([(a, 3 * t)])
    np.testing.assert_allclose(again[0], 3 * solved(a, t)[1][0], atol=1e-9)
