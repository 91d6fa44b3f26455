"""A network without multiplications on Fashion-MNIST, beside the float network and what lies between the two.

    python benchmarks/multiplierless.py [--images=15000] [--seeds=1,2,3] [--only=<regular expression>]

All rows start from the same float networks (see ``fashion.py``); those that train do so for the same six epochs.

    float                          the float network, in Keras
    float, six more epochs         trained on, as an int8 file
    plain batch norm               powers of two for weights (LUT-Q, 15 values) and for the steps of all maps
    multiplier-less                the same, and batch norms that shift: ``edits.multiplierless`` before ``compress``
    ..., frozen at the end         exponents stay for the last fifth of the steps
    ..., 8-bit weights             batch norms and steps as there, weights of 8 bits by LSQ: multiplies by weights only
    ..., not trained               calibrated, no epoch
    ..., batch norm afterwards     the trained row "plain batch norm", its factors then rounded to powers of two

Whether a file multiplies is read from its bytes: ``multiplies`` lists the operations that do, and by what.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import keras
import numpy as np

import tfcompress as tfc
import tflite_export as tfe

NAME = "multiplierless"
MOMENTUM = 0.9
"""Of the moving averages that decide on the powers of two; six epochs of 15,000 images are 702 steps."""

STEP = tfc.LSQ(8, power_of_two=True)
POWERS = {".*": {"kernel": tfc.LookUpTable(16, values="power_of_two"), "output": STEP}}
EIGHT_BITS = {".*": {"kernel": tfc.LSQ(8, power_of_two=True), "output": STEP}}


def shifting(of: fashion.Data, seed: int, rules: Any, **options: Any) -> keras.Model:
    """The float network with batch norms that shift, then with transforms, calibrated."""
    network = tfc.edits.multiplierless(fashion.float_network(of, seed), momentum=MOMENTUM, **options)
    small = tfc.compress(network, rules)
    tfc.calibrate(small, of[0][:512])
    return small


def trained(of: fashion.Data, seed: int, rules: Any, **options: Any) -> keras.Model:
    """The same behind six epochs."""
    return fashion.fine_tuned(shifting(of, seed, rules, **options), of, seed)


def plain(of: fashion.Data, seed: int) -> keras.Model:
    """Powers of two everywhere but in the batch norms."""
    return fashion.fine_tuned(fashion.compressed(of, seed, POWERS), of, seed)


def frozen(of: fashion.Data, seed: int) -> keras.Model:
    """Exponents that stay for the last fifth."""
    return trained(of, seed, POWERS, freeze_step=4 * fashion.steps(len(of[0])) // 5)


FLOAT = "float"
JOBS: dict[str, fashion.Recipe] = {
    FLOAT: fashion.float_network,
    "float, six more epochs": fashion.control,
    "plain batch norm": plain,
    "multiplier-less": lambda of, seed: trained(of, seed, POWERS),
    "multiplier-less, frozen at the end": frozen,
    "multiplier-less, 8-bit weights": lambda of, seed: trained(of, seed, EIGHT_BITS),
    "multiplier-less, not trained": lambda of, seed: shifting(of, seed, POWERS),
    "multiplier-less, batch norm afterwards": lambda of, seed: tfc.edits.multiplierless(plain(of, seed)),
}


def in_keras(model: keras.Model, of: fashion.Data) -> dict[str, Any]:
    """Accuracy in float32, on the test images."""
    right = model.predict(of[2], batch_size=500, verbose=0).argmax(axis=-1) == of[3]
    return {"accuracy": round(100 * float(np.mean(right)), 2)}


def scores(model: keras.Model, of: fashion.Data) -> dict[str, Any]:
    """Those of ``fashion.py``, the accuracy in Keras, and what the file multiplies by."""
    operations = tfe.receipt(tfe.convert(model, of[0][:500])).operations
    multiplying = {f"{one['layer']} ({one['op']})": one["multiplies"] for one in operations if not one["shift_only"]}
    return {
        **fashion.scores(model, of),
        "in_keras": in_keras(model, of)["accuracy"],
        "operations": len(operations),
        "multiplies": multiplying,
    }


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any]) -> comparison.Row:
    """Trains and scores one row."""
    judge: Callable[..., dict[str, Any]] = in_keras if job == FLOAT else scores
    return judge(JOBS[job](of, seed), of)


def table(runs: comparison.Runs) -> list[dict[str, str]]:
    """One line a row: mean and spread over the seeds, and the difference to the float network's."""
    lines = []
    for job in JOBS:
        seeds = [seed for seed, run in runs.items() if job in run]
        if seeds:
            accuracies = np.array([runs[seed][job]["accuracy"] for seed in seeds])
            base = [runs[seed][FLOAT]["accuracy"] for seed in seeds if FLOAT in runs[seed]]
            found = [runs[seed][job] for seed in seeds]
            lines.append(
                {
                    "row": job,
                    "test accuracy": comparison.spread(found),
                    "to float": f"{np.mean(accuracies) - np.mean(base):+.2f}" if len(base) == len(seeds) else "",
                    "ops that multiply": _multiplying(found),
                    "zlib": f"{comparison.mean(found, 'zlib'):,.0f} B" if "zlib" in found[0] else "",
                    "seeds": str(len(seeds)),
                }
            )
    return lines


def _multiplying(found: list[Mapping[str, Any]]) -> str:
    """How many operations of each file, of how many."""
    if "operations" not in found[0]:
        return "all"
    counts = sorted({len(one["multiplies"]) for one in found})
    return f"{'/'.join(map(str, counts))} of {found[0]['operations']}"


if __name__ == "__main__":
    comparison.main(NAME, JOBS, run, table)
