import keras
import numpy as np
import pytest

import tfcompress as tfc
from interop.zoo import sparsity
from tfcompress import schedules


@pytest.mark.parametrize(
    "theirs",
    [sparsity.ConstantSparsity(0.6, 2, 9, 3), sparsity.PolynomialDecay(0.2, 0.8, 2, 10, power=2, frequency=4)],
)
def test_a_schedule_of_tfmot_is_ours_of_the_same_name_and_values(theirs):
    ours = tfc.MagnitudePruning(theirs).schedule
    assert type(ours) is getattr(schedules, type(theirs).__name__)
    for step in range(13):
        due, value = theirs(step)
        assert bool(ours.due(step)) == bool(due) or step == theirs.end_step  # at which ours is always due
        np.testing.assert_allclose(ours(step), value, rtol=1e-6)


def test_schedules_of_tfmot_are_taken_wherever_ours_are():
    theirs = sparsity.PolynomialDecay(0.2, 0.8, 2, 10)
    wanted = tfc.PolynomialDecay(0.2, 0.8, 2, 10).get_config()
    assert tfc.LookUpTable(8, sparsity=theirs).sparsity.get_config() == wanted
    assert tfc.AnalyticThreshold(sharpening=theirs).sharpening.get_config() == wanted
    assert tfc.callbacks.Anneal("x", theirs).schedule.get_config() == wanted
    again = tfc.MagnitudePruning.from_config(tfc.MagnitudePruning(theirs).get_config())
    assert again.schedule.get_config() == wanted


def test_pruning_by_a_schedule_of_tfmot():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, name="d")])
    small = tfc.compress(model, {"d": {"kernel": tfc.MagnitudePruning(sparsity.ConstantSparsity(0.75, 0))}})
    assert np.mean(tfc.deployed(small.get_layer("d"), "kernel")[0] == 0) == 0.75


class Mine(sparsity.PruningSchedule):
    def __call__(self, step):
        return True, 0.5

    def get_config(self):
        return {}


def test_a_schedule_that_is_made_for_tfmot_is_refused():
    with pytest.raises(ValueError, match="Received: Mine"):
        tfc.MagnitudePruning(Mine())
