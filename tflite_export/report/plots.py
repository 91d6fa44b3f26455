"""The plots of models, each a function from numbers to SVG; None if there is nothing to draw."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from tflite_export.report.drawing import BLUE, GREY, LIGHT, ORANGE, STYLE, WIDTH, name_layers, panels, short, svg
from tflite_export.report.weights import LayerWeights

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
        return svg(figure)


def layer_bytes(weights: Mapping[str, Sequence[LayerWeights]]) -> bytes | None:
    """Bytes of each layer's weights, as stored and as entropy coded, one panel a model."""
    shown = {name: layers for name, layers in weights.items() if layers}
    if not shown:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = panels(shown)
        for ax, (name, layers) in zip(axes, shown.items()):
            at = np.arange(len(layers))
            stored = [layer.measured.stored_bytes / 1024 for layer in layers]
            coded = [layer.measured.entropy_bytes / 1024 for layer in layers]
            ax.barh(at, stored, 0.75, color=LIGHT, label="as stored")
            ax.barh(at, coded, 0.4, color=BLUE, label="entropy coded")
            name_layers(ax, name, [layer.layer for layer in layers])
            ax.set_xlabel("weights [KiB]")
        return svg(figure, axes[0])


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
        return svg(figure)


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
    ax.set_title(f"{short(layer.layer)}: {layer.measured.distinct} values, {layer.grid()}", fontsize=9)


def _largest(layers: Sequence[LayerWeights]) -> list[LayerWeights]:
    kept = sorted(layers, key=lambda layer: layer.measured.count)[-MOST_HISTOGRAMS:]
    return [layer for layer in layers if layer in kept]
