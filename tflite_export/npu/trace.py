"""An estimate as a timeline that Chrome's ``about:tracing`` and Perfetto open: what computes, what moves, and when.

Format: JSON of complete events (``"ph": "X"``), times in microseconds, as in "Trace Event Format", Google,
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
"""

import json
import os
from typing import Any

from tflite_export.files import write_atomically
from tflite_export.npu.result import Estimate, tool

TRACKS = {1: "array", 2: "main memory"}


def trace(estimate: Estimate) -> dict[str, Any]:
    """The events: one for each layer's computation, one for its transfers, one layer after the other."""
    machine = estimate.machine
    microseconds = 1e6 / machine.clock_hz
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": number, "args": {"name": name}}
        for number, name in TRACKS.items()
    ]
    start = 0.0
    for row in estimate.rows:
        moved = row["dram_read_bytes"] + row["dram_write_bytes"]
        lengths = {
            1: row["cycles_total"] - row["cycles_memory_stall"],
            2: min(row["cycles_total"], moved / machine.memory.dram_bytes_per_cycle),
        }
        for number, cycles in lengths.items():
            if cycles:
                event = {"ph": "X", "name": row["layer"], "cat": row["op"], "pid": 1, "tid": number}
                events.append(event | {"ts": start * microseconds, "dur": cycles * microseconds, "args": row})
        start += row["cycles_total"]
    return {"traceEvents": events, "otherData": {"machine": machine.name, "tool": tool()}}


def write_trace(estimate: Estimate, path: str | os.PathLike[str]) -> None:
    """Writes the timeline to a JSON file."""
    write_atomically(path, json.dumps(trace(estimate)).encode())
