"""Constraints on the trained variables of Transforms: where the optimizer must not go.

    AtLeast:  variable <- max(variable, minimum)
    Within:   variable <- min(max(variable, minimum), maximum)

Reference: ``keras.constraints``. Differs from the source in: nothing, they are two more constraints.
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


@keras.saving.register_keras_serializable("tfcompress")
class Within(keras.constraints.Constraint):
    """Keeps every element of a variable from ``minimum`` to ``maximum``."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def __call__(self, value: Any) -> Any:
        """The variable's value, moved to the nearer limit where it is outside."""
        return ops.clip(value, self.minimum, self.maximum)

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        return {"minimum": self.minimum, "maximum": self.maximum}
