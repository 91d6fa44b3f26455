"""tfcompress estimate FILE.tflite... --machine=NAME,...: cycles, bytes and energy per layer on an NPU.

Several files, or several machines, are put side by side.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags

from tflite_export import npu
from tflite_export.commands import UsageError, new_flags, read_array, read_bytes
from tflite_export.npu.trace import write_trace

FLAGS = new_flags()
_MACHINE = flags.DEFINE_list(
    "machine", ["ethos-u55-128-like"], "Names that `tfcompress machines` lists, or .toml files.", flag_values=FLAGS
)
_DATA = flags.DEFINE_string("data", None, "Images (.npy): also count zeros in feature maps.", flag_values=FLAGS)
_CSV = flags.DEFINE_string("csv", None, "Also write the rows to this CSV file.", flag_values=FLAGS)
_JSON = flags.DEFINE_string("json", None, "Also write rows and totals to this JSON file.", flag_values=FLAGS)
_REPORT = flags.DEFINE_string("report", None, "Also write plots and tables to this HTML file.", flag_values=FLAGS)
_TRACE = flags.DEFINE_string("trace", None, "Also write a timeline for Perfetto to this file.", flag_values=FLAGS)


def run(positional: Sequence[str]) -> int:
    """Prints the estimate of one file on one machine, or the totals of several side by side."""
    if not positional:
        raise UsageError("at least one .tflite file expected. Received: none")
    data = read_array(_DATA.value) if _DATA.value else None
    results = {
        (file, machine): npu.estimate(read_bytes(file), machine=machine, data=data)
        for file in positional
        for machine in _MACHINE.value
    }
    if _REPORT.value:
        _write_report(_REPORT.value, results)
    if len(results) > 1:
        if _CSV.value or _JSON.value or _TRACE.value:
            raise UsageError("--csv, --json and --trace are for one file on one machine")
        print(npu.compare({_label(pair): result for pair, result in results.items()}))
        return 0
    (result,) = results.values()
    print(result)
    for path, write in ((_CSV.value, result.to_csv), (_JSON.value, result.to_json)):
        if path:
            write(path)
    if _TRACE.value:
        write_trace(result, _TRACE.value)
    return 0


def _label(pair: tuple[str, str]) -> str:
    return f"{Path(pair[0]).name} on {Path(pair[1]).name}"


def _write_report(path: str, results: Mapping[tuple[str, str], npu.Estimate]) -> None:
    """One page on all estimates."""
    from tflite_export.report import write_report  # Matplotlib takes a second to import

    keys = ("cycles_total", "time_us", "macs", "weight_moved_bytes", "energy_total_uj")
    estimates = {_label(pair): result for pair, result in results.items()}
    summary = [{"model": label, **{key: r.totals[key] for key in keys}} for label, r in estimates.items()]
    models = {Path(file).name: read_bytes(file) for file, _ in results}
    write_report(path, "Cost on the NPU", summary, models, estimates)
