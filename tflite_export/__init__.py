"""From a trained Keras model to proven integers: convert, verify, run, and see what they cost on an NPU.

Reading, running, proving and costing a file needs neither Keras nor TensorFlow; only ``convert`` imports them.
"""

from tflite_export import calibration, npu
from tflite_export.convert import convert
from tflite_export.executed import executed
from tflite_export.flatbuffer import compress_lut
from tflite_export.interpreter import Interpreter
from tflite_export.receipt import receipt
from tflite_export.verify import verify

__all__ = ["Interpreter", "calibration", "compress_lut", "convert", "executed", "npu", "receipt", "verify"]
