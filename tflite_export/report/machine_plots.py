"""The plots of estimates: where cycles and energy go, what limits each layer, and what waits for what."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from tflite_export.npu.result import Estimate
from tflite_export.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    LIGHT,
    ORANGE,
    RED,
    STYLE,
    VIOLET,
    WIDTH,
    name_layers,
    panels,
    plain_numbers,
    short,
    svg,
)  # fmt: skip

CYCLES = (
    ("useful", "useful", BLUE),
    ("edge", "edge", LIGHT),
    ("fill_drain", "fill and drain", ORANGE),
    ("imbalance", "imbalance", VIOLET),
    ("decode", "decoder", GREEN),
    ("memory_stall", "memory stall", RED),
)
ENERGY = (("mac", "MAC", BLUE), ("sram", "SRAM", GREEN), ("dram", "DRAM", ORANGE), ("static", "static", GREY))
MOST_LOADS = 12


def layer_cycles(estimates: Mapping[str, Estimate]) -> bytes | None:
    """Cycles of each layer by cause, one panel an estimate; layers that cost nothing are left out."""
    shown = {name: [row for row in e.rows if row["cycles_total"]] for name, e in estimates.items()}
    shown = {name: rows for name, rows in shown.items() if rows}
    if not shown:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = panels(shown)
        for ax, (name, rows) in zip(axes, shown.items()):
            start = np.zeros(len(rows))
            for part, label, colour in CYCLES:
                values = np.array([row[f"cycles_{part}"] for row in rows]) / 1e3
                ax.barh(np.arange(len(rows)), values, 0.75, left=start, color=colour, label=label)
                start += values
            name_layers(ax, name, [row["layer"] for row in rows])
            ax.set_xlabel("thousand cycles")
        return svg(figure, axes[0])


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
        name_layers(ax, "", list(estimates))
        ax.set_xlabel("energy of one inference [µJ], relative")
        return svg(figure, ax)


def roofline(estimates: Mapping[str, Estimate]) -> bytes | None:
    """Each layer below the roof that multipliers and main memory build, one panel an estimate."""
    panels_of = {name: [r for r in e.rows if r["macs"] and r["cycles_total"]] for name, e in estimates.items()}
    panels_of = {name: rows for name, rows in panels_of.items() if rows}
    if not panels_of:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 3.4 * ((len(panels_of) + 1) // 2)), layout="constrained")
        axes = figure.subplots((len(panels_of) + 1) // 2, min(2, len(panels_of)), squeeze=False).ravel()
        for ax, (name, rows) in zip(axes, panels_of.items()):
            machine = estimates[name].machine
            peak, bandwidth = machine.array.macs_per_cycle, machine.memory.dram_bytes_per_cycle
            intensity = np.array([r["macs"] / max(r["dram_read_bytes"] + r["dram_write_bytes"], 1) for r in rows])
            speed = np.array([r["macs"] / r["cycles_total"] for r in rows])
            x = np.geomspace(min(intensity.min(), peak / bandwidth) / 3, max(intensity.max(), peak / bandwidth) * 3, 99)
            ax.plot(x, np.minimum(peak, bandwidth * x), color=GREY, label="roof")
            ax.plot(intensity, speed, "o", color=BLUE, label="layer")
            slowest = int(np.argmax([r["cycles_total"] for r in rows]))
            at = intensity[slowest], speed[slowest]
            ax.annotate(short(rows[slowest]["layer"]), at, (6, -12), textcoords="offset points", fontsize=9)
            ax.set(xscale="log", yscale="log", title=name, xlabel="MACs per byte of main memory")
            plain_numbers(ax.xaxis, ax.yaxis)
            ax.set_ylabel("MACs per cycle")
        for ax in axes[len(panels_of) :]:
            ax.set_axis_off()
        return svg(figure, axes[0])


def memory_over_time(estimates: Mapping[str, Estimate]) -> bytes | None:
    """Feature maps alive while the network runs, and the size of the SRAM."""
    drawn = {name: e for name, e in estimates.items() if e.totals["cycles_total"]}
    if not drawn:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 3.0), layout="constrained")
        ax = figure.subplots()
        for k, (name, e) in enumerate(drawn.items()):
            ends = np.cumsum([row["cycles_total"] for row in e.rows]) / e.machine.clock_hz * 1e6
            alive = np.array([row["alive_bytes"] for row in e.rows]) / 1024
            colour = (BLUE, ORANGE, GREEN, VIOLET, RED)[k % 5]
            ax.stairs(alive, [0, *ends], color=colour, label=f"{name}: feature maps", linewidth=1.5)
        for k, size in enumerate(sorted({e.machine.memory.sram_bytes for e in drawn.values()})):
            ax.axhline(size / 1024, color=GREY, linestyle="--", label="_SRAM" if k else "SRAM")
        ax.set(xlabel="time [µs]", ylabel="memory [KiB]", yscale="log")
        plain_numbers(ax.yaxis)
        ax.legend(loc="best", fontsize=8, frameon=True)
        return svg(figure)


def cell_loads(estimates: Mapping[str, Estimate]) -> bytes | None:
    """How busy each cell of the array is, layer by layer, where cells wait for each other."""
    drawn = {name: dict(list(e.loads.items())[:MOST_LOADS]) for name, e in estimates.items() if e.loads}
    if not drawn:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, sum(1.0 + 0.28 * len(loads) for loads in drawn.values())), layout="constrained")
        grid = figure.subplots(len(drawn), 1, squeeze=False).ravel()
        for ax, (name, loads) in zip(grid, drawn.items()):
            cells = max(load.shape[1] for load in loads.values())
            image = np.full((len(loads), cells), np.nan)
            for row, load in zip(image, loads.values()):
                row[: load.shape[1]] = 100 * load.sum(0) / max(load.max(1).sum(), 1)
            shown = ax.imshow(image, aspect="auto", cmap="viridis", vmin=0, vmax=100, interpolation="nearest")
            figure.colorbar(shown, ax=ax, label="busy [%]")
            name_layers(ax, name, list(loads))
            ax.set_ylim(len(loads) - 0.5, -0.5)
            ax.grid(False)
            ax.set_xlabel("cell of the array")
        return svg(figure)
