import xml.etree.ElementTree as ET

import pytest
from npu.graphs import mobilenet, small

from tflite_export.npu import estimate
from tflite_export.report import machine_plots, plots
from tflite_export.report.weights import layer_weights


def texts(svg):
    """Matplotlib draws letters as shapes and leaves each text in a comment."""
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    return [node.text.strip() for node in ET.fromstring(svg, parser).iter(ET.Comment)]


@pytest.fixture(scope="module")
def weights():
    return {"small": layer_weights(small(0.3)), "mobilenet": layer_weights(mobilenet(0.25, 96))}


def test_accuracy_against_size_names_models_and_units():
    rows = [{"model": name, "accuracy_percent": 90.0, "file_bytes": size} for name, size in (("a", 1000), ("b", 9000))]
    found = texts(plots.accuracy_against_size(rows))
    assert {"a", "b", "accuracy [%]", "size [KiB], logarithmic"} <= set(found)


@pytest.mark.parametrize("rows", [[], [{"model": "a"}], [{"model": "a", "accuracy_percent": None, "file_bytes": 10}]])
def test_models_without_accuracy_are_not_drawn(rows):
    assert plots.accuracy_against_size(rows) is None


def test_every_layer_has_its_bytes(weights):
    found = texts(plots.layer_bytes(weights))
    assert {"small", "mobilenet", "c1", "fc", "conv_2d_26", "weights [KiB]", "as stored", "entropy coded"} <= set(found)


def test_every_layer_has_its_cycles_by_cause():
    found = texts(machine_plots.layer_cycles({"one": estimate(small()), "two": estimate(small(), "systolic-16-ws")}))
    assert {"one", "two", "c1", "mean", "thousand cycles", "edge", "fill and drain", "memory stall"} <= set(found)


def test_energy_is_shown_in_parts_and_called_relative():
    found = texts(machine_plots.energy({"one": estimate(small())}))
    assert {"one", "MAC", "SRAM", "DRAM", "energy of one inference [µJ], relative"} <= set(found)


def test_histograms_show_the_largest_layers_of_each_model(weights):
    found = texts(plots.histograms(weights))
    assert {"small", "mobilenet", "code of the weight", "weights [%]"} <= set(found)
    assert len([text for text in found if "values, 8 bits" in text]) == len(weights["small"]) + plots.MOST_HISTOGRAMS
    assert any(text.startswith("zero: 70") or text.startswith("zero: 71") for text in found)


def test_nothing_is_drawn_of_nothing():
    assert plots.layer_bytes({"a": []}) is plots.histograms({}) is None
    draw = ("layer_cycles", "energy", "roofline", "memory_over_time", "cell_loads")
    assert all(getattr(machine_plots, name)({}) is None for name in draw)
    assert machine_plots.cell_loads({"one": estimate(small())}) is None  # nobody waits


def test_the_roof_the_memory_and_the_cells_that_wait_are_drawn():
    estimates = {"dot": estimate(small()), "skipping": estimate(small(0.3), "balanced-16x16")}
    assert {"dot", "skipping", "roof", "MACs per cycle"} <= set(texts(machine_plots.roofline(estimates)))
    assert {"dot: feature maps", "SRAM", "time [µs]"} <= set(texts(machine_plots.memory_over_time(estimates)))
    assert {"skipping", "c1", "busy [%]", "cell of the array"} <= set(texts(machine_plots.cell_loads(estimates)))
