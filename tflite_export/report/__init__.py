"""One HTML file about one or several models: what they are worth, weigh and cost."""

from tflite_export.report.report import write_report

__all__ = ["write_report"]
