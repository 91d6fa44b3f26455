"""Google's Model Explorer draws our files: its reader finds every op."""

import json
from pathlib import Path

import ai_edge_model_explorer_adapter as explorer
import pytest
from networks import NETWORKS, exported

from tflite_export.flatbuffer import read

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("network", NETWORKS)
def test_every_op_is_drawn(network: str, tmp_path: Path) -> None:
    blob, _, _ = exported(network)
    file = tmp_path / "model.tflite"
    file.write_bytes(blob)
    drawn = json.loads(explorer.ConvertFlatbufferDirectlyToJson(explorer.VisualizeConfig(), str(file)))
    labels = [node["label"] for node in drawn["graphs"][0]["nodes"]] if "graphs" in drawn else str(drawn)
    for op in read(blob).ops:
        assert op.kind.lower() in str(labels).lower()
