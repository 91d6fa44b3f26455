"""Packaging of tfcompress. Tool settings live in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

REQUIRED = [
    "tensorflow>=2.20",  # the backend that tfcompress ships on
    "keras>=3.12",  # layers, callbacks, StatelessScope semantics
    "tensorflow-model-optimization>=0.8.1",  # imported only by tfcompress.interop, when called
    "numpy>=2.0",
    "absl-py>=1.2",  # flags of the command line
    "ai-edge-litert>=2.1",  # the runtime that proves the exported integers, and the flatbuffer schema classes
    "flatbuffers>=25.2",  # writes the schema classes
    "numba>=0.61",  # one fused requantisation pass: three times the speed of NumPy
    "threadpoolctl>=3.5",  # num_threads of the interpreter, for the BLAS that NumPy brings
]
REPORTS = ["matplotlib>=3.9", "jinja2>=3.1"]
DEMO = ["scikit-learn>=1.5"]  # its wheel carries the digits images
TESTS = [
    *REPORTS, *DEMO, "pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100", "ruff>=0.9", "mypy>=1.13", "jax>=0.5",
]  # fmt: skip
PEERS = [
    "ethos-u-vela>=5.2", "scalesim>=3.0", "ai-edge-quantizer>=0.10", "ai-edge-model-explorer-adapter>=0.1",
    "tflite>=2.18", "tf-keras>=2.20",
    "numpy<2.4",  # scalesim 3.0 turns arrays of one number into numbers, which NumPy 2.4 refuses
]  # fmt: skip

setup(
    name="tfcompress",
    version="0.1.0",
    description="Seventeen compression techniques for Keras 3, exported as proven integers for your NPU",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["tfcompress*", "tflite_export*"]),
    package_data={
        "tfcompress": ["py.typed", "presets/*.json"],
        "tflite_export": ["py.typed", "npu/machines/*.toml", "npu/energies/*.toml", "report/*.html"],
    },
    python_requires=">=3.11",
    install_requires=REQUIRED,
    extras_require={"reports": REPORTS, "demo": [*REPORTS, *DEMO], "tests": TESTS, "peers": PEERS},
    entry_points={"console_scripts": ["tfcompress = tflite_export.cli:main"]},
)
