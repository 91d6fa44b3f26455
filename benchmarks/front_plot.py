"""docs/front.png, and the README's table ``front_best``, from what ``front.py`` and ``peers.py`` have kept.

    python benchmarks/front_plot.py [--images=60000]

The plot shows means, with the standard deviation over the seeds where there is more than one. A file on which Vela does
not survive has no cycles, and is missing on the right. The table has our presets and what users most likely have today.
Fewer images make ``results/front_<images>.png`` and a table of its own, and touch no document.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import comparison
import front
import numpy as np
import record

NAME = "front_best"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "front.png"
SHOWN = (
    "TFLiteConverter PTQ", "ai-edge-quantizer W4A8 OCTAV", "Keras fake-quant INT4",
    "TFMOT PCQAT 80 %", "TFMOT PCQAT 90 %", "TFMOT PCQAT 90 %, at 3e-3",
)  # fmt: skip
"""Peers in the table."""

TICKS = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000]
AXES = {"stored": "bytes to store: smallest .tflite, zlib -9", "vela_cycles": "cycles of Vela, ethos-u55-128"}
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


def draw(runs: comparison.Runs, picture: Path) -> None:
    """Two plots side by side."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    for axis, (key, label) in zip(axes, AXES.items(), strict=True):
        for number, job in enumerate(names(runs)):
            found = [row for row in comparison.rows(runs, job) if row[key] is not None]
            if found:
                below = bool(number % 2)  # neighbours would write over each other
                mark(axis, job.strip("*"), comparison.mean(found, key), [row["accuracy"] for row in found], below)
        axis.set(xscale="log", xlabel=label, xlim=(TICKS[0], 2.5e6))
        axis.set_xticks(TICKS, [f"{tick // 1000} k" for tick in TICKS])
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
    place = (5, -10 if below else 4)
    text = job.removeprefix("tfcompress ").replace("float, six more epochs", "int8")
    axis.annotate(text, (x, np.mean(accuracies)), place, textcoords="offset points", fontsize=7, color=colour)


def main() -> None:
    """Draws and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60_000)
    images = parser.parse_args().images
    (ours, settings), (peers, _) = kept(front.NAME, images), kept("peers", images)
    if not ours:
        raise SystemExit("front_plot: nothing to show yet. Run benchmarks/front.py first.")
    runs, whole = together(ours, peers), images == 60_000
    draw(runs, PICTURE if whole else record.RESULTS / f"front_{images}.png")
    lines = comparison.table([job for job in names(runs) if job in SHOWN or job.startswith("**")], COLUMNS)(runs)
    record.show(lines)
    record.write(NAME if whole else f"{NAME}_{images}", settings, lines)


if __name__ == "__main__":
    main()
