"""What a model costs on an NPU, ``estimate``, and whether it runs there, ``check``: ``machines`` or your own file."""

from tflite_export.machine_cost import Cost
from tflite_export.npu.check import Check, check
from tflite_export.npu.compare import Comparison, compare
from tflite_export.npu.estimate import estimate
from tflite_export.npu.machine import Machine, load, machines
from tflite_export.npu.result import Estimate

__all__ = ["Check", "Comparison", "Cost", "Estimate", "Machine", "check", "compare", "estimate", "load", "machines"]
