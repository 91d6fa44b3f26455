"""From a Keras model to a float graph: one lowering per layer, nothing optimised yet."""

from tflite_export.from_keras.builder import Builder as Builder
from tflite_export.from_keras.grids import Unsupported as Unsupported
from tflite_export.from_keras.lower import lower as lower
from tflite_export.from_keras.table import LOWERINGS as LOWERINGS
