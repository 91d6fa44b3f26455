import itertools
import json

import pytest

from tflite_export.npu import estimate
from tflite_export.npu.trace import write_trace

from .graphs import small


def test_the_timeline_is_as_long_as_the_estimate_and_no_layer_overlaps_the_next(tmp_path):
    result = estimate(small())
    write_trace(result, tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {e["args"]["name"] for e in events if e["ph"] == "M"} == {"array", "main memory"}
    for track in (1, 2):
        spans = [(e["ts"], e["ts"] + e["dur"]) for e in events if e["ph"] == "X" and e["tid"] == track]
        assert len(spans) > 3 and all(end <= begin + 1e-6 for (_, end), (begin, _) in itertools.pairwise(spans))
        assert max(end for _, end in spans) <= result.totals["time_us"] * (1 + 1e-9)
    busy = sum(e["dur"] for e in events if e["ph"] == "X" and e["tid"] == 1)
    stalled = result.totals["cycles_memory_stall"] / result.machine.clock_hz * 1e6
    assert busy == pytest.approx(result.totals["time_us"] - stalled)
