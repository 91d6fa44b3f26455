"""Which rules a machine has: ``TARGETS`` by the beginning of its name, the longest that fits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tflite_export.npu.rules import arrays, ethos_u55
from tflite_export.npu.rules.site import Rule


@dataclass(frozen=True)
class Target:
    """Rules of a kind of machine.

    Attributes:
        everywhere: What every op must keep.
        ops: The ops that run there, and what each must keep besides.
        otherwise: What becomes of an op that breaks a rule, or is not listed: ``"CPU"`` runs it, or ``"REJECT"``.
        readable: What every op must keep, or nothing of the file runs.
        advice: What a model should keep, and runs without.
    """

    everywhere: tuple[Rule, ...]
    ops: Mapping[str, tuple[Rule, ...]]
    otherwise: Literal["CPU", "REJECT"]
    readable: tuple[Rule, ...] = ()
    advice: tuple[Rule, ...] = ()


TARGETS: dict[str, Target] = {
    "ethos-u55": Target(ethos_u55.EVERYWHERE, ethos_u55.OPS, "CPU", ethos_u55.READABLE, ethos_u55.ADVICE),
    "": Target(arrays.EVERYWHERE, arrays.OPS, "REJECT"),
}


def target_of(machine: str) -> Target:
    """The rules of the machine of that name."""
    return TARGETS[max((start for start in TARGETS if machine.startswith(start)), key=len)]
