"""Lines as images of one row."""

from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.shapes import along, as_image, from_image, image_name, image_shape
from tflite_export.ir import Tensor


def test_a_line_gets_a_row_and_loses_it_again() -> None:
    builder = Builder()
    x = builder.draft.add(Tensor("x", (1, 5, 3), "float32"))
    image = as_image(builder, x, "y")
    assert builder.shape(image) == image_shape((1, 5, 3)) == (1, 1, 5, 3)
    back = from_image(builder, image, "y", (1, 5, 3))
    assert [op.kind for op in builder.draft.ops] == ["RESHAPE", "RESHAPE"]
    assert builder.draft.tensors[back].name == "y"


def test_an_image_stays_as_it_is() -> None:
    builder = Builder()
    x = builder.draft.add(Tensor("x", (1, 4, 5, 3), "float32"))
    assert from_image(builder, as_image(builder, x, "y"), "y", (1, 4, 5, 3)) == x
    assert image_name("y", (1, 4, 5, 3)) == "y" and image_name("y", (1, 5, 3)) != "y"


def test_one_size_runs_along_columns() -> None:
    assert along(3) == along((3,)) == (1, 3) and along((2, 3)) == (2, 3)
