"""Cross-entropy at a temperature, for targets that keep more than the winner.

    loss = T**2 * cross_entropy(t, softmax(z / T))

``t`` are targets that were made at the same temperature (``targets.Uniform(temperature=T)``), ``z`` logits. The factor
keeps gradients as large as they are at T = 1, where this is the usual cross-entropy.

Reference: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015,
https://arxiv.org/abs/1503.02531. Differs from the source in nothing.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfcompress")
class TemperedCrossEntropy(keras.losses.Loss):
    """Categorical cross-entropy of logits at a temperature.

    Args:
        temperature: ``T``, positive. Default 2.

    Raises:
        ValueError: ``temperature`` is not positive.
    """

    def __init__(self, temperature: float = 2.0, name: str = "tempered_cross_entropy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        if temperature <= 0:
            raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
        self.temperature = temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One loss a row."""
        cooled = y_pred / self.temperature
        return self.temperature**2 * ops.categorical_crossentropy(y_true, cooled, from_logits=True)

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        return {**super().get_config(), "temperature": self.temperature}
