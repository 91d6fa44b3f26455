"""Transforms with a state that the first values decide, such as the size of the weights. No technique of its own.

What is measured is not a number until ``calibrate``, a file or the first training call sets it, inside the graph.
Without it a transform delivers nothing but NaN, rather than some other network.
"""

from typing import Any

import keras
import numpy as np
from keras import ops, tree

from tfcompress.transform import Transform


class Measured(Transform):
    """Base class: what ``measure`` says of the first values is kept in ``measured``.

    Subclasses define ``measure``, create a variable ``unit`` by ``add_measured``, or override ``measured``, and begin
    a training call with ``measure_once``.
    """

    _calibrated = False

    @property
    def measured(self) -> Any:
        """The variable, or the tuple of variables, that holds what ``measure`` returns."""
        return self.unit

    def measure(self, x: Any) -> Any:
        """Of a tensor ``x``, any shape: a tensor for each variable in ``measured``."""
        raise NotImplementedError(f"{type(self).__name__} must define `measure`.")

    def add_measured(self, name: str, shape: tuple[int, ...] = ()) -> keras.Variable:
        """A variable that is NaN until it is measured."""
        return self.add_state(name, keras.initializers.Constant(np.nan), shape)

    def measure_once(self, x: Any) -> None:
        """Measures ``x`` if nothing has been measured yet."""
        if self._calibrated:  # a branch costs half a millisecond, so none is built without need
            return
        now = tree.map_structure(ops.convert_to_tensor, self.measured)
        unknown = ops.any(ops.isnan(tree.flatten(now)[0]))
        self._keep(ops.cond(unknown, lambda: self.measure(ops.stop_gradient(x)), lambda: now))

    def _keep(self, values: Any) -> None:
        tree.map_structure(lambda variable, value: variable.assign(value), self.measured, values)

    def calibrate(self, x: Any) -> None:
        """Measures ``x``."""
        self._keep(self.measure(ops.convert_to_tensor(x, "float32")))
        self._calibrated = True

    def load_own_variables(self, store: Any) -> None:
        """Restores the state from a file."""
        super().load_own_variables(store)
        self._calibrated = not np.isnan(ops.convert_to_numpy(tree.flatten(self.measured)[0])).any()
