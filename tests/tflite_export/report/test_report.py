import base64
import re
import sys
import xml.etree.ElementTree as ET

import pytest
from npu.graphs import Net, small

from tflite_export import flatbuffer
from tflite_export.npu import estimate
from tflite_export.report import write_report

SUMMARY = [
    {"model": "float", "accuracy_percent": 98.2, "file_bytes": 101_234, "entropy_coded_bytes": 88_000, "cycles": None},
    {"model": "small", "accuracy_percent": 97.8, "file_bytes": 30_800, "entropy_coded_bytes": 5_200, "cycles": 12_345},
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    graph = small(density=0.3)
    models = {"small": flatbuffer.write(graph), "dense": small()}
    write_report(path, "A demo", SUMMARY, models, {"small": estimate(graph)}, notes=["Nothing differs."])
    return path.read_text(encoding="utf-8")


def plots(page):
    return [base64.b64decode(text).decode() for text in re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', page)]


def test_one_file_holds_everything(page):
    assert "<h1>A demo</h1>" in page
    assert "<p>Nothing differs.</p>" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page


def test_the_summary_has_units_in_its_headings_and_dashes_for_the_unknown(page):
    cells = [
        re.findall(r"<t[hd]>(.*?)</t[hd]>", line) for line in page.splitlines() if line.startswith(("<thead>", "<tr>"))
    ]
    assert cells[0] == ["model", "accuracy [%]", "file [B]", "entropy coded [B]", "cycles"]
    assert cells[1] == ["float", "98.20", "101,234", "88,000", "–"]
    assert cells[2][-1] == "12,345"


def test_all_plots_are_drawn_but_that_of_cells_that_do_not_wait(page):
    assert len(plots(page)) == 7
    for svg in plots(page):
        assert ET.fromstring(svg).tag.endswith("svg")


def test_the_table_of_each_estimate_is_there_with_its_warning(page):
    assert "small on ethos-u55-128-like" in page
    assert "Energies are relative; unverified: int8_mult" in page


def test_names_from_models_are_escaped(tmp_path):
    graph = Net(1, 4, 4, 2).conv(2, name="<b>$x_1$</b>\n\x00").graph()
    name = "<script>alert(1)</script>"
    write_report(tmp_path / "a.html", name, [{"model": name}], {name: graph}, {name: estimate(graph)})
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<b>$x" not in page
    for svg in plots(page):
        ET.fromstring(svg)


def test_nothing_to_draw_is_no_error(tmp_path):
    write_report(tmp_path / "a.html", "empty", [], {"none": Net(1, 4).op("RELU", (1, 4)).graph()}, {})
    assert "<img" not in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_damaged_model_leaves_no_file(tmp_path):
    with pytest.raises(flatbuffer.InvalidModel):
        write_report(tmp_path / "a.html", "t", [], {"bad": b"not a model"}, {})
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"a report needs jinja2: pip install 'tfcompress\[reports\]'"):
        write_report(tmp_path / "a.html", "t", [], {}, {})


def test_the_same_numbers_make_the_same_file(tmp_path):
    graph = small()
    for name in "ab":
        write_report(tmp_path / name, "t", SUMMARY, {"m": graph}, {"m": estimate(graph)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
