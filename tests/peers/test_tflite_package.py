"""The ``tflite`` package on PyPI, which other tools read files with, finds the ops and tensors that we wrote."""

import pytest
import tflite
from networks import NETWORKS, exported

from tflite_export.flatbuffer import read

pytestmark = pytest.mark.slow

NAMES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if not name.startswith("_")}


@pytest.mark.parametrize("network", NETWORKS)
def test_ops_and_tensors_are_those_that_were_written(network: str) -> None:
    blob, _, _ = exported(network)
    graph, model = read(blob), tflite.Model.GetRootAsModel(blob, 0)
    main = model.Subgraphs(0)
    codes = [model.OperatorCodes(k).BuiltinCode() for k in range(model.OperatorCodesLength())]
    kinds = [NAMES[codes[main.Operators(k).OpcodeIndex()]] for k in range(main.OperatorsLength())]
    assert kinds == [op.kind for op in graph.ops]
    names = [main.Tensors(k).Name().decode() for k in range(main.TensorsLength())]
    assert names == [tensor.name for tensor in graph.tensors]
