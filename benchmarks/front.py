"""Accuracy against bytes and cycles on Fashion-MNIST: the presets that come with tfcompress, beside the best of others.

    python benchmarks/front.py [--images=60000] [--seeds=1,2,3] [--only=<regular expression>]
    python benchmarks/peers.py [the same]          needs: pip install 'tfcompress[peers]'
    python benchmarks/front_plot.py                docs/front.png and the table of the README, from what both have kept

All rows start from the same float networks and have the same six epochs of Adam with one cosine to zero, from 3e-4 or
from what the preset says (see ``fashion.py``; ``peers.py`` has rows at that rate, too). A preset is one call, as the
command line makes it:

    tfcompress compress float.keras --recipe=small --data=fashion.npz --epochs=6

Measured of each file: accuracy on the 10,000 test images, on the bit-exact interpreter; bytes of the file, and of the
same network with two 4-bit weights a byte (which Vela cannot read), plain and behind zlib -9; bytes of the kernels at
their zeroth-order entropy; Vela's encoded weights and cycles for ethos-u55-128, system Ethos_U55_High_End_Embedded,
memory mode Shared_Sram; cycles and energy of two machines of our own. Vela is a compiler's estimate, not silicon. Of
ours also the multiply-accumulates that the interpreter executes for one of the first 2,000 images, without what gates
switch off.

Presets were chosen without the test images: ``--images=50000 --held-out`` scores on the other training images.
"""

import os
import subprocess
import zlib
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import keras
import numpy as np
from npu_validation import installed, vela

import tfcompress as tfc
import tflite_export as tfe

NAME = "front"
PACKAGES = ("tensorflow", "keras", "numpy", "ai-edge-litert", "ethos-u-vela")
MACHINES = ("ethos-u55-128-like", "balanced-16x16")
CONTROLS = {"float, six more epochs": 3e-4, "float, six more epochs at 3e-3": 3e-3}
"""The float network trained on, at the usual rate and at that of the presets, as an int8 file."""

COUNTED = 2_000
"""Test images whose multiply-accumulates are counted."""

PREFIX = "preset "
FIRST = ("small", "precise", "tiny")


def compressed(preset: str, of: fashion.Data, seed: int) -> keras.Model:
    """The float network behind a preset and its six epochs."""
    recipe = tfc.presets.load(preset, fashion.steps(len(of[0])))
    small = recipe.start(fashion.float_network(of, seed), of[0])
    fashion.fine_tuned(small, of, seed, recipe.callbacks(), recipe.learning_rate)
    return recipe.finish(small, of[0][:5000])


def measured(blob: bytes, of: fashion.Data) -> comparison.Row:
    """What a file scores and costs."""
    totals = tfe.receipt(blob).totals
    found = {
        "accuracy": round(100 * float(np.mean(predicted(blob, of[2]) == of[3])), 2),
        "file": len(blob),
        "zlib": len(zlib.compress(blob, 9)),
        "entropy": totals["entropy_bytes"],
        **vela_totals(blob),
    }
    for machine in MACHINES:
        estimate = tfe.npu.estimate(blob, machine).totals
        found |= {f"{machine} cycles": estimate["cycles_total"], f"{machine} uJ": estimate["energy_total_uj"]}
    return found


def predicted(blob: bytes, x: np.ndarray) -> np.ndarray:
    """Classes."""
    return np.argmax(tfe.Interpreter(model_content=blob).predict(x, batch_size=250), axis=-1)


def vela_totals(blob: bytes) -> dict[str, Any]:
    """Encoded weights in bytes and cycles; None where Vela is not installed or does not survive the file."""
    try:
        summary = vela(blob, "ethos-u55-128", "Shared_Sram")[1] if installed("ethos-u-vela") else {}
    except subprocess.CalledProcessError:
        summary = {}
    numbers = {"vela_bytes": "total_npu_encoded_weights", "vela_cycles": "cycles_total"}
    return {name: int(float(summary[key])) if summary else None for name, key in numbers.items()}


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any]) -> comparison.Row:
    """Trains and measures one row."""
    if job in CONTROLS:
        model = fashion.control(of, seed, CONTROLS[job])
    else:
        model = compressed(job.removeprefix(PREFIX), of, seed)
    blob = tfe.convert(model, of[0][:500])
    narrow = tfe.convert(model, of[0][:500], weight_storage="int4")
    stored = {"file_int4": len(narrow), "zlib_int4": len(zlib.compress(narrow, 9))}
    work = tfe.executed(blob, of[2][:COUNTED]).totals
    executed = {"macs": int(work["macs"]), "executed": round(float(work["executed_macs"]))}
    return {**measured(blob, of), **stored, **executed}


def jobs() -> list[str]:
    """All rows, in the order of their weight."""
    names = sorted(tfc.presets.names(), key=lambda name: (name not in FIRST, name))
    return [*(PREFIX + name for name in names), *CONTROLS]


COLUMNS = {
    "file": comparison.averaged("file", "{:,.0f} B"),
    "4-bit file": comparison.averaged("file_int4", "{:,.0f} B"),
    "zlib -9": comparison.averaged("zlib", "{:,.0f} B"),
    "4-bit file, zlib -9": comparison.averaged("zlib_int4", "{:,.0f} B"),
    "kernels, entropy-coded": comparison.averaged("entropy", "{:,.0f} B"),
    "Vela, encoded weights": comparison.averaged("vela_bytes", "{:,.0f} B"),
    "Vela cycles": comparison.averaged("vela_cycles"),
    "balanced-16x16 cycles": comparison.averaged("balanced-16x16 cycles"),
    "balanced-16x16 uJ": comparison.averaged("balanced-16x16 uJ", "{:.1f}"),
}
EXECUTED = {"MACs executed": comparison.averaged("executed", "{:.2f} M", 1e-6)}

if __name__ == "__main__":
    comparison.main(NAME, jobs(), run, comparison.table(jobs(), COLUMNS | EXECUTED), PACKAGES, images=60_000)
