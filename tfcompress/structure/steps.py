"""Tells one forward pass from the next, so that a layer called twice in a step does once what belongs to the step.

On TensorFlow, the outermost layer call opens a call context, which lives as long as the pass, eager or traced; Keras
has no public name for it. On JAX the trainer opens none, but values there never change: while all variables hold the
very same values as after the last computation, no step has passed.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras


class OncePerStep:
    """Keeps what ``compute`` made as long as the step lasts."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._made: Any = None

    def __call__(self, layer: Any, variables: Sequence[keras.Variable], compute: Callable[[], Any]) -> Any:
        """Calls ``compute``, or returns what it made before in this step.

        Args:
            layer: The layer inside whose call this happens.
            variables: All that ``compute`` reads or assigns.
            compute: Makes tensors.
        """
        if keras.backend.backend() != "jax":
            memo = _context_memo(layer)
            if self not in memo:
                memo[self] = compute()
            return memo[self]
        if not self._values or any(v.value is not old for v, old in zip(variables, self._values)):
            self._made = compute()
            self._values = [v.value for v in variables]
        return self._made


def _context_memo(layer: Any) -> dict[Any, Any]:
    """A dict that dies with the outermost call; a new one if ``layer`` is called on its own, which is a step each."""
    context = layer._get_call_context()
    if context.entry_layer is layer:
        layer._maybe_reset_call_context()  # asking may have opened this context; the layer's own is not needed further
        return {}
    memo = context.get_value("tfcompress_memo", {})
    context.set_value("tfcompress_memo", memo)
    return memo
