"""A layer whose weights pass through Transforms before the layer uses them.

The wrapped layer keeps its own code: it runs inside ``keras.StatelessScope``, in which each variable reads as
the value mapped to it. So one mechanism serves every layer, and nothing is ever assigned into a trained weight:

    effective = transform(weight, training)
    with StatelessScope(weight -> effective, every other variable -> its value):
        outputs = layer(inputs)

Things to know about that scope, each paid for with a test:

* It swallows what the layer assigns (moving statistics, seed generators, states of stateful RNNs) and the losses
  it adds. Both are read back and repeated outside.
* On the JAX backend the trainer is such a scope itself, hence every variable is mapped, with its outer value.
* Values are mapped in the variable's own dtype, so the wrapper stays out of mixed precision: it is float32
  without autocast, and the layer casts its effective weights as it does any weight.
* A ``kernel_regularizer`` of the layer sees the latent weight, not the effective one.
"""

import functools
import inspect
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress.grid import Grid
from tfcompress.structure import slots
from tfcompress.structure.steps import OncePerStep
from tfcompress.transform import Transform


@keras.saving.register_keras_serializable("tfcompress")
class Compressed(keras.layers.Wrapper):
    """Runs ``layer`` with each weight that ``transforms`` names replaced by its transformed value.

    The wrapper takes the layer's name. ``tfcompress.compress`` makes these for a whole model.

    Args:
        layer: The layer to wrap, e.g. ``keras.layers.Dense(10)``. Its attributes are found under ``.layer``.
        transforms: Slot -> Transform, e.g. ``{"kernel": tfcompress.LSQ(bits=4)}``. A slot is the attribute path of a
            weight: ``kernel``, ``depthwise_kernel``, ``embeddings``, ``cell.recurrent_kernel``.

    Raises:
        ValueError: ``layer`` is already Compressed, ``transforms`` is empty or holds something that is not a
            Transform, or (when built) a slot is not a trainable weight of the layer.
    """

    def __init__(self, layer: keras.layers.Layer, transforms: dict[str, Transform], **kwargs: Any) -> None:
        kwargs = {"name": getattr(layer, "name", None), **kwargs, "dtype": "float32", "autocast": False}
        super().__init__(layer, **kwargs)
        if isinstance(layer, Compressed):
            raise ValueError(
                f"Layer '{layer.name}' must not be Compressed twice. "
                f"Received: a Compressed layer with slots {sorted(layer.transforms)}. Wrap `layer.layer` once, with "
                "tfcompress.Chain([first, second]) where one weight needs two transforms."
            )
        if not transforms or not all(isinstance(t, Transform) for t in transforms.values()):
            raise ValueError(
                f"Layer '{layer.name}': `transforms` must be a non-empty dict of slot -> Transform. "
                f"Received: transforms={transforms}"
            )
        self.transforms: dict[str, Transform] = dict(transforms)
        self.supports_masking = layer.supports_masking
        self._once = OncePerStep()

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer, then the transforms on the shapes of its weights; a saved file brings them built."""
        super().build(input_shape)
        for slot, transform in self.transforms.items():
            variable = slots.weight(self.layer, slot)
            if not transform.built:
                self._build_transform(slot, transform, variable.shape)

    def _build_transform(self, slot: str, transform: Transform, shape: Any) -> None:
        try:
            transform.build(shape)
        except Exception as error:
            raise ValueError(
                f"Layer '{self.name}' ({type(self.layer).__name__}): {type(transform).__name__} cannot be applied to "
                f"slot '{slot}' of shape {tuple(shape)}: {error}"
            ) from error
        transform.built = True

    def effective(self, slot: str, training: bool = False) -> Any:
        """The weight that the layer computes with: the transformed value of the latent weight under ``slot``."""
        value = slots.tensor(slots.weight(self.layer, slot))
        transform = self.transforms.get(slot)
        return value if transform is None else transform(value, training=training)

    def call(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Calls the layer with its effective weights; takes the arguments that the layer takes."""
        if "training" in inspect.signature(self.layer.call).parameters:
            kwargs["training"] = training
        effective = self._effective_weights(bool(training))
        variables = slots.variables(self.layer)
        mapping = [(v, effective.get(slot, v.value)) for slot, v in variables.items()]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            before = {slot: scope.get_current_value(v) for slot, v in variables.items()}
            outputs = self.layer(inputs, *args, **kwargs)
        for slot, variable in variables.items():
            now = scope.get_current_value(variable)
            if slot not in effective and now is not before[slot]:
                variable.assign(now)
        for loss in scope.losses:
            self.add_loss(loss + 0)  # a new tensor: JAX scopes know losses by identity, and this one is the layer's
        return outputs

    def _effective_weights(self, training: bool) -> dict[str, Any]:
        """Slot -> effective weight; in training once a step, however often the layer is called in it (law L3)."""
        if not training:
            return self._transformed(training)
        state = [v for slot, t in self.transforms.items() for v in (slots.weight(self.layer, slot), *t.variables)]
        return self._once(self, state, lambda: self._transformed(training))

    def _transformed(self, training: bool) -> dict[str, Any]:
        return {slot: self.effective(slot, training) for slot in self.transforms}

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The layer's mask."""
        return self.layer.compute_mask(inputs, previous_mask)

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's output shape."""
        return self.layer.compute_output_shape(*args, **kwargs)

    def compute_output_spec(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """The layer's output: transforms keep the shape of a weight."""
        return self.layer.compute_output_spec(inputs, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Configuration with the transforms serialised."""
        transforms = {slot: keras.saving.serialize_keras_object(t) for slot, t in self.transforms.items()}
        return {**super().get_config(), "transforms": transforms}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "Compressed":
        """Rebuilds the layer and the transforms, then the wrapper."""
        load = functools.partial(keras.saving.deserialize_keras_object, custom_objects=custom_objects)
        transforms = {slot: load(t) for slot, t in config["transforms"].items()}
        return cls(**{**config, "layer": load(config["layer"]), "transforms": transforms})


def deployed(layer: keras.layers.Layer, slot: str) -> tuple[np.ndarray, Grid | None]:
    """The weight that inference uses, and the grid it lies on.

    Args:
        layer: A plain layer or a Compressed one.
        slot: Attribute path of one of its weights.

    Returns:
        The weight (NumPy, the shape and dtype of the variable); its Grid, or None if nothing quantises it.

    Raises:
        ValueError: The layer has no such slot; the message lists those it has.
    """
    latent = slots.weight(layer.layer if isinstance(layer, Compressed) else layer, slot)
    transform = layer.transforms.get(slot) if isinstance(layer, Compressed) else None
    if transform is None:
        return slots.numpy(latent), None
    weight = ops.cast(transform(slots.tensor(latent), training=False), latent.dtype)
    return np.array(ops.convert_to_numpy(weight)), transform.grid(slots.tensor(latent))
