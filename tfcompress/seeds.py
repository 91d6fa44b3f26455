"""The state of random numbers in a model's file: Keras leaves it out, and resumed training would draw others.

A layer that holds ``keras.random.SeedGenerator`` objects as attributes calls these two from ``save_own_variables`` and
``load_own_variables``.
"""

from typing import Any

import keras


def _generators(layer: keras.layers.Layer) -> dict[str, keras.random.SeedGenerator]:
    return {name: value for name, value in vars(layer).items() if isinstance(value, keras.random.SeedGenerator)}


def save(layer: keras.layers.Layer, store: Any) -> None:
    """Adds the state of each generator to ``store``, under the attribute's name."""
    for name, generator in _generators(layer).items():
        store[name] = generator.state


def restore(layer: keras.layers.Layer, store: Any) -> dict[str, Any]:
    """Sets the generators of the layer from ``store``; returns what else is in it."""
    generators = _generators(layer)
    for name, generator in generators.items():
        generator.state.assign(store[name])
    return {name: store[name] for name in store.keys() if name not in generators}  # noqa: SIM118  not a dict
