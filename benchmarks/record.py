"""What all benchmarks share: where numbers were taken, and how they are shown and kept."""

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tflite_export.files import write_atomically

RESULTS = Path(__file__).parent / "results"
STARTED = time.perf_counter()


def settings(packages: Sequence[str], **more: Any) -> dict[str, Any]:
    """The machine, the versions of ``packages``, and ``more``, such as the seed."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.open() if "model name" in line] if cpuinfo.exists() else []
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        **more,
    }


def show(table: Sequence[Mapping[str, str]]) -> None:
    """Prints the table in aligned columns."""
    lines = [list(table[0]), *(list(row.values()) for row in table)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def write(name: str, settings: Mapping[str, Any], table: Sequence[Mapping[str, str]], **raw: Any) -> None:
    """Writes ``results/<name>.json``: what ``tables.py`` puts into the README, the raw numbers, how long it took."""
    RESULTS.mkdir(exist_ok=True)
    seconds = round(time.perf_counter() - STARTED)
    content = {"settings": settings, "seconds": seconds, "table": table, **raw}
    write_atomically(RESULTS / f"{name}.json", (json.dumps(content, indent=2) + "\n").encode())
