"""Two pictures, and the README's table ``front_best``, from what ``front.py`` and ``peers.py`` have kept.

    python benchmarks/front_plot.py [--images=60000]

docs/front.png shows bytes, and the cycles that Vela estimates; docs/front_machine.png the cycles and the energy of our
machine ``balanced-16x16``, which spends no time on zeros. Points are means, with the standard deviation over the seeds
where there is more than one. A file on which Vela does not survive has no cycles there, and is missing. The table has
the presets made for bytes and cycles, and what users most likely have today, the pictures hardly more: rows that lie
on one another there are left to docs/benchmarks.md. Fewer images make pictures in
``results/``, ``front_<images>.png``, and a table of its own, and touch no document.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comparison
import front
import numpy as np
import record

NAME = "front_best"
DOCS = Path(__file__).resolve().parents[1] / "docs"
SHOWN = (
    "TFLiteConverter PTQ", "ai-edge-quantizer W4A8 OCTAV", "Keras fake-quant INT4",
    "TFMOT PCQAT 80 %", "TFMOT PCQAT 80 %, at 3e-3", "TFMOT PCQAT 90 %", "TFMOT PCQAT 90 %, at 3e-3",
    *(f"**tfcompress {name}**" for name in front.FIRST),
)  # fmt: skip
"""In the table: what users have today, and the presets that are made for bytes and cycles."""

DRAWN = (*SHOWN, "**tfcompress balanced**", "float, six more epochs at 3e-3")
"""In the pictures, where names need room; the table of all rows is in docs/benchmarks.md."""

TICKS = [5, 10, 20, 50, 100, 200, 500]
PICTURES = {
    "front": {
        "stored": ("kB to store: smallest .tflite, zlib -9", 1e-3),
        "vela_cycles": ("thousand cycles of Vela, ethos-u55-128", 1e-3),
    },
    "front_machine": {
        "balanced-16x16 cycles": ("thousand cycles of balanced-16x16", 1e-3),
        "balanced-16x16 uJ": ("microjoule on balanced-16x16", 1.0),
    },
}
"""Picture -> key of a row -> what is below the axis, and its unit."""

COLUMNS = {
    "smallest .tflite": comparison.averaged("smallest", "{:,.0f} B"),
    "behind zlib -9": comparison.averaged("stored", "{:,.0f} B"),
    "weights for an Ethos-U55": comparison.averaged("vela_bytes", "{:,.0f} B"),
    "its cycles": comparison.averaged("vela_cycles"),
}


def kept(name: str, images: int) -> tuple[comparison.Runs, dict[str, Any]]:
    """The runs of a result, and its settings; none where it is missing."""
    file = record.RESULTS / (f"{name}.json" if images == 60_000 else f"{name}_{images}.json")
    if not file.exists():
        return {}, {}
    result = json.loads(file.read_text(encoding="utf-8"))
    runs = {seed: {shown(job): stored(row) for job, row in done.items()} for seed, done in result["runs"].items()}
    return runs, result["settings"]


def shown(job: str) -> str:
    """What a row is called."""
    return f"**tfcompress {job.removeprefix(front.PREFIX)}**" if job.startswith(front.PREFIX) else job


def stored(row: comparison.Row) -> comparison.Row:
    """With the bytes of the smallest file: one weight a byte, or two where there is such a file."""
    names = {"smallest": "file", "stored": "zlib"}
    return {**row, **{new: min(row[key], row.get(f"{key}_int4", row[key])) for new, key in names.items()}}


def together(*results: comparison.Runs) -> comparison.Runs:
    """The rows of several results, by seed."""
    seeds = dict.fromkeys(seed for runs in results for seed in runs)
    return {seed: {job: row for runs in results for job, row in runs.get(seed, {}).items()} for seed in seeds}


def names(runs: comparison.Runs) -> list[str]:
    """All rows, the largest first."""
    jobs = dict.fromkeys(job for done in runs.values() for job in done)
    return sorted(jobs, key=lambda job: -comparison.mean(comparison.rows(runs, job), "stored"))


def named_below(runs: comparison.Runs) -> dict[str, bool]:
    """Whether a name stands below its point: where the next accuracy above is nearer than the next below."""
    height = {job: comparison.mean(comparison.rows(runs, job), "accuracy") for job in names(runs)}
    order = sorted(height, key=lambda job: height[job])
    gaps = [np.inf, *np.diff([height[job] for job in order]), np.inf]
    return {job: bool(gaps[k + 1] < gaps[k]) for k, job in enumerate(order)}


def draw(runs: comparison.Runs, axes_of: Mapping[str, tuple[str, float]], picture: Path) -> None:
    """Two plots side by side."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 6), sharey=True, layout="constrained")
    below = named_below(runs)
    for axis, (key, (label, unit)) in zip(axes, axes_of.items(), strict=True):
        for job in names(runs):
            found = [row for row in comparison.rows(runs, job) if row[key] is not None]
            if found:
                x, accuracies = unit * comparison.mean(found, key), [row["accuracy"] for row in found]
                mark(axis, job.strip("*"), x, accuracies, below[job])
        first, last = axis.dataLim.intervalx
        axis.set(xscale="log", xlabel=label, xlim=(first / 1.5, 5 * last))  # names stand to the right of their points
        ticks = [tick for tick in TICKS if first / 1.5 <= tick <= 5 * last]
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.grid(visible=True, alpha=0.25)
    axes[0].set_ylabel("test accuracy of the file, %")
    figure.suptitle("fashion-cnn, six epochs each: presets of tfcompress (red) and what users have today (grey)")
    figure.savefig(picture, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def mark(axis: Any, job: str, x: float, accuracies: list[float], below: bool) -> None:
    """One row."""
    ours = job.startswith("tfcompress ")
    colour = "tab:red" if ours else "tab:gray"
    spread = np.std(accuracies, ddof=1) if len(accuracies) > 1 else None
    axis.errorbar(x, np.mean(accuracies), spread, fmt="D" if ours else "o", color=colour, markersize=5, capsize=3)
    place = (-5 if ours else 5, -10 if below else 4)
    text = job.removeprefix("tfcompress ").replace("float, six more epochs", "int8")
    axis.annotate(
        text,
        (x, np.mean(accuracies)),
        place,
        textcoords="offset points",
        fontsize=7,
        color=colour,
        ha="right" if ours else "left",
    )


def main() -> None:
    """Draws and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60_000)
    images = parser.parse_args().images
    (ours, settings), (peers, _) = kept(front.NAME, images), kept("peers", images)
    if not ours:
        raise SystemExit("front_plot: nothing to show yet. Run benchmarks/front.py first.")
    runs, whole = together(ours, peers), images == 60_000
    drawn = {seed: {job: row for job, row in done.items() if job in DRAWN} for seed, done in runs.items()}
    for name, axes in PICTURES.items():
        draw(drawn, axes, DOCS / f"{name}.png" if whole else record.RESULTS / f"{name}_{images}.png")
    lines = comparison.table([job for job in names(runs) if job in SHOWN], COLUMNS)(runs)
    record.show(lines)
    record.write(NAME if whole else f"{NAME}_{images}", settings, lines)


if __name__ == "__main__":
    main()
