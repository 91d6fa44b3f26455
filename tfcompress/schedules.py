r"""Numbers that change over training: functions of the step, for use inside the graph and in plain Python.

    ConstantSparsity(t)  =  target
    PolynomialDecay(t)   =  final + (initial - final) * (1 - p)**power,    p = (t - begin) / (end - begin), in [0, 1]

``schedule(step)`` takes a whole number or an integer tensor and returns a float32 scalar tensor; ``float()`` of it is
a number. ``schedule.due(step)`` says whether what follows the schedule is brought up to date at this step. Wherever a
schedule is asked for, any function of the step will do unless more is said.

Reference: Zhu and Gupta, "To Prune, or Not to Prune: Exploring the Efficacy of Pruning for Model Compression", 2017,
https://arxiv.org/abs/1710.01878; argument names of TFMOT's ``sparsity.keras.PruningSchedule``. Differs from TFMOT in
that the value is returned without the flag ``should_prune``, which is ``due`` here, and in that ``end_step`` is always
due, so that the final sparsity is reached whatever the frequency. TFMOT's own schedules are taken, too, wherever ours
are, and become ours.
"""

from numbers import Real
from typing import Any

import keras
from keras import ops


class Schedule:
    """Base class: when masks change, and the checks that all schedules share.

    Args:
        begin_step: First step at which something is pruned, from 0 on.
        end_step: Last step at which masks change; -1 for never.
        frequency: Steps between two changes of the masks.

    Raises:
        ValueError: Steps or frequency are out of range.
    """

    def __init__(self, begin_step: int, end_step: int, frequency: int) -> None:
        if begin_step < 0 or (end_step != -1 and end_step < begin_step):
            raise ValueError(
                "`begin_step` must be at least 0, and `end_step` at least `begin_step` or -1 for never. "
                f"Received: begin_step={begin_step}, end_step={end_step}"
            )
        if frequency < 1:
            raise ValueError(f"`frequency` must be at least 1. Received: frequency={frequency}")
        self.begin_step, self.end_step, self.frequency = begin_step, end_step, frequency

    def __call__(self, step: Any) -> Any:
        """The sparsity at ``step``, float32, 0 to below 1."""
        raise NotImplementedError(f"{type(self).__name__} must define `__call__`.")

    def due(self, step: Any, frequency: int | None = None) -> Any:
        """Whether masks change at ``step``; bool tensor. ``frequency`` takes the place of the schedule's own."""
        step = ops.convert_to_tensor(step, "int32")
        turn = ops.equal((step - self.begin_step) % (frequency or self.frequency), 0)
        started = ops.logical_and(turn, step >= self.begin_step)
        if self.end_step == -1:
            return started
        return ops.logical_or(ops.logical_and(started, step < self.end_step), ops.equal(step, self.end_step))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Schedule":
        """Rebuilds the schedule."""
        return cls(**config)


def _sparsity(name: str, value: float) -> float:
    if not 0 <= value < 1:
        raise ValueError(f"`{name}` must be at least 0 and below 1. Received: {name}={value}")
    return value


@keras.saving.register_keras_serializable("tfcompress")
class ConstantSparsity(Schedule):
    """The same sparsity at all steps.

    Args:
        target_sparsity: Fraction of zeros, 0 to below 1.
        begin_step: First step at which something is pruned. Default 0.
        end_step: Last step at which masks change. Default -1: never.
        frequency: Steps between two changes of the masks. Default 100.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, target_sparsity: float, begin_step: int = 0, end_step: int = -1, frequency: int = 100) -> None:
        super().__init__(begin_step, end_step, frequency)
        self.target_sparsity = _sparsity("target_sparsity", target_sparsity)

    def __call__(self, step: Any) -> Any:
        """The target."""
        return ops.convert_to_tensor(self.target_sparsity, "float32")


@keras.saving.register_keras_serializable("tfcompress")
class PolynomialDecay(Schedule):
    """Sparsity that rises fast at first and slower and slower towards the end.

    Args:
        initial_sparsity: Fraction of zeros at ``begin_step``, 0 to below 1.
        final_sparsity: Fraction of zeros from ``end_step`` on, 0 to below 1.
        begin_step: First step at which something is pruned.
        end_step: Step at which the final sparsity is reached, and the last at which masks change.
        power: Exponent. Default 3.
        frequency: Steps between two changes of the masks. Default 100.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        power: float = 3,
        frequency: int = 100,
    ) -> None:
        super().__init__(begin_step, end_step, frequency)
        if end_step == -1:
            raise ValueError("`end_step` must be a step at which the decay ends. Received: end_step=-1")
        self.initial_sparsity = _sparsity("initial_sparsity", initial_sparsity)
        self.final_sparsity = _sparsity("final_sparsity", final_sparsity)
        self.power = power

    def __call__(self, step: Any) -> Any:
        """The polynomial, constant before ``begin_step`` and behind ``end_step``."""
        passed = ops.cast(ops.convert_to_tensor(step) - self.begin_step, "float32")
        progress = ops.clip(passed / max(self.end_step - self.begin_step, 1), 0.0, 1.0)
        span = self.initial_sparsity - self.final_sparsity
        return self.final_sparsity + span * (1 - progress) ** self.power


def of_sparsity(schedule: Any) -> Any:
    """The schedule that an argument means: a number is a ConstantSparsity, one of TFMOT's is ours of the same name."""
    return ConstantSparsity(float(schedule)) if isinstance(schedule, Real) else translated(schedule)


def translated(schedule: Any) -> Any:
    """One of TFMOT's schedules as ours; anything else as it is.

    Raises:
        ValueError: The schedule is made for TFMOT, but is none of its own.
    """
    if not any(base.__module__.partition(".")[0] == "tensorflow_model_optimization" for base in type(schedule).__mro__):
        return schedule
    kinds = {"ConstantSparsity": ConstantSparsity, "PolynomialDecay": PolynomialDecay}
    name = type(schedule).__name__
    if name not in kinds or not type(schedule).__module__.startswith("tensorflow_model_optimization"):
        raise ValueError(
            f"A schedule of TFMOT must be one of {sorted(kinds)}. Received: {name}. "
            "Write it as a tfcompress.schedules.Schedule."
        )
    return kinds[name](**schedule.get_config()["config"])


@keras.saving.register_keras_serializable("tfcompress")
class Ramp(Schedule):
    """A number that rises, or falls, in a straight line: for coefficients and temperatures, of any size.

    Args:
        begin_step: Last step at which the value is ``initial``, from 0 on.
        end_step: First step at which the value is ``final``.
        final: Value at the end. Default 1.
        initial: Value at the start. Default 0.
        geometric: Whether the value changes by equal factors and not by equal steps; both ends must then be above 0.
            Default False.

    Raises:
        ValueError: A step is out of range, or an end of a geometric ramp.
    """

    def __init__(
        self, begin_step: int, end_step: int, final: float = 1.0, initial: float = 0.0, geometric: bool = False
    ) -> None:
        super().__init__(begin_step, end_step, 1)
        if geometric and not min(initial, final) > 0:
            raise ValueError(f"A geometric ramp's ends must be above 0. Received: final={final}, initial={initial}")
        if end_step == -1:
            raise ValueError("`end_step` must be a step at which the ramp ends. Received: end_step=-1")
        self.final, self.initial, self.geometric = final, initial, geometric

    def __call__(self, step: Any) -> Any:
        """The straight line, of the logarithm if geometric, constant before ``begin_step`` and behind ``end_step``."""
        passed = ops.cast(ops.convert_to_tensor(step) - self.begin_step, "float32")
        progress = ops.clip(passed / max(self.end_step - self.begin_step, 1), 0.0, 1.0)
        if self.geometric:
            return self.initial * ops.power(self.final / self.initial, progress)
        return self.initial + (self.final - self.initial) * progress

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        names = ("begin_step", "end_step", "final", "initial", "geometric")
        return {name: getattr(self, name) for name in names}
