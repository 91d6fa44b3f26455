"""Arm's compiler places on the NPU what ``npu.check`` lets pass, op by op, in random files of every op that we run."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, Phase, given, settings

from tflite_export.flatbuffer import write
from tflite_export.ir import Graph
from tflite_export.npu import check

sys.path.append(str(Path(__file__).parents[1] / "laws"))
from g3_cases import CASES

pytestmark = pytest.mark.slow

NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
EXAMPLES = 3

EXTREME = ("ADD", "SUB", "UNIDIRECTIONAL_SEQUENCE_LSTM counting")
"""Cases with grids that no network has, which Vela leaves to the CPU, or gives up, without telling a rule."""

TRUTH = ("LESS", "SELECT", "SELECT_V2")
"""Vela 5.2.0 makes an And of truth values and then gives up the file, since that could not run on the NPU."""


def on_the_cpu(graph: Graph, folder: Path) -> Counter[str] | None:
    """The kinds of the ops that Vela leaves to the CPU; None if it gives up the file."""
    file, compiled = folder / "model.tflite", folder / "model_vela.tflite"
    file.write_bytes(write(graph))
    compiled.unlink(missing_ok=True)
    program = Path(sys.executable).with_name("vela")
    command = [program, file, "--accelerator-config", "ethos-u55-128", "--output-dir", folder]
    subprocess.run(command, capture_output=True, timeout=120)
    if not compiled.exists():
        return None
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(compiled.read_bytes(), 0))
    kinds = [NAMES[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]
    return Counter(kind for op in model.subgraphs[0].operators if (kind := kinds[op.opcodeIndex]) != "CUSTOM")


@pytest.mark.parametrize("name", [name for name in CASES if name not in EXTREME + TRUTH])
def test_vela_agrees(name: str, tmp_path: Path) -> None:
    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(CASES[name][0])
    def compare(case) -> None:
        rows = check(case.graph, "ethos-u55-128").rows
        rejected = any(row["verdict"] == "REJECT" for row in rows)
        ours = None if rejected else Counter(row["op"] for row in rows if row["verdict"] == "CPU")
        assert on_the_cpu(case.graph, tmp_path) == ours, case.graph

    compare()
