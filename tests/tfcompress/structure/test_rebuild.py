import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.structure import slots
from tfcompress.structure.rebuild import SKIP, Looking, clone, rebuild
from tfcompress.structure.trace import trace


def siamese():
    """Two inputs by name, a shared nested model, a shared layer, operations, a Lambda and two named outputs."""
    tower = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm")], name="tower"
    )
    a, b = keras.Input((6, 6, 3), name="a"), keras.Input((6, 6, 3), name="b")
    dense, flat = layers.Dense(5, name="dense"), layers.Flatten(name="flat")
    both = layers.Concatenate(name="both")([dense(flat(tower(x))) for x in (a, b)])
    both = keras.ops.relu(layers.Lambda(lambda x: 2 * x, name="double")(both) + 1.0)
    return keras.Model({"a": a, "b": b}, {"head": layers.Dense(2, name="head")(both), "both": both}, name="siamese")


def recurrent():
    """Masks, states, attention and wrappers of layers."""
    inputs = keras.Input((5,), dtype="int32", name="ids")
    table = layers.Embedding(7, 4, mask_zero=True)(inputs)
    made, *state = layers.LSTM(3, return_state=True, return_sequences=True, dropout=0.1)(table)
    again = layers.LSTM(3)(made, initial_state=state)
    seen = layers.MultiHeadAttention(2, 3)(query=table, value=table, use_causal_mask=True)
    timed = layers.TimeDistributed(keras.Sequential([keras.Input((4,)), layers.Dense(2)]))(seen)
    return keras.Model(inputs, [again, layers.Bidirectional(layers.GRU(2))(timed)])


def deferred():
    model = keras.Sequential([layers.Conv2D(3, 3), layers.Flatten()], name="deferred")
    model.build((None, 6, 6, 3))
    return model


def nested_first():
    return keras.Sequential([keras.Sequential([keras.Input((4,)), layers.Dense(3)], name="in"), layers.Dense(2)])


MODELS = {"siamese": siamese, "recurrent": recurrent, "deferred": deferred, "nested_first": nested_first}


def data(model):
    rng = np.random.default_rng(0)
    return keras.tree.map_structure(
        lambda t: rng.integers(0, 4, (3, *t.shape[1:])) if t.dtype == "int32" else rng.normal(size=(3, *t.shape[1:])),
        model.inputs[0] if isinstance(model, keras.Sequential) else model.input,
    )


@pytest.mark.parametrize("name", MODELS)
def test_copy_has_the_same_structure_names_and_predictions(name):
    model = MODELS[name]()
    model.set_weights([w + 0.1 for w in model.get_weights()])
    twin = rebuild(model)
    assert type(twin) is type(model) and twin.name == model.name
    assert [call.path for call in trace(twin).calls] == [call.path for call in trace(model).calls]
    x = data(model)
    for old, new in zip(
        keras.tree.flatten(model.predict(x, verbose=0)), keras.tree.flatten(twin.predict(x, verbose=0)), strict=True
    ):
        np.testing.assert_array_equal(old, new)
    assert not {id(v) for v in model.variables} & {id(v) for v in twin.variables}


def test_structures_of_inputs_and_outputs_are_kept():
    twin = rebuild(siamese())
    assert set(twin.input) == {"a", "b"} and set(twin.output) == {"head", "both"}


def test_replace_is_asked_once_per_layer_with_its_path():
    asked = []
    rebuild(siamese(), lambda layer, path: asked.append(path))
    assert [path for path in asked if path in ("tower/conv", "tower/norm", "dense", "head")] == [
        "tower/conv", "tower/norm", "dense", "head",
    ]  # fmt: skip
    assert not {"a", "b", "tower", "dense#1", "tower/conv#1"} & set(asked)


def test_layers_are_replaced_put_in_and_left_out():
    model = keras.Sequential(
        [
            keras.Input((4,), name="x"),
            layers.Dense(3, name="dense"),
            layers.Dropout(0.5, name="drop"),
            layers.ReLU(name="relu"),
        ]
    )
    for graph in (model, keras.Model(model.inputs, model.outputs)):
        twin = rebuild(
            graph,
            lambda layer, path: {"dense": layers.Dense(3, use_bias=False, name="dense"), "drop": SKIP}.get(path),
            lambda name: layers.Rescaling(2.0, name=f"{name}_twice") if name in ("x", "relu") else None,
        )
        names = [layer.name for layer in twin.layers if not isinstance(layer, layers.InputLayer)]
        assert names == ["x_twice", "dense", "relu", "relu_twice"]
        assert twin.get_layer("dense").bias is None


def test_a_mask_that_nobody_gave_is_not_asked_of_the_new_layer():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.BatchNormalization(name="norm")(inputs))
    twin = rebuild(model, lambda layer, path: layers.Rescaling(2.0, name="norm"))
    np.testing.assert_array_equal(twin(np.ones((1, 4))), np.full((1, 4), 2.0))


def test_appended_layer_serves_all_who_use_the_value_and_the_output():
    inputs = keras.Input((4,), name="x")
    first = layers.ReLU(name="relu")(inputs)
    model = keras.Model(inputs, [first, layers.Add(name="add")([first, first])])
    twin = rebuild(model, append=lambda name: layers.Rescaling(3.0, name="three") if name == "relu" else None)
    out, added = twin(np.ones((1, 4), "float32"))
    assert np.array(out)[0, 0] == 3 and np.array(added)[0, 0] == 6


def test_class_of_a_functional_model_with_its_own_step_is_kept():
    class Own(keras.Model):
        def train_step(self, data):
            return super().train_step(data)

    class Odd(keras.Model):
        def __init__(self, units):
            inputs = keras.Input((4,))
            super().__init__(inputs, layers.Dense(units)(inputs), name="odd")

    inputs = keras.Input((4,))
    assert type(rebuild(Own(inputs, layers.Dense(2)(inputs)))) is Own
    with pytest.raises(ValueError, match=r"Model 'odd': its class Odd must be made as keras.Model is"):
        rebuild(Odd(2))


def test_clone_has_weights_statistics_seeds_and_frozen_parts():
    layer = layers.BatchNormalization(name="norm")
    layer.build((None, 3))
    layer.set_weights([np.full(3, k + 2.0) for k in range(4)])
    layer.gamma.trainable = False
    twin = clone(layer)
    assert twin is not layer and twin.name == "norm"
    for path, variable in slots.variables(layer).items():
        np.testing.assert_array_equal(slots.numpy(variable), slots.numpy(slots.variables(twin)[path]))
    assert [v.name for v in twin.trainable_variables] == ["beta"]
    drop = layers.Dropout(0.5, seed=3)
    drop(np.ones((2, 2), "float32"), training=True)
    state = slots.numpy(drop.seed_generator.state)
    np.testing.assert_array_equal(slots.numpy(clone(drop).seed_generator.state), state)


def test_adapted_layers_keep_what_they_learned():
    norm = layers.Normalization(name="norm")
    norm.adapt(np.array([[1.0, 2.0], [3.0, 6.0]]))
    model = keras.Sequential([keras.Input((2,)), norm])
    x = np.array([[5.0, 7.0]], "float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), rebuild(model).predict(x, verbose=0))
    words = layers.StringLookup(name="words")
    words.adapt(np.array(["a", "b"]))
    model = keras.Sequential([keras.Input((1,), dtype="string"), words])
    assert rebuild(model).get_layer("words").get_vocabulary() == words.get_vocabulary()


def test_layers_that_cannot_be_copied_are_named():
    class NoConfig(layers.Layer):
        def __init__(self, table):
            super().__init__(name="noconfig")
            self.weight = self.add_weight((2,), name="weight")

        def get_config(self):
            return {}

    class Grown(layers.Layer):
        width = 1

        def build(self, shape):
            self.parts = [self.add_weight((2,), name="part") for _ in range(self.width)]

    with pytest.raises(ValueError, match=r"'noconfig' \(NoConfig\) must be reproducible from its configuration"):
        clone(NoConfig([1]))
    grown = Grown(name="grown")
    grown.width = 2
    grown.build((None, 4))
    with pytest.raises(
        ValueError, match=r"'grown' \(Grown\): its copy must have the same weights, \['parts.0', 'parts.1'"
    ):
        clone(grown)


def test_a_layer_can_look_at_another_value_inside_of_and_across_nested_models():
    inner = [keras.Input((4,)), layers.Dense(4, name="one"), layers.Dense(4, name="two")]
    model = keras.Sequential(
        [keras.Input((4,), name="in"), keras.Sequential(inner, name="box"), layers.Dense(4, name="end")]
    )
    places = {"box/one": "in", "box/two": "box/one", "end": "box/two"}
    twin = rebuild(model, append=lambda name: Looking(layers.Subtract(), places[name]) if name in places else None)
    assert type(twin).__name__ == "Functional" and type(twin.get_layer("box")).__name__ == "Functional"
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    one = model.get_layer("box").get_layer("one")(x) - x
    two = model.get_layer("box").get_layer("two")(one) - one
    np.testing.assert_allclose(twin(x), model.get_layer("end")(two) - two, atol=1e-6)
