"""The one protocol: a Transform turns a tensor into a cheaper tensor of the same shape.

Every technique that changes values (quantises, prunes, ties) is one Transform, and the same object
serves weights and feature maps. It is a Keras layer, so its variables are tracked, saved, placed and
traced for free. Four methods, and no fifth: what seems to need one is an edit (structure), a callback
(time) or a penalty (objective).
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfcompress import seeds
from tfcompress.grid import Grid


class Transform(keras.layers.Layer):
    """Base class of all techniques that change values.

    Subclasses override ``call`` and, where they have something to say, ``calibrate``, ``update`` and
    ``grid``; ``add_state`` creates what they remember. State and rounding are float32 whatever the global dtype
    policy, so that grids stay exact under mixed precision.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.supports_masking = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Maps ``x`` (any shape) to the same shape.

        ``training=True`` may be soft, noisy and differentiable; ``training=False`` is exactly what is deployed.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `call`.")

    def calibrate(self, x: Any) -> None:
        """Sets the initial state from real values ``x``. Called once, outside the training step."""

    def update(self, x: Any) -> None:
        """Refreshes masks, codebooks or ranges from ``x``, without gradient. Called now and then."""

    def grid(self, x: Any) -> Grid | None:
        """The integers on which ``call(x, training=False)`` lies; None if it does not quantise."""
        return None

    def add_state(
        self, name: str, initializer: Any = "zeros", shape: tuple[int, ...] = (), dtype: str = "float32"
    ) -> keras.Variable:
        """A variable that is not trained, and that all replicas compute alike."""
        return self.add_weight(
            shape=shape,
            initializer=initializer,
            dtype=dtype,
            trainable=False,
            aggregation="only_first_replica",
            name=name,
        )

    def save_own_variables(self, store: Any) -> None:
        """Writes the state to a file, that of random numbers too."""
        super().save_own_variables(store)
        seeds.save(self, store)

    def load_own_variables(self, store: Any) -> None:
        """Restores the state from a file."""
        super().load_own_variables(seeds.restore(self, store))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Transforms keep the shape."""
        return input_shape


@keras.saving.register_keras_serializable("tfcompress")
class Chain(Transform):
    """Applies transforms one after the other; a Chain is a Transform itself.

    Only the last member may own a grid, since a later member would move values off it, and a later
    member must keep what an earlier one made (zeros stay zero).

    Args:
        transforms: The members, first applied first.

    Raises:
        ValueError: ``transforms`` is empty or holds something that is not a Transform.
    """

    def __init__(self, transforms: Sequence[Transform], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        strangers = [t for t in transforms if not isinstance(t, Transform)]
        if not transforms or strangers:
            raise ValueError(f"`transforms` must be a non-empty list of Transforms. Received: transforms={transforms}")
        self.transforms = list(transforms)

    def build(self, input_shape: Any) -> None:
        """Builds the members that a saved file did not build already."""
        for transform in self.transforms:
            if not transform.built:
                transform.build(input_shape)
                transform.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Applies every member in order."""
        for transform in self.transforms:
            x = transform(x, training=training)
        return x

    def calibrate(self, x: Any) -> None:
        """Calibrates each member on what the members before it deliver."""
        for transform in self.transforms:
            transform.calibrate(x)
            x = transform(x, training=False)

    def update(self, x: Any) -> None:
        """Updates each member on what the members before it deliver."""
        for transform in self.transforms:
            transform.update(x)
            x = transform(x, training=False)

    def grid(self, x: Any) -> Grid | None:
        """The grid of the last member."""
        for transform in self.transforms[:-1]:
            x = transform(x, training=False)
        return self.transforms[-1].grid(x)

    def get_config(self) -> dict[str, Any]:
        """Configuration with the members serialised."""
        return {**super().get_config(), "transforms": [keras.saving.serialize_keras_object(t) for t in self.transforms]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Chain":
        """Rebuilds the members, then the chain."""
        members = [keras.saving.deserialize_keras_object(t) for t in config["transforms"]]
        return cls(**{**config, "transforms": members})


def members(transform: Transform) -> list[Transform]:
    """The transforms that act one after the other: those of a Chain, opened up, or the transform itself."""
    if not isinstance(transform, Chain):
        return [transform]
    return [member for part in transform.transforms for member in members(part)]


def require_weight(transform: Transform, shape: Sequence[int | None], remedy: str = "") -> tuple[int, ...]:
    """Refuses a feature map, whose size varies; ``remedy`` is what to do instead. Returns the shape of the weight.

    Raises:
        ValueError: ``shape`` is that of a feature map.
    """
    if None in shape:
        raise ValueError(
            f"{type(transform).__name__} '{transform.name}' must be on a weight. Received: a feature map, "
            f"{tuple(shape)}. {remedy}".rstrip()
        )
    return tuple(shape)  # type: ignore[arg-type]


def require_calibrated(transform: Transform, state: np.ndarray) -> None:
    """Refuses to speak of a grid whose ``state`` (any shape) is still NaN, as ``build`` leaves it.

    Raises:
        ValueError: Neither ``calibrate`` nor a training batch has set the state.
    """
    if np.isnan(state).any():
        raise ValueError(
            f"{type(transform).__name__} '{transform.name}' must be calibrated before its grid is known. Received: a "
            "state that is NaN. Call tfcompress.calibrate(model, x) with representative inputs, or train the model."
        )
