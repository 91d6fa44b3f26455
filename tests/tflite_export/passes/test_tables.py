"""Grids of the tables of embeddings."""

import numpy as np
import pytest

from passes.helpers import Chart, grid, kinds
from tflite_export.ir import Graph, Quantization
from tflite_export.passes import INTEGERS
from tflite_export.passes.place_grids import place_grids
from tflite_export.passes.tables import table_grids
from tflite_export.passes.widen import widen

ROWS = np.array([[0.5, -1.0], [0.25, 0.0], [-3.175, 2.0]], np.float32)


def rows_of(table: Quantization | None = None, rows: Quantization | None = None) -> Graph:
    """Two rows of a table, one behind the other."""
    chart = Chart()
    tokens = chart.input(2)
    chart.draft.change(tokens, dtype="int32")
    y = chart.op("GATHER", chart.constant(ROWS, table), tokens, shape=(1, 2, 2), axis=0, batch_dims=0)
    return place_grids(chart.graph(chart.reshape(y, 1, 4, grid=rows)))


@pytest.mark.parametrize(("bits", "highest"), [(8, 127), (4, 7), (16, 32767)])
def test_one_step_covers_all_rows_and_holds_for_what_is_read(bits: int, highest: int) -> None:
    graph = table_grids(bits)(rows_of())
    grids = [t.quantization for t in graph.tensors if t.dtype == "float32"]
    assert all(g == grids[0] for g in grids) and grids[0].bits == bits and grids[0].zero_point[0] == 0
    assert grids[0].scale[0] == pytest.approx(3.175 / highest)


def test_a_step_can_be_a_power_of_two() -> None:
    assert table_grids(8, power_of_two=True)(rows_of()).tensors[1].quantization.scale[0] == 2.0**-5


def test_a_table_of_zeros_has_a_step() -> None:
    chart = Chart()
    tokens = chart.input(1)
    table = chart.constant(np.zeros((2, 2), np.float32))
    graph = table_grids()(chart.graph(chart.op("GATHER", table, tokens, shape=(1, 1, 2), axis=0, batch_dims=0)))
    assert graph.tensors[table].quantization.scale[0] == 1


def test_a_table_takes_the_grid_of_what_it_delivers() -> None:
    graph = INTEGERS(table_grids()(rows_of(rows=grid(0.5, 3))))
    (table,) = [t for t in graph.tensors if t.data is not None and t.dtype == "int8"]
    np.testing.assert_array_equal(table.data, [[4, 1], [3, 3], [-3, 7]])  # ties to even, as everywhere in the export
    assert kinds(graph) == ["GATHER", "RESHAPE"]


def test_a_narrow_table_needs_no_clamp_behind_it() -> None:
    graph = INTEGERS(table_grids()(rows_of(rows=grid(0.5, 124, bits=3, low=120))))
    (table,) = [t for t in graph.tensors if t.data is not None and t.dtype == "int8"]
    assert kinds(graph) == ["GATHER", "RESHAPE"] and (table.data.min(), table.data.max()) == (120, 127)


def test_a_trained_table_keeps_its_grid_and_what_is_read_is_brought_over() -> None:
    graph = INTEGERS(table_grids()(rows_of(grid(0.025, bits=8), grid(0.5))))
    assert kinds(graph) == ["GATHER", "QUANTIZE", "RESHAPE"]


def test_int16_maps_read_int16_tables_with_the_step_that_was_trained() -> None:
    graph = INTEGERS(table_grids(16)(widen(rows_of(grid(0.025, bits=8)))))
    (table,) = [t for t in graph.tensors if t.data is not None and t.dtype == "int16"]
    np.testing.assert_array_equal(table.data, np.rint(ROWS / 0.025))
    assert {t.dtype for t in graph.tensors if t.data is None} == {"int32", "int16"}
