"""How long tools take for the same work, and how much memory: training steps, conversion, estimates of cost.

    python benchmarks/peer_speed.py [--rounds=5] [--only=<regular expression>]         needs 'tfcompress[peers]'

Each tool runs in a process of its own on one thread, made ready before the clock starts: modules imported, network and
data there. The tools of a comparison take turns; the first turn is not counted. Memory is the largest resident size of
the process while it works, and by how much that is more than before.

    training step   fashion-cnn, batches of 128: 16 steps a turn, a step's time is the least of them. TFMOT runs on
                    tf_keras, so each side has a plain ``fit`` of its own, and ratios are to that
    conversion      MobileNetV2 1.0, 224 x 224, random weights, eight images to calibrate on: Keras model to int8 file
                    (ai-edge-quantizer: from the float file)
    estimate        int8 file to cycles. Vela also compiles the network, SCALE-Sim also simulates each cycle: what they
                    do besides is not asked for, but there is no way to have their numbers without
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
os.environ.update({**THREADS, "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"})

import numpy as np  # noqa: E402 - reads the number of threads once
import record  # noqa: E402

SEED, BATCH, STEPS, SAMPLES = 0, 128, 16, 8
PACKAGES = (
    "tensorflow", "keras", "numpy", "tf_keras", "tensorflow-model-optimization", "ai-edge-quantizer",
    "ethos-u-vela", "scalesim",
)  # fmt: skip
Work = Callable[[], Any]
"""Done once a turn; a float that it gives is its seconds, else they are those from its call to its return."""


class Job(NamedTuple):
    """One tool at one kind of work; its times are multiples of those of ``base``."""

    what: str
    tool: str
    base: str
    prepare: Callable[[], Work]


def least_step(model: Any, callbacks: Callable[[], list[Any]] = list) -> Work:
    """The least time of a training step, of a compiled model."""
    rng = np.random.default_rng(SEED)
    x, y = rng.random((BATCH * STEPS, 28, 28, 1), "float32"), rng.integers(0, 10, BATCH * STEPS)

    def turn() -> float:
        ends: list[float] = []
        model_callback = type(model).__module__.split(".")[0]  # keras or tf_keras
        timer = sys.modules[model_callback].callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
        )
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[timer, *callbacks()])
        return float(np.diff(ends).min())

    return turn


def our_step(job: str | None) -> Callable[[], Work]:
    """A row of ``step_time.py``."""

    def prepare() -> Work:
        import keras
        import step_time

        import tfcompress as tfc

        rules = step_time.JOBS[job]() if job else None
        model = step_time.fashion_cnn()
        model = tfc.compress(model, rules) if rules else model
        tfc.calibrate(model, np.random.default_rng(SEED).random((BATCH, 28, 28, 1), "float32"))
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return least_step(model)

    return prepare


def tfmot_step(kind: str) -> Callable[[], Work]:
    """TFMOT on tf_keras."""

    def prepare() -> Work:
        import peers_tfmot
        import tensorflow_model_optimization as tfmot

        keras, sparsity = peers_tfmot.keras, tfmot.sparsity.keras
        model, callbacks = peers_tfmot.network(), list
        if kind == "QAT":
            model = tfmot.quantization.keras.quantize_model(model)
        elif kind == "cluster":
            model = tfmot.clustering.keras.cluster_weights(model, **peers_tfmot.CENTROIDS)
        elif kind.startswith("prune"):
            when = sparsity.PolynomialDecay(0.0, 0.7, 0, 10_000, frequency=int(kind.removeprefix("prune")))
            model = sparsity.prune_low_magnitude(model, pruning_schedule=when)
            callbacks = lambda: [sparsity.UpdatePruningStep()]  # noqa: E731
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return least_step(model, callbacks)

    return prepare


def large_network() -> tuple[Any, np.ndarray]:
    """What is converted, and images."""
    import keras

    keras.utils.set_random_seed(SEED)
    images = np.random.default_rng(SEED).random((SAMPLES, 224, 224, 3), "float32")
    return keras.applications.MobileNetV2((224, 224, 3), weights=None), images


def our_conversion() -> Work:
    """``tflite_export.convert``."""
    import tflite_export as tfe

    model, images = large_network()
    return lambda: tfe.convert(model, images)


def stock_conversion() -> Work:
    """TFLiteConverter."""
    import peers

    model, images = large_network()
    return lambda: peers.converted(model, images)


def edge_conversion() -> Work:
    """ai-edge-quantizer."""
    import peers

    model, images = large_network()
    plain = peers.converted(model, None)
    return lambda: peers.requantized(plain, images, 8, "min_max_uniform_quantize")


def our_estimate(network: str, machine: str) -> Callable[[], Work]:
    """``tflite_export.npu.estimate``, from the bytes of the file."""

    def prepare() -> Work:
        import npu_validation

        import tflite_export as tfe

        blob = npu_validation.networks()[network]
        return lambda: tfe.npu.estimate(blob, machine).totals

    return prepare


def scale_sim() -> Work:
    """SCALE-Sim's simulation."""
    import npu_validation

    from tflite_export import flatbuffer

    graph = flatbuffer.read(npu_validation.networks()["mobilenet 0.25"])
    return lambda: npu_validation.scale_sim(graph, "systolic-16-os")


def vela() -> Work:
    """Vela's compiler, without the start of a Python."""
    import npu_validation
    from ethosu.vela import vela as compiler

    folder = tempfile.TemporaryDirectory()  # there as long as what is returned
    file = Path(folder.name) / "net.tflite"
    file.write_bytes(npu_validation.networks()["mobilenet 1.0"])
    options = ["--accelerator-config=ethos-u55-128", "--config=Arm/vela.ini"]
    modes = ["--system-config=Ethos_U55_High_End_Embedded", "--memory-mode=Shared_Sram"]
    return lambda: compiler.main([str(file), *options, f"--output-dir={folder.name}", *modes])


OURS, PLAIN, STOCK = "tfcompress", "Keras 3, plain fit", "tf_keras, plain fit"
STEP, CONVERSION = "training step, ms", "conversion, s"
DOTS, SYSTOLIC = "estimate of MobileNet 1.0, 96x96, s", "estimate of MobileNet 0.25, 96x96, systolic array, s"
JOBS = [
    Job(STEP, PLAIN, PLAIN, our_step(None)),
    Job(STEP, "tfcompress, LSQ on weights and maps", PLAIN, our_step("LSQ, all weights and maps")),
    Job(STEP, "tfcompress, mask made in every step", PLAIN, our_step("pruning, mask made in every step")),
    Job(STEP, "tfcompress, mask every 100 steps", PLAIN, our_step("pruning, mask every 100 steps")),
    Job(STEP, "tfcompress, 16 tied weights", PLAIN, our_step("LookUpTable(16), all weights")),
    Job(STEP, STOCK, STOCK, tfmot_step("plain")),
    Job(STEP, "TFMOT, QAT", STOCK, tfmot_step("QAT")),
    Job(STEP, "TFMOT, mask made in every step", STOCK, tfmot_step("prune1")),
    Job(STEP, "TFMOT, mask every 100 steps", STOCK, tfmot_step("prune100")),
    Job(STEP, "TFMOT, 16 clusters", STOCK, tfmot_step("cluster")),
    Job(CONVERSION, OURS, OURS, our_conversion),
    Job(CONVERSION, "TFLiteConverter", OURS, stock_conversion),
    Job(CONVERSION, "ai-edge-quantizer", OURS, edge_conversion),
    Job(DOTS, OURS, OURS, our_estimate("mobilenet 1.0", "ethos-u55-128-like")),
    Job(DOTS, "Vela", OURS, vela),
    Job(SYSTOLIC, OURS, OURS, our_estimate("mobilenet 0.25", "systolic-16-os")),
    Job(SYSTOLIC, "SCALE-Sim", OURS, scale_sim),
]


def memory(field: str) -> float:
    """MiB of this process: ``VmRSS`` now, ``VmHWM`` at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def serve(job: Job) -> None:
    """The process of one tool: for each line that comes in, a turn; seconds and memory (before, at most) go out."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        work = job.prepare()
        Path("/proc/self/clear_refs").write_text("5")  # the largest size counts from here
        before = memory("VmRSS")
        print("ready", file=replies)
        for _ in sys.stdin:
            start = time.perf_counter()
            found = work()
            seconds = found if isinstance(found, float) else time.perf_counter() - start
            print(seconds, before, memory("VmHWM"), file=replies)


class Tool:
    """A job in its process."""

    def __init__(self, job: Job) -> None:
        legacy = {"TF_USE_LEGACY_KERAS": "1"} if job.base == STOCK else {}
        command = [sys.executable, __file__, f"--serve={JOBS.index(job)}"]
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
        self.job = job
        self.process = subprocess.Popen(command, text=True, bufsize=1, env={**os.environ, **legacy}, **pipes)
        self.answer()

    def answer(self) -> str:
        """The next line of the process."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.job.what}: {self.job.tool} has ended; see its message above")
        return line

    def turn(self) -> list[float]:
        """Seconds, MiB before, MiB at most."""
        self.process.stdin.write("\n")
        return [float(number) for number in self.answer().split()]


def measured(jobs: list[Job], rounds: int) -> dict[str, np.ndarray]:
    """Tool -> seconds, memory before and at most, of each turn but the first."""
    tools = [Tool(job) for job in jobs]
    turns = [[tool.turn() for tool in tools] for _ in range(rounds + 1)][1:]
    for tool in tools:
        tool.process.stdin.close()
        tool.process.wait()
    return {job.tool: np.array([turn[k] for turn in turns]) for k, job in enumerate(jobs)}


def lines(jobs: list[Job], found: dict[str, np.ndarray]) -> list[dict[str, str]]:
    """A line a tool."""
    table = []
    for job in jobs:
        (seconds, before, most), base = found[job.tool].T, found[job.base][:, 0]
        scale, digits = (1000, 1) if job.what.endswith("ms") else (1, 2)
        table.append(
            {
                "work": job.what,
                "tool": job.tool,
                "min": f"{scale * seconds.min():.{digits}f}",
                "times": f"{seconds.min() / base.min():.2f}",
                "median": f"{scale * np.median(seconds):.{digits}f}",
                "times (median)": f"{np.median(seconds) / np.median(base):.2f}",
                "memory, MiB": f"{most.max():,.0f}",
                "more than before": f"{max(0.0, most.max() - before[0]):,.0f}",
            }
        )
    return table


def main() -> None:
    """Measures, prints and writes; or serves one tool."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of every tool that count")
    parser.add_argument("--only", default=".*", help="regular expression on the kind of work")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(JOBS[options.serve])
        return
    table = []
    for what in dict.fromkeys(job.what for job in JOBS if re.fullmatch(options.only, job.what)):
        jobs = [job for job in JOBS if job.what == what]
        table += lines(jobs, measured(jobs, options.rounds))
        record.show(table)
    record.write("peer_speed", record.settings(PACKAGES, seed=SEED, threads=1, rounds=options.rounds), table)


if __name__ == "__main__":
    main()
