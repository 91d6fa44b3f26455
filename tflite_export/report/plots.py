"""The plots of the report, each a function from numbers to SVG; None if there is nothing to draw."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflite_export.npu.result import Estimate
from tflite_export.report.weights import LayerWeights

BLUE, LIGHT, ORANGE, RED, GREEN, GREY = "#2b6cb0", "#a3cdf0", "#f0a04b", "#d1495b", "#5b9a6f", "#a0aec0"
CYCLES = (("useful", "useful", BLUE), ("edge", "edge", LIGHT), ("fill_drain", "fill and drain", ORANGE))
CYCLES += (("memory_stall", "memory stall", RED),)
ENERGY = (("mac", "MAC", BLUE), ("sram", "SRAM", GREEN), ("dram", "DRAM", ORANGE))
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e8f0",
    "axes.edgecolor": "#a0aec0",
    "legend.frameon": False,
    "svg.hashsalt": "tfcompress",
}
WIDTH = 10.0
MOST_HISTOGRAMS = 12


def accuracy_against_size(summary: Sequence[Mapping[str, Any]]) -> bytes | None:
    """One point a model: the file, and where known what its weights would need entropy coded."""
    rows = [row for row in summary if row.get("accuracy_percent") is not None and row.get("file_bytes")]
    if not rows:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 3.6), layout="constrained")
        axes = figure.subplots()
        accuracies = [row["accuracy_percent"] for row in rows]
        for marker, key, label in (("o", "file_bytes", "file"), ("D", "entropy_coded_bytes", "weights, entropy coded")):
            points = [(row[key] / 1024, row["accuracy_percent"], row) for row in rows if row.get(key)]
            if points:
                axes.plot([p[0] for p in points], [p[1] for p in points], marker, label=label, markersize=8)
        for row in rows:
            at = row["file_bytes"] / 1024, row["accuracy_percent"]
            axes.annotate(row["model"], at, (0, 9), textcoords="offset points", ha="center")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("size [KiB], logarithmic")
        axes.set_ylabel("accuracy [%]")
        room = max(np.ptp(accuracies), 0.5)
        axes.set_ylim(min(accuracies) - 0.4 * room, max(accuracies) + 0.5 * room)
        axes.margins(x=0.15)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return _svg(figure)
