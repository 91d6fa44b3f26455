import keras
import numpy as np
import pytest
from keras import ops

from tfcompress import Chain, ConstantSparsity, MagnitudePruning, Transform, callbacks, compress


@keras.saving.register_keras_serializable("tests_of_callbacks")
class Warm(Transform):
    """Multiplies by 1 plus a temperature and remembers the sum of all temperatures it was called with."""

    def build(self, shape):
        self.temperature = self.add_weight((), "zeros", name="temperature", trainable=False)
        self.total = self.add_weight((), "zeros", name="total", trainable=False)
        self.updates = self.add_weight((), "zeros", name="updates", trainable=False)

    def call(self, x, training=None):
        if training:
            self.total.assign(self.total + self.temperature)
        return x * (1 + self.temperature)

    def update(self, x):
        self.updates.assign(self.updates + ops.shape(x)[0])


def network(kernel=None, output=None):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="one"), keras.layers.Dense(2, name="two")])
    slots = {name: t for name, t in (("kernel", kernel), ("output", output)) if t}
    return compress(model, {"one|two": slots})


def fit(model, *used, epochs=1, first=0, **options):
    if options or not model.compiled:
        model.compile(keras.optimizers.SGD(0.01), "mse", **options)
    x = np.random.default_rng(0).normal(size=(48, 4))
    model.fit(x, x[:, :2], batch_size=4, epochs=epochs, initial_epoch=first, shuffle=False, verbose=0, callbacks=used)
    return model


def kernel_of(model, name):
    return model.get_layer(name).transforms["kernel"]


def test_the_value_follows_the_schedule_in_every_step():
    model = fit(network(Warm()), callbacks.Anneal("temperature", lambda step: step / 10))
    for name in ("one", "two"):
        assert float(kernel_of(model, name).total) == pytest.approx(sum(range(12)) / 10)
        assert float(kernel_of(model, name).temperature) == pytest.approx(1.1)


@pytest.mark.parametrize("options", [{}, {"steps_per_execution": 4}, {"run_eagerly": True}, {"jit_compile": True}])
def test_the_result_does_not_depend_on_how_steps_are_executed(options):
    model = fit(network(Warm()), callbacks.Anneal("temperature", lambda step: step, every=4), **options)
    assert float(kernel_of(model, "one").total) == 4 * (0 + 4 + 8)


def test_a_schedule_of_the_package_may_be_annealed():
    model = fit(network(Warm()), callbacks.Anneal("temperature", ConstantSparsity(0.25)))
    assert float(kernel_of(model, "one").temperature) == 0.25


def test_only_matching_transforms_change():
    model = fit(network(Warm(), Warm()), callbacks.Anneal("temperature", lambda step: 1, match="one_.*"))
    assert float(model.get_layer("one_output").temperature) == 1
    assert float(kernel_of(model, "one").temperature) == float(model.get_layer("two_output").temperature) == 0


def test_members_of_chains_are_found():
    model = fit(
        network(Chain([MagnitudePruning(0.5), Warm(name="warm")])), callbacks.Anneal("temperature", lambda s: 2)
    )
    assert float(kernel_of(model, "one").transforms[1].temperature) == 2


def test_resumed_training_goes_on_in_the_schedule(tmp_path):
    anneal = callbacks.Anneal("temperature", lambda step: step)
    through = fit(network(Warm()), anneal, epochs=2)
    fit(network(Warm()), anneal).save(tmp_path / "model.keras")
    resumed = fit(keras.models.load_model(tmp_path / "model.keras"), anneal, epochs=2, first=1)
    for one, other in zip(through.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert float(kernel_of(resumed, "one").total) == sum(range(24))


def test_annealing_does_not_compile_again():
    model = network(Warm())
    calls = []
    traced = type(kernel_of(model, "one")).call
    kernel_of(model, "one").call = lambda x, training=None: (
        calls.append(1) or traced(kernel_of(model, "one"), x, training)
    )
    fit(model, callbacks.Anneal("temperature", lambda step: step))
    assert len(calls) < 5


@pytest.mark.parametrize(("attribute", "match"), [("heat", ".*"), ("temperature", "nothing"), ("built", ".*")])
def test_an_attribute_that_no_transform_has_is_refused(attribute, match):
    with pytest.raises(ValueError, match=rf"`attribute` must.*Received: attribute='{attribute}'.*Variables of"):
        fit(network(Warm()), callbacks.Anneal(attribute, lambda step: 0, match=match))


@pytest.mark.parametrize(("arguments", "updates"), [({}, 4), ({"every": 2}, 2), ({"every": 3}, 1)])
def test_epochs_refresh(arguments, updates):
    model = fit(network(Warm()), callbacks.Refresh(**arguments), epochs=4)
    assert float(kernel_of(model, "one").updates) == updates * 4
    assert float(kernel_of(model, "two").updates) == updates * 3


@pytest.mark.parametrize("options", [{}, {"steps_per_execution": 4}])
def test_batches_refresh_across_epochs(options):
    model = fit(network(Warm()), callbacks.Refresh(every=8, unit="batches"), epochs=2, **options)
    assert float(kernel_of(model, "one").updates) == 3 * 4


def test_masks_are_refreshed_with_the_current_weight():
    schedule = ConstantSparsity(0.5, end_step=0)
    model = fit(network(MagnitudePruning(schedule)), callbacks.Refresh(), epochs=3, run_eagerly=True)
    kernel = np.array(model.get_layer("one").layer.kernel)
    kept = np.argsort(-np.abs(kernel), axis=None, kind="stable")[:6]
    np.testing.assert_array_equal(np.flatnonzero(kernel_of(model, "one").mask), np.sort(kept))


def test_a_model_without_transforms_on_weights_is_refused():
    with pytest.raises(ValueError, match=r"must have transforms on weights\. Use tfcompress\.compress"):
        fit(network(output=Warm()), callbacks.Refresh())


@pytest.mark.parametrize("arguments", [{"every": 0}, {"unit": "steps"}])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="`every` must be at least 1.*Received: "):
        callbacks.Refresh(**arguments)
    with pytest.raises(ValueError, match="`every` must be at least 1. Received: every=0"):
        callbacks.Anneal("temperature", lambda step: 0, every=0)
