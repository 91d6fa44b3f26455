"""A second file for TensorFlow Lite Micro, with weights stored by tables of values."""

from tflite_export.flatbuffer.lut import tables
from tflite_export.flatbuffer.reader import read
from tflite_export.flatbuffer.writer import write


def compress_lut(blob: bytes) -> bytes:
    """The same model with tables of values and short indices wherever that is smaller; see ``flatbuffer.lut``.

    TensorFlow Lite Micro built with compression reads the result, and so does this package. No other runtime does: keep
    the file it was made from for those.

    Args:
        blob: A TFLite file.

    Raises:
        ValueError: ``blob`` cannot be read, or no weight of it would be smaller.
    """
    graph = read(blob)
    found = tables(graph)
    if not found:
        raise ValueError(
            "compress_lut must find a weight of a convolution or dense layer that is smaller by a table of values: "
            "int8 codes, few different ones in each channel. Received: a file without. Quantise weights to fewer bits "
            "or to a codebook, do not pack them (weight_storage='int8'), and prefer one scale for a small tensor."
        )
    return write(graph, found)
