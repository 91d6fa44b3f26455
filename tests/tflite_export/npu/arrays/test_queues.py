import numpy as np
import pytest

from tflite_export.npu.arrays.queues import finish


def plain(work, depth):
    """The recurrence as it is written, one cell and one group at a time."""
    done = []
    for g, cycles in enumerate(work):
        before = done[g - 1] if g else [0] * len(cycles)
        room = max(done[g - depth]) if depth and g >= depth else 0
        done.append([max(own, room) + w for own, w in zip(before, cycles)])
    return max(done[-1])


def sixteen_filters():
    """Products of 16 filters in 72 groups of 16 taps, of which a quarter is not zero."""
    kept = np.random.default_rng(1).random((16, 1152)) < 0.25
    return kept.reshape(16, 72, 16).sum(2).T


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 8, 100, 0])
@pytest.mark.parametrize("seed", range(3))
def test_the_recurrence_equals_plain_python(depth, seed):
    work = np.random.default_rng(seed).integers(0, 9, (13, 5))
    assert finish(iter(work), depth)[0] == plain(work.tolist(), depth)


@pytest.mark.parametrize(("depth", "cycles"), [(1, 528), (2, 365), (4, 327), (8, 315), (0, 315)])
def test_queues_of_eight_are_as_good_as_endless_ones(depth, cycles):
    done, load = finish(iter(sixteen_filters()), depth)
    assert done == cycles
    assert round(load.mean()) == 292


def test_a_queue_of_one_is_a_barrier():
    work = sixteen_filters()
    assert finish(iter(work), 1)[0] == work.max(1).sum()


def test_sets_of_cells_do_not_wait_for_each_other():
    work = np.random.default_rng(0).integers(0, 9, (20, 3, 4))
    done, load = finish(iter(work), 2)
    assert done.tolist() == [finish(iter(work[:, k]), 2)[0] for k in range(3)]
    np.testing.assert_array_equal(load, work.sum(0))
