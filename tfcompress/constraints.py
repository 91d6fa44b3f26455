"""Constraints on the trained variables of Transforms: where the optimizer must not go.

    AtLeast:  variable <- max(variable, minimum)

Reference: ``keras.constraints``. Differs from the source in: nothing, it is one more constraint.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfcompress")
class AtLeast(keras.constraints.Constraint):
    """Keeps every element of a variable at ``minimum`` or above."""

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def __call__(self, value: Any) -> Any:
        """The variable's value, raised to the minimum where it is below."""
        return ops.maximum(value, self.minimum)

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        return {"minimum": self.minimum}
