"""TFLite files: ``write`` a graph, ``read`` one back. The only package that knows the schema."""

from tflite_export.flatbuffer.compress import compress_lut
from tflite_export.flatbuffer.errors import InvalidModel
from tflite_export.flatbuffer.reader import read, stored_tables
from tflite_export.flatbuffer.writer import canonical, write

__all__ = ["InvalidModel", "canonical", "compress_lut", "read", "stored_tables", "write"]
