"""Tests against other people's programs, from the ``peers`` extra; only what is installed is collected."""

import importlib.util

NEEDS = {
    "test_vela.py": "ethosu",
    "test_ai_edge_quantizer.py": "ai_edge_quantizer",
    "test_model_explorer.py": "ai_edge_model_explorer_adapter",
    "test_tflite_package.py": "tflite",
}

collect_ignore = [file for file, module in NEEDS.items() if importlib.util.find_spec(module) is None]
