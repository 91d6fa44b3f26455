"""The plots of the report, each a function from numbers to SVG; None if there is nothing to draw."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from tflite_export.npu.result import Estimate
from tflite_export.report.weights import LayerWeights

BLUE, LIGHT, ORANGE, RED, GREEN, GREY = "#2b6cb0", "#a3cdf0", "#f0a04b", "#d1495b", "#5b9a6f", "#a0aec0"
CYCLES = (
    ("useful", "useful", BLUE),
    ("edge", "edge", LIGHT),
    ("fill_drain", "fill and drain", ORANGE),
    ("memory_stall", "memory stall", RED),
)
ENERGY = (("mac", "MAC", BLUE), ("sram", "SRAM", GREEN), ("dram", "DRAM", ORANGE))
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e8f0",
    "axes.edgecolor": "#a0aec0",
    "legend.frameon": False,
    "svg.hashsalt": "tfcompress",
    "text.parse_math": False,
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
        coded = [row for row in rows if row.get("entropy_coded_bytes")]
        for row in coded:
            ends = [row["entropy_coded_bytes"] / 1024, row["file_bytes"] / 1024]
            axes.plot(ends, [row["accuracy_percent"]] * 2, color=GREY, linewidth=1)
        for marker, colour, kept, key, label in (
            ("o", BLUE, rows, "file_bytes", "file"),
            ("D", ORANGE, coded, "entropy_coded_bytes", "weights, entropy coded"),
        ):
            sizes, heights = [row[key] / 1024 for row in kept], [row["accuracy_percent"] for row in kept]
            axes.plot(sizes, heights, marker, color=colour, label=label, markersize=8)
        for row in rows:
            at = row["file_bytes"] / 1024, row["accuracy_percent"]
            axes.annotate(row["model"], at, (0, 9), textcoords="offset points", ha="center")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("size [KiB], logarithmic")
        axes.set_ylabel("accuracy [%]")
        room = max(np.ptp(accuracies), 0.5)
        axes.set_ylim(min(accuracies) - 0.4 * room, max(accuracies) + 0.5 * room)
        axes.margins(x=0.15)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return _svg(figure)


def layer_bytes(weights: Mapping[str, Sequence[LayerWeights]]) -> bytes | None:
    """Bytes of each layer's weights, as stored and as entropy coded, one panel a model."""
    panels = {name: layers for name, layers in weights.items() if layers}
    if not panels:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _panels(panels)
        for ax, (name, layers) in zip(axes, panels.items()):
            at = np.arange(len(layers))
            stored = [layer.measured.stored_bytes / 1024 for layer in layers]
            coded = [layer.measured.entropy_bytes / 1024 for layer in layers]
            ax.barh(at, stored, 0.75, color=LIGHT, label="as stored")
            ax.barh(at, coded, 0.4, color=BLUE, label="entropy coded")
            _name_layers(ax, name, [layer.layer for layer in layers])
            ax.set_xlabel("weights [KiB]")
        return _svg(figure, axes[0])


def layer_cycles(estimates: Mapping[str, Estimate]) -> bytes | None:
    """Cycles of each layer by cause, one panel an estimate; layers that cost nothing are left out."""
    panels = {name: [row for row in e.rows if row["cycles_total"]] for name, e in estimates.items()}
    panels = {name: rows for name, rows in panels.items() if rows}
    if not panels:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _panels(panels)
        for ax, (name, rows) in zip(axes, panels.items()):
            start = np.zeros(len(rows))
            for part, label, colour in CYCLES:
                values = np.array([row[f"cycles_{part}"] for row in rows]) / 1e3
                ax.barh(np.arange(len(rows)), values, 0.75, left=start, color=colour, label=label)
                start += values
            _name_layers(ax, name, [row["layer"] for row in rows])
            ax.set_xlabel("thousand cycles")
        return _svg(figure, axes[0])


def energy(estimates: Mapping[str, Estimate]) -> bytes | None:
    """Energy of one inference in its three parts, one bar an estimate."""
    if not estimates:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 1.2 + 0.45 * len(estimates)), layout="constrained")
        ax = figure.subplots()
        ax.set_ylim(len(estimates) - 0.4, -0.6)
        start = np.zeros(len(estimates))
        for part, label, colour in ENERGY:
            values = np.array([e.totals[f"energy_{part}_pj"] for e in estimates.values()]) / 1e6
            ax.barh(np.arange(len(estimates)), values, 0.6, left=start, color=colour, label=label)
            start += values
        _name_layers(ax, "", list(estimates))
        ax.set_xlabel("energy of one inference [µJ], relative")
        return _svg(figure, ax)


def histograms(weights: Mapping[str, Sequence[LayerWeights]]) -> bytes | None:
    """How the weights of the largest layers spread over their levels; one column a model."""
    columns = {name: [layer for layer in layers if layer.is_coded] for name, layers in weights.items()}
    columns = {name: _largest(layers) for name, layers in columns.items() if layers}
    if not columns:
        return None
    rows = max(map(len, columns.values()))
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 0.4 + 2.0 * rows), layout=ConstrainedLayoutEngine(h_pad=0.1))
        grid = figure.subplots(rows, len(columns), squeeze=False)
        for column, (name, layers) in zip(grid.T, columns.items()):
            for ax in column[len(layers) :]:
                ax.set_axis_off()
            for ax, layer in zip(column, layers):
                _histogram(ax, layer)
            column[0].annotate(name, (0.5, 1), (0, 24), "axes fraction", "offset points", ha="center", fontsize=12)
            column[len(layers) - 1].set_xlabel("code of the weight")
        for ax in grid[:, 0]:
            ax.set_ylabel("weights [%]")
        return _svg(figure)


def _histogram(ax: Axes, layer: LayerWeights) -> None:
    codes, percent = layer.levels()
    others = percent[codes != 0]
    top = 1.15 * (others.max() if others.size else percent.max())
    ax.bar(codes, percent, 0.9, color=np.where(codes == 0, GREY, BLUE))
    ax.set_ylim(0, top)
    zeros = percent[codes == 0].sum()
    if zeros:
        text = f"zero: {zeros:.0f} %"
        ax.text(0.98, 0.95, text, transform=ax.transAxes, ha="right", va="top", color="#4a5568", fontsize=9)
    reach = max(1, abs(int(codes.min())), abs(int(codes.max())))
    ax.set_xlim(-reach - 0.8, reach + 0.8)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.set_title(f"{_short(layer.layer)}: {layer.measured.distinct} values, {layer.grid()}", fontsize=9)


def _largest(layers: Sequence[LayerWeights]) -> list[LayerWeights]:
    kept = sorted(layers, key=lambda layer: layer.measured.count)[-MOST_HISTOGRAMS:]
    return [layer for layer in layers if layer in kept]


def _panels(panels: Mapping[str, Sequence[Any]]) -> tuple[Figure, list[Axes]]:
    """A figure with one panel for each entry, two in a row, all bars of one thickness and one scale."""
    across = min(len(panels), 2)
    counts = list(map(len, panels.values()))
    highest = [max(counts[start : start + across]) for start in range(0, len(counts), across)]
    heights = [1.0 + 0.24 * bars for bars in highest]
    figure = Figure((WIDTH, 0.4 + sum(heights)), layout="constrained")
    grid = figure.subplots(len(highest), across, squeeze=False, sharex=True, height_ratios=heights)
    for number, ax in enumerate(grid.ravel()):
        ax.xaxis.set_tick_params(labelbottom=True)
        ax.set_ylim(highest[number // across] - 0.4, -0.6)
        if number >= len(panels):
            ax.set_axis_off()
    return figure, list(grid.ravel()[: len(panels)])


def _name_layers(ax: Axes, title: str, names: Sequence[str]) -> None:
    """Layers from top to bottom in execution order."""
    limits = ax.get_ylim()
    ax.set_yticks(np.arange(len(names)), [_short(name) for name in names], fontsize=9)
    ax.set_ylim(limits)
    ax.grid(False, axis="y")
    ax.set_title(title)


def _short(name: str) -> str:
    """The end of a name, without characters that cannot be printed."""
    name = "".join(character if character.isprintable() else "?" for character in name)
    return name if len(name) <= 24 else f"…{name[-23:]}"


def _svg(figure: Figure, legend_of: Axes | None = None) -> bytes:
    if legend_of is not None:
        handles, labels = legend_of.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
