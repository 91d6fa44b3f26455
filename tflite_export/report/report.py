"""Writes the report: a summary table, plots with units on every axis, and each layer's numbers, in one file.

The file needs no network and no other file: plots are inlined as SVG. Names that come from models are escaped.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tflite_export import flatbuffer
from tflite_export.files import write_atomically
from tflite_export.ir import Graph
from tflite_export.npu.result import Estimate, tool
from tflite_export.report.weights import layer_weights

TEMPLATE = Path(__file__).with_name("report.html")

UNITS = {"percent": "%", "bytes": "B", "uj": "µJ", "us": "µs", "cycles": "cycles"}
"""Last word of a key of the summary -> unit in the heading."""


def write_report(
    path: str | os.PathLike[str],
    title: str,
    summary: Sequence[Mapping[str, Any]],
    models: Mapping[str, bytes | Graph],
    estimates: Mapping[str, Estimate],
    notes: Sequence[str] = (),
) -> None:
    """Writes one self-contained HTML file.

    Args:
        path: Where; the folder must exist.
        title: Headline.
        summary: One dictionary a model, all with the same keys, ``"model"`` first; None shows as a dash. The plot of
            accuracy against size needs ``accuracy_percent`` and ``file_bytes`` (and shows ``entropy_coded_bytes`` too).
        models: Flatbuffers or graphs by name: bytes of each layer, histograms of the weights.
        estimates: Estimates by name: cycles of each layer, energy.
        notes: Further sentences below the summary.

    Raises:
        ImportError: Matplotlib or Jinja2 is missing.
        InvalidModel: A model is not a flatbuffer that can be read.
        OSError: The file cannot be written.
    """
    try:
        import jinja2

        from tflite_export.report import machine_plots, plots
    except ImportError as error:
        raise ImportError(f"a report needs {error.name}: pip install 'tfcompress[reports]'") from error

    weights = {name: layer_weights(_graph(model)) for name, model in models.items()}
    figures = {
        "accuracy": plots.accuracy_against_size(summary),
        "bytes": plots.layer_bytes(weights),
        "cycles": machine_plots.layer_cycles(estimates),
        "roofline": machine_plots.roofline(estimates),
        "memory": machine_plots.memory_over_time(estimates),
        "loads": machine_plots.cell_loads(estimates),
        "energy": machine_plots.energy(estimates),
        "histograms": plots.histograms(weights),
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        tool=tool(),
        heading=[_heading(key) for key in (summary[0] if summary else {})],
        summary=[[_cell(value) for value in row.values()] for row in summary],
        notes=notes,
        figures={name: base64.b64encode(svg).decode() for name, svg in figures.items() if svg},
        estimates=estimates,
        energy_basis=sorted({estimate.energy_basis for estimate in estimates.values()}),
    )
    write_atomically(path, page.encode())


def _graph(model: bytes | Graph) -> Graph:
    return model if isinstance(model, Graph) else flatbuffer.read(model)


def _heading(key: str) -> str:
    *words, last = key.split("_")
    return f"{' '.join(words)} [{UNITS[last]}]" if words and last in UNITS else key.replace("_", " ")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
