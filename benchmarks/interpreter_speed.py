"""How fast the interpreter is beside LiteRT's three engines, on MobileNetV2, one thread each.

    python benchmarks/interpreter_speed.py [--seconds=10]

Every engine gets the same file and the same image; first all tensors are compared with the reference kernels (no
difference is allowed), then the engines take turns, so that whatever else the machine does meets them alike.
Minimum and median per image go to the table and to ``results/interpreter_speed.json``, and how much memory the arrays
of our interpreter take at most, inputs and weights apart.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402 - reads the number of threads once
import record  # noqa: E402

SEED, BATCH = 0, 32
NETWORKS = {"MobileNetV2 0.35, 96x96": (96, 0.35), "MobileNetV2 1.0, 224x224": (224, 1.0)}
ENGINES = {
    "LiteRT reference": "BUILTIN_REF",
    "LiteRT optimized": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "LiteRT XNNPACK": "AUTO",
}
OURS, OURS_BATCHED = "tfcompress", f"tfcompress, batch {BATCH}"
PACKAGES = ("numpy", "numba", "ai-edge-litert", "tensorflow", "keras")


def convert(side: int, alpha: float, path: str) -> None:
    """Writes an int8 MobileNetV2 with random, live weights, made by the stock converter."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(SEED)
    base = keras.applications.MobileNetV2(weights=None, input_shape=(side, side, 3), alpha=alpha)
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the moving statistics become those of the next batch
    rng = np.random.default_rng(SEED)
    base(rng.uniform(-1, 1, (8, side, side, 3)).astype(np.float32), training=True)
    base.layers[-1].kernel.assign(base.layers[-1].kernel * 4)
    image = keras.Input(batch_shape=(1, side, side, 3))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, base(image)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [rng.uniform(-1, 1, (1, side, side, 3)).astype(np.float32)] for _ in range(4)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    Path(path).write_bytes(converter.convert())


def network(side: int, alpha: float) -> bytes:
    """The file, converted in another process: TensorFlow's threads stay out of this one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tflite")
        subprocess.run(
            [sys.executable, __file__, "--convert", str(side), str(alpha), str(path)], check=True, capture_output=True
        )
        return path.read_bytes()


def litert(blob: bytes, resolver: str, keep: bool = False) -> Any:
    """One of LiteRT's engines, single-threaded."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine = Interpreter(
            model_content=blob,
            num_threads=1,
            experimental_op_resolver_type=OpResolverType[resolver],
            experimental_preserve_all_tensors=keep,
        )
    engine.allocate_tensors()
    return engine


def mismatches(blob: bytes, image: np.ndarray) -> tuple[int, int]:
    """Values that differ from the reference kernels, and values compared, over all op outputs."""
    from tflite_export.flatbuffer import read
    from tflite_export.interpreter import Executor

    graph, reference = read(blob), litert(blob, "BUILTIN_REF", keep=True)
    reference.set_tensor(graph.inputs[0], image)
    reference.invoke()
    ours = Executor(graph).run([image], keep=True)
    made = [index for op in graph.ops for index in op.outputs]
    differing = sum(int((ours[k] != reference.get_tensor(k)).sum()) for k in made)
    return differing, sum(ours[k].size for k in made)


def engines(blob: bytes, images: np.ndarray) -> dict[str, tuple[Callable[[], Any], int]]:
    """By name: a function that runs the engine once, and on how many images."""
    from tflite_export.interpreter import Interpreter

    ours = Interpreter(model_content=blob, num_threads=1)
    runs: dict[str, tuple[Callable[[], Any], int]] = {
        OURS: (ours.invoke, 1),
        OURS_BATCHED: (lambda: ours.predict(images, batch_size=BATCH), BATCH),
    }
    theirs = {name: litert(blob, resolver) for name, resolver in ENGINES.items()}
    for engine in (ours, *theirs.values()):
        engine.allocate_tensors()
        engine.set_tensor(engine.get_input_details()[0]["index"], images[:1])
    return runs | {name: (engine.invoke, 1) for name, engine in theirs.items()}


def interleaved(runs: dict[str, tuple[Callable[[], Any], int]], seconds: float) -> dict[str, dict[str, float]]:
    """Minimum and median milliseconds per image, the engines taking turns for ``seconds`` after one warm-up each."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run, _ in runs.values():
        run()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(times[OURS]) < 5:
        for name, (run, count) in runs.items():
            before = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - before) * 1e3 / count)
    return {
        name: {"min_ms": min(values), "median_ms": float(np.median(values)), "runs": len(values)}
        for name, values in times.items()
    }


def peak_mib(run: Callable[[], Any]) -> float:
    """What arrays take at most while ``run`` runs."""
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def measure(name: str, seconds: float) -> dict[str, Any]:
    """Compares, then times, one of ``NETWORKS``."""
    side, alpha = NETWORKS[name]
    blob = network(side, alpha)
    images = np.random.default_rng(SEED).integers(-128, 128, (BATCH, side, side, 3)).astype(np.int8)
    differing, compared = mismatches(blob, images[:1])
    assert differing == 0, f"{differing} of {compared} values differ from the reference kernels"
    runs = engines(blob, images)
    times = interleaved(runs, seconds)
    for own in (OURS, OURS_BATCHED):
        times[own]["peak_mib"] = peak_mib(runs[own][0])
    return {"values_compared": compared, "mismatches": differing, "engines": times}


def rows(name: str, result: dict[str, Any]) -> list[dict[str, str]]:
    """One network's part of the table."""
    reference = result["engines"]["LiteRT reference"]["min_ms"]
    return [
        {
            "network": name,
            "engine, one thread": engine,
            "min ms per image": f"{row['min_ms']:.2f}",
            "median ms": f"{row['median_ms']:.2f}",
            "times the reference": f"{reference / row['min_ms']:.1f}",
            "arrays, MiB": f"{row['peak_mib']:.1f}" if "peak_mib" in row else "",
        }
        for engine, row in result["engines"].items()
    ]


def main() -> None:
    """Measures every network and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="measuring time for each network")
    parser.add_argument("--convert", nargs=3, metavar=("SIDE", "ALPHA", "PATH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.convert:
        side, alpha, path = arguments.convert
        return convert(int(side), float(alpha), path)
    networks = {name: measure(name, arguments.seconds) for name in NETWORKS}
    table = [row for name, result in networks.items() for row in rows(name, result)]
    record.show(table)
    settings = record.settings(PACKAGES, threads=1, seconds=arguments.seconds, seed=SEED)
    record.write("interpreter_speed", settings, table, networks=networks)


if __name__ == "__main__":
    main()
