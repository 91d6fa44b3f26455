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

import inspect
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress.grid import Grid
from tfcompress.structure import slots
from tfcompress.structure.trace import step_memo
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
        self.transforms = dict(transforms)
        self.supports_masking = layer.supports_masking

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer, then the transforms on the shapes of its weights; a saved file brings them built."""
        super().build(input_shape)
        for slot, transform in self.transforms.items():
            variable = slots.weight(self.layer, slot)
            if not transform.built:
                transform.build(variable.shape)
                transform.built = True

    def effective(self, slot: str, training: bool = False) -> Any:
        """The weight that the layer computes with: the transformed value of the latent weight under ``slot``."""
        value = ops.convert_to_tensor(slots.weight(self.layer, slot))
        transform = self.transforms.get(slot)
        return value if transform is None else transform(value, training=training)

    def call(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Calls the layer with its effective weights; takes the arguments that the layer takes."""
        if "training" in inspect.signature(self.layer.call).parameters:
            kwargs["training"] = training
        effective = self._effective_once(bool(training))
        others = {v for v in slots.variables(self.layer).values() if id(v) not in effective}
        mapping = [(v, effective.get(id(v), v.value)) for v in slots.variables(self.layer).values()]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            before = {id(v): scope.get_current_value(v) for v in others}
            outputs = self.layer(inputs, *args, **kwargs)
        for variable in others:
            now = scope.get_current_value(variable)
            if now is not before[id(variable)]:
                variable.assign(now)
        for loss in scope.losses:
            self.add_loss(loss + 0)  # a new tensor: JAX scopes know losses by identity, and this one is the layer's
        return outputs
