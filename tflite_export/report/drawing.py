"""What all plots of the report share: colours, panels of layers, figures as SVG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

BLUE, LIGHT, ORANGE, RED, GREEN, GREY, VIOLET = (
    "#2b6cb0", "#a3cdf0", "#f0a04b", "#d1495b", "#5b9a6f", "#a0aec0", "#8067b7",
)  # fmt: skip
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


def panels(panels: Mapping[str, Sequence[Any]]) -> tuple[Figure, list[Axes]]:
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


def name_layers(ax: Axes, title: str, names: Sequence[str]) -> None:
    """Layers from top to bottom in execution order."""
    limits = ax.get_ylim()
    ax.set_yticks(np.arange(len(names)), [short(name) for name in names], fontsize=9)
    ax.set_ylim(limits)
    ax.grid(False, axis="y")
    ax.set_title(title)


def plain_numbers(*axes: Axis) -> None:
    """10, 100, 1000 on logarithmic axes, and no powers."""
    for axis in axes:
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())


def short(name: str) -> str:
    """The end of a name, without characters that cannot be printed."""
    name = "".join(character if character.isprintable() else "?" for character in name)
    return name if len(name) <= 24 else f"…{name[-23:]}"


def svg(figure: Figure, legend_of: Axes | None = None) -> bytes:
    """The figure as SVG, with the legend of one of its plots above all."""
    if legend_of is not None:
        handles, labels = legend_of.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
