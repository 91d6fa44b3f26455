"""A derived network trained on the quantised outputs of its base, computed on the fly.

    t = Q(f_base(x)),    loss(t, f_student(x)) -> min over the student's weights

``fit(x)`` needs no labels. The base stands still: it computes as at inference, nobody trains it, and nothing of it
gets into the student's file. The student starts from what ``compress`` or an edit left of the base's own parameters,
which is the first step of the source.

With ``label_share`` a the targets are mixed with labels, ``(1 - a) * t + a * y``; for cross-entropy and squared errors,
which are linear in the targets but for a constant, this is the mixture of the two losses.

Reference: Alonso Garcia, Cardinaux, Kemp, Tiedemann, Uhlich and Yoshiyama, "Artificial neural network", Sony,
US20190258928A1, 2019, https://patents.google.com/patent/US20190258928A1. Differs from the source in what it leaves
open: the quantisers (see ``targets.py``), the loss, which is the one given to ``compile``, and the share of labels.
"""

from typing import Any

import keras
from keras import ops

from tfcompress.targets import Argmax, TargetQuantizer, checked, each


@keras.saving.register_keras_serializable("tfcompress")
class DerivedModel(keras.Model):
    """Trains ``student`` with plain ``fit`` on what ``base`` says of the same inputs.

    Calling, predicting and saving the weights of a DerivedModel is about the student; take ``.student`` to deploy it.
    The loss given to ``compile`` compares the student's outputs with targets, which are one-hot rows or probabilities
    (``CategoricalCrossentropy``; ``BinaryCrossentropy`` for ``Threshold``, ``MeanSquaredError`` for ``Levels``).
    Metrics compare with the labels where ``fit`` or ``evaluate`` gets some, else with the targets: accuracy then is
    agreement with the base.

    Args:
        base: The network to learn from, a built keras.Model. It is not copied, trained or otherwise changed.
        student: The network that learns; takes the same inputs and has the same outputs.
        quantizer: What makes targets of the base's outputs, see ``tfcompress.targets``; or a structure of quantisers
            like the outputs. Default ``Argmax()``.
        label_share: Share of the labels in the targets, 0 (default) to below 1. Labels are then as the targets are:
            one-hot rows, not class numbers.

    Raises:
        ValueError: Base and student share variables, ``quantizer`` is none or not calibrated, ``label_share`` is out of
            range, or (in ``fit``) labels are missing that it asks for.
    """

    def __init__(
        self,
        base: keras.Model,
        student: keras.Model,
        quantizer: Any = None,
        label_share: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": f"{student.name}_derived", **kwargs})
        _check_apart(base, student)
        if not 0 <= label_share < 1:
            raise ValueError(f"`label_share` must be from 0 to below 1. Received: label_share={label_share}")
        object.__setattr__(self, "base", base)  # Keras would train, count and list the weights of what it tracks
        self.student, self.label_share = student, label_share
        object.__setattr__(self, "quantizer", checked(Argmax() if quantizer is None else quantizer))
        for one in keras.tree.flatten(self.quantizer):
            one.check()

    def build(self, input_shape: Any = None) -> None:
        """Nothing: base and student come built."""
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's outputs."""
        return self.student(inputs, training=training)

    def targets(self, x: Any) -> Any:
        """What the student shall say of ``x``: the quantised outputs of the base, without gradient."""
        return each(TargetQuantizer.__call__, self.quantizer, self.base(x, training=False))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss against the targets, with labels mixed in if there is a share of them."""
        mixed = self.targets(x)
        if self.label_share:
            mixed = keras.tree.map_structure(self._mix, mixed, _labels(y, self.name))
        return super().compute_loss(x=x, y=mixed, y_pred=y_pred, sample_weight=sample_weight, training=training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Metrics against the labels, or against the targets where there are none."""
        if y is None and len(self.metrics) > 1:  # the first is the mean loss
            y = self.targets(x)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _mix(self, target: Any, label: Any) -> Any:
        if tuple(label.shape[1:]) != tuple(target.shape[1:]):
            raise ValueError(
                f"Model '{self.name}': labels must have the shape of the targets, {tuple(target.shape)}. "
                f"Received: shape={tuple(label.shape)}. Use keras.utils.to_categorical on class numbers."
            )
        return (1 - self.label_share) * target + self.label_share * ops.cast(label, "float32")

    def get_config(self) -> dict[str, Any]:
        """Configuration with both networks."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in PARTS}
        return {"name": self.name, "trainable": self.trainable, "label_share": self.label_share, **parts}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "DerivedModel":
        """Rebuilds both networks."""
        parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in PARTS}
        return cls(**{**config, **parts})


PARTS = ("base", "student", "quantizer")


def _check_apart(base: keras.Model, student: keras.Model) -> None:
    shared = {id(v) for v in base.variables} & {id(v) for v in student.variables}
    if shared:
        paths = sorted(v.path for v in base.variables if id(v) in shared)
        raise ValueError(
            f"`student` '{student.name}' must have its own variables, or training it would change the base. "
            f"Received: shared variables {paths}. Copy the base: keras.models.clone_model and set_weights, "
            "tfcompress.compress, or an edit of tfcompress.edits."
        )
    unbuilt = [model.name for model in (base, student) if not model.built]
    if unbuilt:
        raise ValueError(f"`base` and `student` must be built. Received: {unbuilt}. Call them once on a batch.")


def _labels(y: Any, name: str) -> Any:
    if y is None:
        raise ValueError(f"Model '{name}' has a `label_share`: fit must get labels. Received: y=None.")
    return y
