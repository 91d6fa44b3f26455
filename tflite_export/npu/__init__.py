"""What a model costs on an NPU: ``estimate`` on one of ``machines``, or on your own machine file."""

from tflite_export.npu.estimate import estimate
from tflite_export.npu.machine import Machine, load, machines
from tflite_export.npu.result import Estimate

__all__ = ["Estimate", "Machine", "estimate", "load", "machines"]
