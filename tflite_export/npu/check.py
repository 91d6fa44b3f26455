"""Will it run there: each op of a ``.tflite`` file against the rules of a machine, with the way out.

    PASS     the accelerator runs it
    CPU      the processor beside the accelerator runs it; the data go there and back
    REJECT   nothing runs it

The rules are the predicates in ``rules/``; their docstrings are the messages. That an op passes says nothing about its
cost, which is ``estimate``'s to tell.
"""

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_export import flatbuffer
from tflite_export.ir import Graph, Op
from tflite_export.npu.machine import Machine, load
from tflite_export.npu.rules import Target, target_of
from tflite_export.npu.rules.site import Rule, site, texts
from tflite_export.table import table


@dataclass(frozen=True)
class Check:
    """What becomes of each op.

    Attributes:
        machine: Name of the machine.
        rows: One dictionary an op, in execution order: ``layer``, ``op``, ``verdict`` (``"PASS"``, ``"CPU"`` or
            ``"REJECT"``), ``rule`` that is broken and ``remedy`` (empty if it passes), and ``advice``.
    """

    machine: str
    rows: list[dict[str, Any]]

    @property
    def ok(self) -> bool:
        """Whether every op runs on the accelerator."""
        return all(row["verdict"] == "PASS" for row in self.rows)

    @property
    def crossings(self) -> int:
        """How often the data change between accelerator and CPU."""
        verdicts = [row["verdict"] for row in self.rows]
        return sum(a != b for a, b in itertools.pairwise(verdicts))

    def __str__(self) -> str:
        """The verdicts, and each broken rule with its remedy and the layers concerned."""
        counts = Counter(row["verdict"] for row in self.rows)
        summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("PASS", "CPU", "REJECT") if counts[verdict])
        failed = [[row["layer"], row["op"], row["verdict"]] for row in self.rows if row["verdict"] != "PASS"]
        lines = [f"{self.machine}: {len(self.rows)} ops, {summary}; {self.crossings} crossings"]
        lines += ["", table(["layer", "op", "verdict"], failed, left=3)] if failed else []
        return "\n".join(
            [*lines, *_reasons(self.rows, "rule", "remedy"), *_reasons(self.rows, "advice", "advice_remedy")]
        )


def check(
    model: bytes | str | os.PathLike[str] | Graph,
    machine: str | os.PathLike[str] | Machine = "ethos-u55-128-like",
) -> Check:
    """Says of every op whether the machine runs it.

    Args:
        model: Content of a ``.tflite`` file, its path, or a graph.
        machine: As for ``estimate``; the names of the accelerators themselves, like ``"ethos-u55-128"``, will do.

    Raises:
        ValueError: The model is not valid, or no such machine is known.
        OSError: A file cannot be read.
    """
    graph = model if isinstance(model, Graph) else _read(model)
    name = load(f"{machine}-like" if str(machine).startswith("ethos-u55-") and "like" not in str(machine) else machine)
    target = target_of(name.name)
    return Check(name.name, [_row(op, graph, target) for op in graph.ops])


def _read(model: bytes | str | os.PathLike[str]) -> Graph:
    return flatbuffer.read(model if isinstance(model, bytes) else Path(model).read_bytes())


def _row(op: Op, graph: Graph, target: Target) -> dict[str, Any]:
    place = site(op, graph.tensors)
    row = {"layer": graph.tensors[op.outputs[0]].name if op.outputs else op.kind, "op": op.kind, "verdict": "PASS"}
    row |= {"rule": "", "remedy": "", "advice": "", "advice_remedy": ""}
    for rule in target.readable:
        if not rule(place):
            return row | _broken(rule, "REJECT")
    if op.kind not in target.ops:
        known = ", ".join(sorted(target.ops))
        return row | {"verdict": target.otherwise, "rule": f"{op.kind} does not run there.", "remedy": f"Use {known}."}
    for rule in (*target.everywhere, *target.ops[op.kind]):
        if not rule(place):
            return row | _broken(rule, target.otherwise)
    for rule in target.advice:
        if not rule(place):
            row["advice"], row["advice_remedy"] = texts(rule)
    return row


def _broken(rule: Rule, verdict: str) -> dict[str, str]:
    demand, remedy = texts(rule)
    return {"verdict": verdict, "rule": demand, "remedy": remedy}


def _reasons(rows: Sequence[dict[str, Any]], what: str, remedy: str) -> list[str]:
    """Each text once, with the layers that it is about."""
    layers: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row[what]:
            layers.setdefault((row[what], row[remedy]), []).append(row["layer"])
    return [line for (text, way), names in layers.items() for line in ("", text, f"  {way}", f"  {_few(names)}")]


def _few(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
