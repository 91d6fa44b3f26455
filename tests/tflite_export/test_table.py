from tflite_export.table import table


def test_left_columns_align_left_and_the_others_right():
    assert table(("name", "bytes"), [("a", "1,000"), ("longer", "7")], left=1) == (
        "name    bytes\na       1,000\nlonger      7"
    )


def test_lines_end_without_blanks():
    assert table(("a", "b"), [("x", "")], left=2) == "a  b\nx"
