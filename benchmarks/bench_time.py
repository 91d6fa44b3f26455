"""How long ``make bench`` takes: rows of comparisons, several side by side, and what has the machine to itself.

    python benchmarks/bench_time.py --jobs=2 front peers budget step_time ...

Adds up the seconds that the results of these scripts have kept. What several rows start from, such as the float
network, is in those of the row that was first; starting the scripts, tables and plots are not counted.
"""

import argparse
import json
from collections.abc import Iterator, Sequence

import record

NAME = "bench_time"


def seconds(script: str) -> tuple[str, list[int]]:
    """Whether rows were timed or the whole script, and how long each took."""
    file = record.RESULTS / f"{script}.json"
    result = json.loads(file.read_text("utf-8")) if file.exists() else {}
    if "runs" not in result:
        return "alone", [result["seconds"]] if "seconds" in result else []
    rows = [row for runs in result["runs"].values() for row in runs.values()]
    return "rows", [row["seconds"] for row in rows if "seconds" in row]


def table(scripts: Sequence[str], jobs: int) -> Iterator[dict[str, str]]:
    """One line a script, and their sum."""
    whole = 0.0
    for script in scripts:
        kind, found = seconds(script)
        minutes = sum(found) / 60 / (jobs if kind == "rows" else 1)
        whole += minutes
        timed = f"{len(found)} rows, {min(found)} to {max(found)} s each" if kind == "rows" and found else kind
        yield {"script": script, "timed": timed, "minutes": f"{minutes:.0f}"}
    yield {"script": "all", "timed": f"{jobs} rows at a time", "minutes": f"{whole:.0f}"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="+", help="names of benchmarks, without .py")
    parser.add_argument("--jobs", type=int, default=2, help="rows that are made at a time")
    options = parser.parse_args()
    lines = list(table(options.scripts, options.jobs))
    record.show(lines)
    record.write(NAME, record.settings(("tensorflow", "keras", "numpy")), lines)
