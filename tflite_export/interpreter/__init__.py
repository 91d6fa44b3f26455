"""Runs TFLite graphs in Python, bit for bit as LiteRT's reference kernels do."""

from tflite_export.interpreter.executor import Executor
from tflite_export.interpreter.interpreter import Interpreter
from tflite_export.interpreter.operands import UnsupportedOp

__all__ = ["Executor", "Interpreter", "UnsupportedOp"]
