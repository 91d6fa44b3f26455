"""What generated convolutions save: multiplications, widths, and time on the interpreter, one thread.

    python benchmarks/winograd.py [--seconds=1]

Int8 convolutions as ResNet and MobileNet have them, with random weights. Every one runs directly and by tiles of
``m x m`` outputs; first all outputs are compared (no difference is allowed), then both take turns. Multiplications are
those between transformed weights and transformed inputs; the transforms themselves multiply by constants only.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402 - reads the number of threads once
import record  # noqa: E402

import tfcompress as tfc  # noqa: E402
from tflite_export.interpreter import Executor  # noqa: E402
from tflite_export.interpreter.winograd import Generated  # noqa: E402
from tflite_export.ir import Graph, Op, Quantization, Tensor  # noqa: E402

SEED = 0
CONVOLUTIONS = {
    # side, input channels, output channels, kernel, depthwise
    "ResNet 56x56, 64": (56, 64, 64, 3, False),
    "ResNet 28x28, 128": (28, 128, 128, 3, False),
    "ResNet 14x14, 256": (14, 256, 256, 3, False),
    "ResNet 7x7, 512": (7, 512, 512, 3, False),
    "Inception 35x35, 48 to 64, 5x5": (35, 48, 64, 5, False),
    "MobileNet 56x56, depthwise 144": (56, 144, 1, 3, True),
    "MobileNet 14x14, depthwise 576": (14, 576, 1, 3, True),
}
TILES = {3: (2, 3, 4, 6), 5: (2, 3, 4)}
"""By length of the kernel: 6 x 6 outputs of 5 x 5 weights would need sums of more than 64 bits."""
PACKAGES = ("numpy", "numba")


def graph(side: int, channels: int, filters: int, kernel: int, depthwise: bool) -> Graph:
    """One convolution with random int8 weights, whose outputs fill int8."""
    rng = np.random.default_rng(SEED)
    shape = (1, kernel, kernel, channels) if depthwise else (filters, kernel, kernel, channels)
    made = channels if depthwise else filters
    weights = np.clip(np.rint(rng.normal(0, 40, shape)), -127, 127).astype(np.int8)

    def grid(scale: Any) -> Quantization:
        scale = np.atleast_1d(np.float32(scale))
        return Quantization(scale, np.zeros(scale.shape, np.int64))

    spread = 74 * 40 * np.sqrt(kernel * kernel * (1 if depthwise else channels)) / 50
    tensors = (
        Tensor("x", (1, side, side, channels), "int8", grid(1)),
        Tensor("weights", shape, "int8", grid(np.ones(made)), weights),
        Tensor("bias", (made,), "int32", grid(np.ones(made)), rng.integers(-1000, 1000, made).astype(np.int32)),
        Tensor("y", (1, side, side, made), "int8", grid(spread)),
    )
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "fused_activation_function": "NONE"}
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    return Graph(tensors, (Op(kind, (0, 1, 2), (3,), options),), (0,), (3,))


def interleaved(runs: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Least milliseconds of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(times[next(iter(runs))]) < 3:
        for name, run in runs.items():
            before = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - before) * 1e3)
    return {name: min(values) for name, values in times.items()}


def measure(name: str, seconds: float) -> list[dict[str, Any]]:
    """Compares, then times, one of ``CONVOLUTIONS``: a row for each tile."""
    side, channels, filters, kernel, depthwise = CONVOLUTIONS[name]
    one = graph(side, channels, filters, kernel, depthwise)
    x = np.random.default_rng(SEED).integers(-128, 128, (1, side, side, channels)).astype(np.int8)
    direct = Executor(one)
    expected = direct.run([x])[3]
    runs: dict[str, Callable[[], Any]] = {"direct": lambda: direct.run([x])}
    rows = []
    for m in TILES[kernel]:
        generated = Generated(tfc.toom_cook.Tiles(m))
        executor = Executor(one, generated.kernels)
        differing = int(np.sum(executor.run([x])[3] != expected))
        assert differing == 0, f"{name}, tiles of {m} x {m}: {differing} of {expected.size} outputs differ"
        runs[str(m)] = lambda executor=executor: executor.run([x])
        widths = tfc.toom_cook.widths(tfc.toom_cook.generate(m, kernel))
        bits = {"weight_bits": widths.weight_bits, "input_bits": widths.input_bits, "scale": widths.scale}
        rows.append({"convolution": name, "m": m, **generated.made[0]._asdict(), **bits})
    times = interleaved(runs, seconds)
    return [{**row, "direct_ms": times["direct"], "generated_ms": times[str(row["m"])]} for row in rows]


def line(row: dict[str, Any]) -> dict[str, str]:
    """A row of the table."""
    return {
        "convolution": row["convolution"],
        "tile": f"{row['m']} x {row['m']}",
        "multiplications, direct": f"{row['direct'] / 1e6:.2f} M",
        "generated": f"{row['generated'] / 1e6:.2f} M",
        "saved": f"{row['direct'] / row['generated']:.2f}x",
        "bits of weights, inputs": f"{row['weight_bits']}, {row['input_bits']}",
        "accumulator": f"{row['accumulator_bits']} bits",
        "direct ms": f"{row['direct_ms']:.2f}",
        "generated ms": f"{row['generated_ms']:.2f}",
    }


def main() -> None:
    """Measures every convolution and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="measuring time for each convolution")
    seconds = parser.parse_args().seconds
    raw = [row for name in CONVOLUTIONS for row in measure(name, seconds)]
    table = [line(row) for row in raw]
    record.show(table)
    record.write("winograd", record.settings(PACKAGES, threads=1, seconds=seconds, seed=SEED), table, rows=raw)


if __name__ == "__main__":
    main()
