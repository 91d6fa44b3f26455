"""docs/front.png, and the README's table ``front_best``, from what ``front.py`` and ``peers.py`` have kept.

    python benchmarks/front_plot.py [--images=60000]

The plot shows means, with the standard deviation over the seeds where there is more than one. A file on which Vela does
not survive has no cycles, and is missing on the right. The table has for each of our rows how many times more the
cheapest file of a peer takes that is as accurate, up to 0.1 %. Fewer images make ``results/front_<images>.png`` and a
table of its own, and touch no document.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import front
import numpy as np
import record

NAME = "front_best"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "front.png"
NOISE = 0.1
TICKS = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000]
AXES = {"stored": "bytes to store: smallest .tflite, zlib -9", "vela_cycles": "cycles of Vela, ethos-u55-128"}
COLUMNS = {"stored": "stored, zlib -9", "vela_bytes": "Vela, weights", "vela_cycles": "Vela cycles"}
Points = Mapping[str, list[dict[str, Any]]]
"""Row -> what each seed gave."""


def kept(name: str, images: int) -> tuple[Points, dict[str, Any]]:
    """The rows of a result, and its settings; none where it is missing."""
    file = record.RESULTS / (f"{name}.json" if images == 60_000 else f"{name}_{images}.json")
    if not file.exists():
        return {}, {}
    result = json.loads(file.read_text(encoding="utf-8"))
    rows: dict[str, list[dict[str, Any]]] = {}
    for done in result["runs"].values():
        for job, row in done.items():
            stored = min(row["zlib"], row.get("zlib_int4", row["zlib"]))
            rows.setdefault(job, []).append({**row, "stored": stored})
    return rows, result["settings"]


def mean(found: list[dict[str, Any]], key: str) -> float:
    """Over the seeds; not a number where one of them has none."""
    values = [row.get(key) for row in found]
    return float("nan") if None in values else float(np.mean(values))


def draw(ours: Points, peers: Points, picture: Path) -> None:
    """Two plots side by side."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    for axis, (key, label) in zip(axes, AXES.items(), strict=True):
        for rows, colour, marker in ((peers, "tab:gray", "o"), (ours, "tab:red", "D")):
            for job, found in rows.items():
                x, y = mean(found, key), mean(found, "accuracy")
                if not np.isnan(x):
                    spread = np.std([row["accuracy"] for row in found], ddof=1) if len(found) > 1 else None
                    axis.errorbar(x, y, spread, fmt=marker, color=colour, markersize=5, capsize=3)
                    name = job.removeprefix(front.PREFIX)
                    side = {"xytext": (-5, 4), "ha": "right"} if x > 2e5 else {"xytext": (5, 4)}
                    axis.annotate(name, (x, y), **side, textcoords="offset points", fontsize=7, color=colour)
        axis.set(xscale="log", xlabel=label)
        axis.set_xticks(TICKS, [f"{tick // 1000} k" for tick in TICKS])
        axis.minorticks_off()
        axis.grid(visible=True, alpha=0.25)
    axes[0].set_ylabel("test accuracy of the file, %")
    figure.suptitle("fashion-cnn, six epochs each: presets of tfcompress (red) and what users have today (grey)")
    figure.savefig(picture, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def table(ours: Points, peers: Points) -> list[dict[str, str]]:
    """A line for each of our rows, and how many times more the best peer of its accuracy takes."""
    lines = []
    for job, found in sorted(ours.items(), key=lambda item: -mean(item[1], "stored")):
        accuracy = mean(found, "accuracy")
        rivals = {name: rows for name, rows in peers.items() if mean(rows, "accuracy") >= accuracy - NOISE}
        line = {"": job, "test accuracy": f"{accuracy:.2f} %"}
        for key, name in COLUMNS.items():
            own = mean(found, key)
            least = min((m for rows in rivals.values() if (m := mean(rows, key)) > 0), default=float("nan"))
            times = "" if np.isnan(least) else f" (best peer: {least / own:.1f} times)"
            line[name] = f"{own:,.0f}{' B' if key != 'vela_cycles' else ''}{times}"
        lines.append({**line, "seeds": str(len(found))})
    return lines


def main() -> None:
    """Draws and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60_000)
    images = parser.parse_args().images
    (ours, settings), (peers, _) = kept(front.NAME, images), kept("peers", images)
    if not ours:
        raise SystemExit("front_plot: nothing to show yet. Run benchmarks/front.py first.")
    whole = images == 60_000
    draw(ours, peers, PICTURE if whole else record.RESULTS / f"front_{images}.png")
    lines = table(ours, peers)
    record.show(lines)
    record.write(NAME if whole else f"{NAME}_{images}", settings, lines)


if __name__ == "__main__":
    main()
