"""The cost model beside SCALE-Sim 3.0 and Arm's Vela, layer by layer. Needs ``pip install tfcompress[peers]``.

    python benchmarks/npu_validation.py [--only=scale-sim|vela|clock]

Both peers are models themselves: this shows that ours agrees with theirs where they claim the same, not that a chip
would take so many cycles.

    SCALE-Sim   compute cycles ("Total Cycles", without prefetch, which our closed forms leave out too) of every layer,
                both dataflows: must be equal. Depthwise layers: one channel simulated, times the channels.
    Vela        column ``NPU`` of convolutions and matrix products, mode Sram_Only: ratio of the sums and rank
                correlation of the layers; and bytes of weights read from flash, mode Shared_Sram.
    clock       how long estimates of a large network take, which must be less than two seconds.

What is missing on our side shows in depthwise layers of small maps: Vela takes the block with the fewest reads, ours is
the fastest one that fits the buffers. Networks are not trained; weights are random, so bytes are of random weights.
"""

import argparse
import configparser
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import record
from keras import layers

import tflite_export as tfe
from tflite_export import flatbuffer
from tflite_export.ir import Graph, Op

NAME = "npu_validation"
SYSTOLIC = ("systolic-16-os", "systolic-16-ws")
DOT_ENGINES = ("ethos-u55-32-like", "ethos-u55-64-like", "ethos-u55-128-like", "ethos-u55-256-like")
PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
GATES = {"mobilenet 1.0": (0.95, 1.15), "mobilenet 0.25": (0.85, 1.25), "small": (0.85, 1.25)}
"""Allowed sums of Vela's cycles over ours."""

Line = dict[str, str]

Layer = tuple[str, Sequence[int], int]
"""Name, SCALE-Sim's numbers (height, width, kernel height, width, channels, filters, stride), repetitions."""


def small() -> keras.Model:
    """32 x 32 x 16, five convolutions, mean, ten outputs."""
    inputs = x = keras.Input((32, 32, 16))
    for filters, stride, size in ((32, 1, 3), (64, 2, 3), (64, 1, 3), (128, 2, 3), (128, 1, 1)):
        x = layers.Conv2D(filters, size, stride, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def mobilenet(alpha: float) -> keras.Model:
    """MobileNetV1 on 96 x 96 x 3 with ten outputs."""
    base = keras.applications.MobileNet((96, 96, 3), alpha, include_top=False, weights=None, pooling="avg")
    return keras.Model(base.inputs, layers.Dense(10)(base.output))


def networks() -> dict[str, bytes]:
    """Integer files, random weights and ranges."""
    found = {}
    for name, build in {
        "small": small,
        "mobilenet 0.25": lambda: mobilenet(0.25),
        "mobilenet 1.0": lambda: mobilenet(1),
    }.items():
        keras.utils.set_random_seed(0)
        model = build()
        data = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:])).astype("float32")
        found[name] = tfe.convert(model, data)
    return found


def ours(blob: bytes, machine: str) -> dict[str, int]:
    """Cycles of each layer of products, without waiting for memory."""
    rows = tfe.npu.estimate(blob, machine).rows
    return {r["layer"]: r["cycles_total"] - r["cycles_memory_stall"] for r in rows if r["op"] in PRODUCTS}


def topology(graph: Graph) -> Iterator[Layer]:
    """What SCALE-Sim is told of each layer: inputs with their padding, one channel of a depthwise layer."""
    for number, op in enumerate(op for op in graph.ops if op.kind in PRODUCTS):
        yield f"layer{number}", *_numbers(graph, op)


def _numbers(graph: Graph, op: Op) -> tuple[Sequence[int], int]:
    kernel, y = graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
    if op.kind == "FULLY_CONNECTED":
        return (1, 1, 1, 1, kernel.shape[1], kernel.shape[0], 1), 1
    stride, (_, rows, columns, _) = op.options["stride_h"], y.shape
    high, wide = kernel.shape[1:3]
    extent = (rows - 1) * stride + high, (columns - 1) * stride + wide, high, wide
    if op.kind == "DEPTHWISE_CONV_2D":
        return (*extent, 1, 1, stride), kernel.shape[3]
    return (*extent, kernel.shape[3], kernel.shape[0], stride), 1


def scale_sim(graph: Graph, machine: str) -> list[int]:
    """Compute cycles of each layer of products."""
    from scalesim.scale_sim import scalesim

    parts = list(topology(graph))
    array = tfe.npu.load(machine).array
    with tempfile.TemporaryDirectory() as folder:
        files = _scale_sim_files(Path(folder), parts, array)
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            simulator = scalesim(save_disk_space=True, verbose=False, input_type_gemm=False, **files)
            simulator.run_scale(top_path=folder)
        report = next(Path(folder).rglob("COMPUTE_REPORT.csv")).read_text().splitlines()
    column = [name.strip() for name in report[0].split(",")].index("Total Cycles")
    cycles = [int(float(line.split(",")[column])) for line in report[1:]]
    return [count * times for count, (_, _, times) in zip(cycles, parts, strict=True)]


def _scale_sim_files(folder: Path, parts: Sequence[Layer], array: Any) -> dict[str, str]:
    """Configuration, topology, and the layout that must be there though it is not used."""
    config = configparser.ConfigParser()
    config["general"] = {"run_name": "run"}
    memory = {f"{kind}SramSzkB": "1024" for kind in ("Ifmap", "Filter", "Ofmap")}
    offsets = {"IfmapOffset": "0", "FilterOffset": "10000000", "OfmapOffset": "20000000"}
    banks = {f"{kind}CustomLayout": "False" for kind in ("Ifmap", "Filter")}
    for kind in ("Ifmap", "Filter"):
        banks |= {
            f"{kind}SRAMBank{what}": number for what, number in (("Bandwidth", "64"), ("Num", "1"), ("Port", "2"))
        }
    config["architecture_presets"] = {
        "ArrayHeight": str(array.rows), "ArrayWidth": str(array.columns), **memory, **offsets, "Bandwidth": "64",
        "Dataflow": {"output_stationary": "os", "weight_stationary": "ws"}[array.dataflow], "MemoryBanks": "1",
        "ReadRequestBuffer": "32", "WriteRequestBuffer": "32", **banks,
    }  # fmt: skip
    config["layout"] = banks
    config["sparsity"] = {
        "SparsitySupport": "false", "SparseRep": "ellpack_block", "OptimizedMapping": "false", "BlockSize": "8",
        "RandomNumberGeneratorSeed": "40",
    }  # fmt: skip
    config["run_presets"] = {"InterfaceBandwidth": "CALC", "UseRamulatorTrace": "False"}
    with open(folder / "run.cfg", "w") as file:
        config.write(file)
    header = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
    rows = [f"{name}, {', '.join(map(str, numbers))}," for name, numbers, _ in parts]
    (folder / "net.csv").write_text("\n".join([header, *rows]) + "\n")
    layout = [
        f"{name}, {', '.join(['1'] * 6 + ['0', '1', '2'] * 2 + ['0', '1', '2', '3'] * 2)}," for name, _, _ in parts
    ]
    (folder / "layout.csv").write_text("\n".join([header, *layout]) + "\n")
    return {
        key: str(folder / file)
        for key, file in (("config", "run.cfg"), ("topology", "net.csv"), ("layout", "layout.csv"))
    }


def vela(blob: bytes, machine: str, memory_mode: str) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Vela's rows of layers and its summary."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "net.tflite").write_bytes(blob)
        command = [
            sys.executable, "-m", "ethosu.vela", "net.tflite",
            "--accelerator-config", machine.removesuffix("-like"), "--config", "Arm/vela.ini",
            "--system-config", "Ethos_U55_High_End_Embedded", "--memory-mode", memory_mode,
            "--verbose-performance", "--output-dir", "out",
        ]  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        per_layer, summary = (next((folder / "out").glob(p)) for p in ("*per-layer*.csv", "*_summary_*.csv"))
        with open(per_layer, newline="") as first, open(summary, newline="") as second:
            return list(csv.DictReader(first)), next(csv.DictReader(second))


def vela_cycles(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> list[float]:
    """The NPU column of our layers of products, by the name of their output."""
    found: dict[str, float] = {}
    for row in rows:  # what is fused into a layer has a row of its own, of the same name
        found[row["Name"].strip()] = found.get(row["Name"].strip(), 0.0) + float(row["NPU"])
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"Vela's table must have all layers. Missing: {missing}. It has: {sorted(found)}")
    return [found[name] for name in names]


def compare_scale_sim(nets: Mapping[str, bytes]) -> Iterator[Line]:
    """One line a network and dataflow."""
    for net in ("small", "mobilenet 0.25"):
        for machine in SYSTOLIC:
            mine, theirs = ours(nets[net], machine), scale_sim(flatbuffer.read(nets[net]), machine)
            equal = sum(a == b for a, b in zip(mine.values(), theirs, strict=True))
            counts = sum(theirs), sum(mine.values())
            detail, holds = f"{equal} of {len(mine)} equal", equal == len(mine)
            yield _line("SCALE-Sim 3.0", net, machine, "cycles", *counts, "equal in every layer", holds, detail)


def compare_vela(nets: Mapping[str, bytes]) -> Iterator[Line]:
    """Two lines a network and engine."""
    for net, (low, high) in GATES.items():
        for machine in DOT_ENGINES:
            mine = ours(nets[net], machine)
            theirs = vela_cycles(vela(nets[net], machine, "Sram_Only")[0], list(mine))
            counts, ranks = (sum(theirs), sum(mine.values())), correlation(theirs, list(mine.values()))
            holds, limits = low <= counts[0] / counts[1] <= high and ranks >= 0.9, f"{low} to {high}, ranks 0.9"
            yield _line("Vela", net, machine, "NPU cycles", *counts, limits, holds, f"ranks {ranks:.2f}")
            summary = vela(nets[net], machine, "Shared_Sram")[1]
            read = sum(float(n) for key, n in summary.items() if key.endswith("flash_weight_read_bytes"))
            moved = tfe.npu.estimate(nets[net], machine).totals["weight_moved_bytes"]
            yield _line("Vela", net, machine, "weight bytes", read, moved, "0.9 to 1.1", 0.9 <= read / moved <= 1.1)


def compare_clock(nets: Mapping[str, bytes]) -> Iterator[Line]:
    """A line for each of two machines of ours, once and again: the first estimate reads what later ones reuse."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((224, 224, 3), weights=None)
    blob = tfe.convert(model, np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype("float32"))
    for machine in ("ethos-u55-128-like", "balanced-16x16"):
        start = time.perf_counter()
        tfe.npu.estimate(blob, machine)
        taken = time.perf_counter() - start
        yield _line("clock", "mobilenetv2 1.0, 224", machine, "ms", 2000, 1000 * taken, "below 2000", taken < 2)


def correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's, ties sharing the mean of their ranks."""

    def ranks(values: Sequence[float]) -> np.ndarray:
        ordered = np.sort(values)
        return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def _line(
    peer: str, net: str, machine: str, what: str, theirs: float, mine: float, limits: str, holds: bool, detail: str = ""
) -> Line:
    counts = {"theirs": f"{theirs:,.0f}", "ours": f"{mine:,.0f}", "theirs / ours": f"{theirs / mine:.3f}"}
    verdict = {"must be": limits, "layers": detail, "verdict": "holds" if holds else "MISSED"}
    return {"peer": peer, "network": net, "machine": machine, "what": what, **counts, **verdict}


def main() -> None:
    """Compares with the peers that are asked for, all of which must be installed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PEERS, help="one of the peers")
    wanted = [peer for peer in PEERS if parser.parse_args().only in (None, peer)]
    missing = [peer for peer in wanted if not installed(PEERS[peer][0])]
    if missing:
        sys.exit(f"npu_validation: {', '.join(missing)} not installed. Run: pip install 'tfcompress[peers]'")
    if "scale-sim" in wanted and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        sys.exit(f"npu_validation: SCALE-Sim 3.0 fails on NumPy {np.__version__}. Run: pip install 'numpy<2.4'")
    nets = networks()
    lines = [line for peer in wanted for line in PEERS[peer][1](nets)]
    record.show(lines)
    packages = dict.fromkeys(["tensorflow", "keras", "numpy", *(PEERS[peer][0] for peer in wanted)])
    record.write(
        NAME if len(wanted) == len(PEERS) else f"{NAME}_{wanted[0]}",
        record.settings(list(packages), seed=0),
        lines,
    )
    if any(line["verdict"] == "MISSED" for line in lines):
        sys.exit("npu_validation: see the lines that say MISSED")


def installed(package: str) -> bool:
    """Whether a package is there."""
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


PEERS = {
    "scale-sim": ("scalesim", compare_scale_sim),
    "vela": ("ethos-u-vela", compare_vela),
    "clock": ("numpy", compare_clock),
}
"""What is compared with, the package that must be there, and what makes the lines."""

if __name__ == "__main__":
    main()
