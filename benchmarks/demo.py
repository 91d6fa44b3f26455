"""Runs ``tfcompress demo`` and keeps its table for the README.

python benchmarks/demo.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import record

PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "ai-edge-litert")


def main() -> None:
    """Runs, prints and writes."""
    with tempfile.TemporaryDirectory() as folder:
        code = f"from tflite_export.cli import main; main(['demo', '--output_dir={folder}'])"
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        summary = json.loads(Path(folder, "summary.json").read_text(encoding="utf-8"))
    table = [
        {
            "model": row["model"],
            "test accuracy": f"{row['accuracy_percent']:.2f} %",
            "file": f"{row['file_bytes']:,} B",
            "weights, entropy-coded": f"{row['entropy_coded_bytes']:,} B",
            "NPU cycles": "" if row["cycles"] is None else f"{row['cycles']:,}",
            "energy (relative)": "" if row["energy_uj"] is None else f"{row['energy_uj']:.2f} µJ",
        }
        for row in summary["rows"]
    ]
    record.show(table)
    record.write("demo", record.settings(PACKAGES, **summary["settings"]), table, rows=summary["rows"])


if __name__ == "__main__":
    main()
