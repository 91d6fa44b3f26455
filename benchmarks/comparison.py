"""What comparisons that take long share: the options, finished rows that are kept, the table of means and spreads.

A comparison has jobs, names of rows, each run for several seeds. A finished run stays in ``results/<name>.json`` and is
not made again, so an interrupted comparison goes on where it stopped; the table there is of all runs so far.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import fashion
import keras
import numpy as np
import record

from tflite_export.files import write_atomically

PACKAGES = ("tensorflow", "keras", "numpy")
Row = dict[str, Any]
"""What one run gave; ``accuracy`` in percent is among it, and ``seconds`` that it took."""

Runs = Mapping[str, Mapping[str, Row]]
"""Seed -> job -> row."""


def options(defaults: Mapping[str, Any]) -> argparse.Namespace:
    """``--seeds``, ``--only`` and one option for each of the defaults."""
    parser = argparse.ArgumentParser(description=(sys.modules["__main__"].__doc__ or "").partition("\n")[0])
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--held-out", action="store_true", help="test on training images behind the 50,000th")
    parser.add_argument("--only", default=".*", help="regular expression on the name of the row")
    return parser.parse_args()


def main(
    name: str,
    jobs: Iterable[str],
    run: Callable[..., Row],
    table: Callable[[Runs], Sequence[Mapping[str, str]]],
    packages: Sequence[str] = PACKAGES,
    **defaults: Any,
) -> None:
    """Runs what is missing, keeps each finished run, prints the table.

    Args:
        name: Of the result; settings other than the defaults make a result of their own, ``<name>_<settings>``.
        jobs: Names of the rows, in the order in which they are run.
        run: ``run(job, data, seed, done, **settings)`` gives a row; ``done`` has the earlier rows of this seed.
        table: Makes lines of all runs.
        packages: Whose versions are kept.
        **defaults: Settings, each an option; ``images``, the number of training images, is 15,000.
    """
    defaults = {"images": 15_000, **defaults}
    given = vars(options(defaults))
    seeds, only, held_out = (given.pop(key) for key in ("seeds", "only", "held_out"))
    of = fashion.data(given["images"], held_out)
    unusual = [str(value) for key, value in given.items() if value != defaults[key]] + ["held_out"] * held_out
    file = record.RESULTS / f"{'_'.join([name, *unusual])}.json"
    runs = json.loads(file.read_text("utf-8"))["runs"] if file.exists() else {}
    more = {key: value for key, value in given.items() if key != "images"}
    for seed in seeds.split(","):
        done = runs.setdefault(seed, {})
        for job in jobs:
            if job not in done and re.fullmatch(only, job):
                keras.backend.clear_session()
                started = time.perf_counter()
                row = run(job, of, int(seed), done, **more)
                done[job] = {**row, "seconds": round(time.perf_counter() - started)}
                print(f"seed {seed}  {job}: {short(done[job])}", flush=True)
                settings = record.settings(packages, **{"epochs": fashion.EPOCHS, **given}, seeds=",".join(runs))
                content = {"settings": settings, "table": table(runs), "runs": runs}
                write_atomically(file, (json.dumps(content, indent=1) + "\n").encode())
    record.show(table(runs))


def short(row: Row) -> str:
    """The numbers of a row, without what is listed by layer."""
    return ", ".join(f"{key} {value}" for key, value in row.items() if isinstance(value, int | float))


Column = Callable[[list[Row]], str]
"""What a cell says of the runs of a job."""


def table(
    jobs: Iterable[str], columns: Mapping[str, Column], technique: Callable[[str], str | None] = lambda job: None
) -> Callable[[Runs], list[dict[str, str]]]:
    """One line a job: its name, mean and spread of the accuracy, further columns, and how many seeds.

    Args:
        jobs: In the order of the lines.
        columns: Title -> what stands there.
        technique: Job -> the job whose control it is, None for those that are none. Controls then say by how much their
            technique is above them, seed by seed.
    """
    columns = {"test accuracy": spread, **columns, "seeds": lambda found: str(len(found))}
    jobs = list(jobs)

    def lines(runs: Runs) -> list[dict[str, str]]:
        finished = {job: found for job in jobs if (found := rows(runs, job))}
        above = {job: gain(runs, technique(job), job) for job in finished}
        return [
            {
                "row": job,
                **({"technique above it by, points": above[job]} if any(above.values()) else {}),
                **{title: cell(found) for title, cell in columns.items()},
            }
            for job, found in finished.items()
        ]

    return lines


def gain(runs: Runs, job: str | None, control: str) -> str:
    """Mean and spread of the differences of the accuracies, of the seeds that have both."""
    pairs = [(done[job], done[control]) for done in runs.values() if job in done and control in done]
    return spread([{"by": a["accuracy"] - b["accuracy"]} for a, b in pairs], "by", "+.2f", "") if pairs else ""


def averaged(key: str, form: str = "{:,.0f}", scale: float = 1.0) -> Column:
    """The mean over the seeds; a dash where a run has no such number."""
    known = lambda found: all(row.get(key) is not None for row in found)  # noqa: E731
    return lambda found: form.format(scale * mean(found, key)) if known(found) else "-"


def rows(runs: Runs, job: str) -> list[Row]:
    """The runs of a job, one for each seed that has it."""
    return [done[job] for done in runs.values() if job in done]


def mean(found: Sequence[Row], key: str) -> float:
    """Over the seeds."""
    return float(np.mean([row[key] for row in found]))


def spread(found: Sequence[Row], key: str = "accuracy", form: str = ".2f", unit: str = " %") -> str:
    """Mean and, of more than one, the standard deviation."""
    deviation = f" ± {np.std([row[key] for row in found], ddof=1):.2f}" if len(found) > 1 else ""
    return f"{mean(found, key):{form}}{deviation}{unit}"
