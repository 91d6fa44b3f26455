"""Hyperparameters as functions of the training step: usable inside the graph and from Python.

    ConstantSparsity(t)  = target                                             begin <= t <= end
    PolynomialDecay(t)   = final + (initial - final) * (1 - p)**power,        p = (t - begin) / (end - begin), clipped

Both begin with TFMOT's names and meanings; ``frequency`` says every how many steps the value is looked at.
Reference of the polynomial: Zhu and Gupta, "To Prune, or Not to Prune", 2017, https://arxiv.org/abs/1710.01878.
Differs from the source in nothing; TFMOT's ``end_step=-1`` (never ends) is kept.
"""

from typing import Any

import keras
from keras import ops


class Schedule:
    """A function of the step. Subclasses define ``__call__`` and ``get_config``, and are registered with Keras."""

    def __call__(self, step: Any) -> Any:
        """The value at ``step`` (integer scalar, tensor or number), float32."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Schedule":
        """The schedule with these arguments."""
        return cls(**config)


def _check(name: str, sparsity: float) -> float:
    if not 0.0 <= sparsity < 1.0:
        raise ValueError(f"`{name}` must be at least 0 and below 1. Received: {name}={sparsity}")
    return sparsity


def _check_steps(begin_step: int, end_step: int, frequency: int) -> None:
    if begin_step < 0 or (end_step != -1 and end_step < begin_step):
        raise ValueError(
            "`begin_step` must be at least 0 and at most `end_step` (or `end_step` -1, never). "
            f"Received: begin_step={begin_step}, end_step={end_step}"
        )
    if frequency < 1:
        raise ValueError(f"`frequency` must be at least 1. Received: frequency={frequency}")


@keras.saving.register_keras_serializable("tfcompress")
class ConstantSparsity(Schedule):
    """The same sparsity from ``begin_step`` on; masks stop changing after ``end_step``.

    Args:
        target_sparsity: Share of zeros, 0 to below 1.
        begin_step: First step with zeros.
        end_step: Last step at which masks change; -1 is never.
        frequency: Steps between two changes.
    """

    def __init__(self, target_sparsity: float, begin_step: int = 0, end_step: int = -1, frequency: int = 1) -> None:
        _check_steps(begin_step, end_step, frequency)
        self.target_sparsity = _check("target_sparsity", target_sparsity)
        self.begin_step, self.end_step, self.frequency = begin_step, end_step, frequency

    def __call__(self, step: Any) -> Any:
        """The target, or 0 before ``begin_step``."""
        return self.target_sparsity * ops.cast(step >= self.begin_step, "float32")


@keras.saving.register_keras_serializable("tfcompress")
class PolynomialDecay(Schedule):
    """Sparsity that grows fast at first and slower towards its end.

    Args:
        initial_sparsity: Share of zeros at ``begin_step``, 0 to below 1.
        final_sparsity: Share of zeros from ``end_step`` on.
        begin_step: First step with zeros.
        end_step: Step at which the final sparsity is reached.
        power: Exponent; 3 as in the paper.
        frequency: Steps between two changes.
    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        power: float = 3.0,
        frequency: int = 1,
    ) -> None:
        _check_steps(begin_step, end_step, frequency)
        if end_step == -1:
            raise ValueError("`end_step` of PolynomialDecay must be a step: the polynomial ends there. Received: -1")
        self.initial_sparsity = _check("initial_sparsity", initial_sparsity)
        self.final_sparsity = _check("final_sparsity", final_sparsity)
        self.begin_step, self.end_step, self.power, self.frequency = begin_step, end_step, power, frequency

    def __call__(self, step: Any) -> Any:
        """The polynomial between the two steps, constant behind them, 0 before."""
        span = max(self.end_step - self.begin_step, 1)
        progress = ops.clip(ops.cast(step - self.begin_step, "float32") / span, 0.0, 1.0)
        difference = self.initial_sparsity - self.final_sparsity
        value = self.final_sparsity + difference * ops.power(1.0 - progress, self.power)
        return value * ops.cast(step >= self.begin_step, "float32")
