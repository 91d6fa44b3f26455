"""What techniques that learn their own threshold have in common; each of them says what its threshold is.

    training     y = w * gate(w),  gate in (0, 1),    loss += penalty * sum(gate) and what else the technique asks for
    frozen       y = w * mask,     mask = what was kept at step ``freeze_step``
    inference    y = w where the technique keeps it, else 0

A threshold is learned in the soft phase only. Freezing leaves the last part of the training to the weights that
survived: it sees exactly the network that is deployed.
"""

from typing import Any

from keras import ops

from tfcompress.measured import Measured
from tfcompress.transform import require_weight


class SoftPruning(Measured):
    """Base class: soft gates in training, hard zeros at inference, and a mask that can be frozen.

    Subclasses define ``measure``, ``soft``, ``keeps`` and ``transition``, and in ``REMEDY`` what a user can do about a
    threshold that has stalled.

    Args:
        penalty: Price of one weight that is kept, in units of the loss; at least 0.
        freeze_step: Training step from which on the mask stays; None for never.

    Raises:
        ValueError: An argument is out of range, or (when built) the tensor is a feature map.
    """

    REMEDY: str

    def __init__(self, penalty: float, freeze_step: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not penalty >= 0:
            raise ValueError(f"`penalty` must be at least 0. Received: penalty={penalty}")
        if freeze_step is not None and freeze_step < 0:
            raise ValueError(
                f"`freeze_step` must be at least 0, or None for never. Received: freeze_step={freeze_step}"
            )
        self.penalty, self.freeze_step = penalty, freeze_step

    def soft(self, x: Any, step: Any) -> tuple[Any, Any]:
        """``x`` times its gates, and what that adds to the loss."""
        raise NotImplementedError(f"{type(self).__name__} must define `soft`.")

    def keeps(self, x: Any) -> Any:
        """True where ``x`` is kept at inference, by the threshold of now."""
        raise NotImplementedError(f"{type(self).__name__} must define `keeps`.")

    def transition(self, x: Any) -> Any:
        """The share of ``x`` whose gate is neither open nor closed, 0 to 1."""
        raise NotImplementedError(f"{type(self).__name__} must define `transition`.")

    def build(self, input_shape: Any) -> None:
        """Creates the step counter, if it is to be frozen the mask, and ``unit``, the scale of the first weights."""
        shape = require_weight(self, input_shape)
        self.step = self.add_state("step", dtype="int32")
        if self.freeze_step is not None:
            self.mask = self.add_state("mask", "ones", shape, "bool")
        self.unit = self.add_measured("unit")

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Soft gates and their price in training, hard zeros at inference."""
        if not training:
            return ops.where(self.kept(x), x, 0.0 * ops.convert_to_tensor(self.unit))
        self.measure_once(x)
        step = ops.convert_to_tensor(self.step)
        value, cost = self.soft(x, step) if self.freeze_step is None else self._soft_or_frozen(x, step)
        self.add_loss(cost)
        self.step.assign(step + 1)
        return value

    def _soft_or_frozen(self, x: Any, step: Any) -> tuple[Any, Any]:
        mask = ops.where(step <= self.freeze_step, self.keeps(x), ops.convert_to_tensor(self.mask))
        self.mask.assign(mask)
        frozen = step >= self.freeze_step
        value, cost = self.soft(x, step)
        return ops.where(frozen, ops.where(mask, x, 0.0), value), ops.where(frozen, 0.0, cost)

    def kept(self, x: Any) -> Any:
        """True where inference keeps ``x``: by the frozen mask, once there is one, else by the threshold."""
        if self.freeze_step is None:
            return self.keeps(x)
        return ops.where(self.frozen, ops.convert_to_tensor(self.mask), self.keeps(x))

    @property
    def frozen(self) -> Any:
        """Whether the mask stays as it is; bool scalar."""
        if self.freeze_step is None:
            return ops.convert_to_tensor(False)
        return ops.convert_to_tensor(self.step) > self.freeze_step

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        return {**super().get_config(), "penalty": self.penalty, "freeze_step": self.freeze_step}
