"""tfcompress demo: the whole path on real images, in about a minute.

Trains a small convolutional network, prunes 70 % of its weights and quantises them to 4 bits in one `fit`, exports
integers, proves them against LiteRT's reference kernels, runs the test set on the bit-exact interpreter, estimates an
NPU, and writes model.tflite, report.html, summary.csv and summary.json.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from tflite_export.commands import UsageError, new_flags, quiet_keras
from tflite_export.files import write_atomically

FLAGS = new_flags()
_DATASET = flags.DEFINE_enum(
    "dataset",
    "digits",
    ["digits", "fashion_mnist"],
    "Images to learn (digits ship with scikit-learn).",
    flag_values=FLAGS,
)
_EPOCHS = flags.DEFINE_integer("epochs", None, "Epochs of each of the two trainings.", lower_bound=1, flag_values=FLAGS)
_OUT = flags.DEFINE_string("output_dir", "out", "Where the results are written.", flag_values=FLAGS)
_MACHINE = flags.DEFINE_string("machine", "ethos-u55-128-like", "The NPU to estimate.", flag_values=FLAGS)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of weights, shuffling and split.", flag_values=FLAGS)

SPARSITY, BITS = 0.7, 4


@dataclass(frozen=True)
class Row:
    """One line of the final table."""

    model: str
    accuracy_percent: float
    file_bytes: int
    weight_bytes: int
    entropy_coded_bytes: int
    cycles: int | None
    energy_uj: float | None


def run(positional: Sequence[str]) -> int:
    """Runs the demo."""
    if positional:
        raise UsageError(f"no arguments expected. Received: {' '.join(positional)}")
    keras = quiet_keras()
    from tflite_export import convert, receipt, verify
    from tflite_export.convert import convert_float

    keras.utils.set_random_seed(_SEED.value)
    (x_train, y_train), (x_test, y_test) = DATASETS[_DATASET.value]()
    epochs = _EPOCHS.value or {"digits": 12, "fashion_mnist": 2}[_DATASET.value]
    batch = 32 if len(x_train) < 10_000 else 128
    steps = epochs * (len(x_train) // batch)

    print(f"1. Training a float network on {len(x_train):,} images ({_DATASET.value}, {epochs} epochs)")
    model = network(x_train.shape[1:])
    fit(model, x_train, y_train, epochs, batch, 3e-3)

    print(f"\n2. Pruning {SPARSITY:.0%} of the weights and quantising to {BITS} bits, in one fit")
    small = compressed(model, x_train[:512], steps)
    fit(small, x_train, y_train, epochs, batch, 3e-3)

    print("\n3. Exporting and proving the integers")
    blobs = {
        "float": convert_float(model),
        "int8": convert(model, x_train[:512]),
        f"{BITS}-bit, {SPARSITY:.0%} zeros": convert(small),
    }
    blob = [*blobs.values()][-1]
    verification = verify(blob, x_test[:64], keras_model=small)
    print(verification)
    delivered = receipt(blob, keras_model=small)
    print(delivered)

    print(f"\n4. The whole test set ({len(x_test):,} images) on the interpreter, and the cost on {_MACHINE.value}")
    estimates: dict[str, Any] = {}
    rows = [measure(name, content, x_test, y_test, estimates) for name, content in blobs.items()]
    print(estimates[rows[-1].model])
    print()
    print(table(rows))
    write(blobs, rows, estimates, blob)
    return 0 if verification.ok and delivered.ok else 1


def digits() -> Any:
    """1,797 handwritten digits of 8 x 8 pixels, which ship with scikit-learn: 1,347 to train, 450 to test."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the demo's images ship with scikit-learn: pip install 'tfcompress[demo]'") from error
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(_SEED.value).permutation(len(pixels))
    images, labels = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)[order], labels[order]
    return (images[:1347], labels[:1347]), (images[1347:], labels[1347:])


def fashion_mnist() -> Any:
    """60,000 and 10,000 images of clothes, 28 x 28 pixels."""
    import keras

    (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    return tuple(((x[..., None] / 255).astype(np.float32), y) for x, y in ((x_train, y_train), (x_test, y_test)))


DATASETS = {"digits": digits, "fashion_mnist": fashion_mnist}


def network(shape: tuple[int, ...]) -> Any:
    """Three convolutions with batch norm, a pooling and a dense layer: 24 thousand parameters."""
    from keras import Input, Sequential, layers

    def convolution(filters: int) -> list[Any]:
        conv = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv_{filters}")
        return [conv, layers.BatchNormalization(momentum=0.9), layers.ReLU()]

    blocks = [*convolution(16), *convolution(32), layers.MaxPooling2D(), *convolution(64)]
    return Sequential([Input(shape), *blocks, layers.GlobalAveragePooling2D(), layers.Dense(10, name="dense")])


def compressed(model: Any, sample: np.ndarray, steps: int) -> Any:
    """The network with pruned, quantised weights and quantised feature maps."""
    import tfcompress as tfc

    pruning = tfc.MagnitudePruning(tfc.PolynomialDecay(0.0, SPARSITY, begin_step=0, end_step=steps // 2))
    rules = {
        ".*": {"kernel": tfc.Chain([pruning, tfc.LSQ(bits=BITS)]), "output": tfc.LSQ(bits=8)},
        "conv_16": {"kernel": tfc.LSQ(bits=BITS)},  # 144 of 23,824 weights, and the ones that see the image: not pruned
    }
    small = tfc.compress(model, rules)
    tfc.calibrate(small, sample)
    return small


def fit(model: Any, x: np.ndarray, y: np.ndarray, epochs: int, batch: int, rate: float) -> None:
    """Plain Keras training: Adam with a cosine to zero."""
    import keras

    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * -(-len(x) // batch))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"], jit_compile=False)
    model.fit(x, y, batch_size=batch, epochs=epochs)


def measure(name: str, blob: bytes, x: np.ndarray, y: np.ndarray, estimates: dict[str, Any]) -> Row:
    """Accuracy on our interpreter, bytes from the file, cost from the machine (integers only)."""
    from tflite_export import Interpreter, npu, receipt

    accuracy = 100 * float(np.mean(Interpreter(model_content=blob).predict(x).argmax(-1) == y))
    totals = receipt(blob).totals
    cost: dict[str, Any] = {}
    if name != "float":
        estimates[name] = npu.estimate(blob, machine=_MACHINE.value)
        cost = estimates[name].totals
    return Row(
        name, round(accuracy, 2), len(blob), totals["raw_bytes"], totals["entropy_bytes"],
        cost.get("cycles_total"), cost.get("energy_total_uj"),
    )  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The final table, one line a model."""
    lines = [
        f"{'model':<20}{'accuracy':>9}{'file':>10}{'weights':>10}{'entropy-coded':>15}{'cycles':>10}{'energy':>11}"
    ]
    for row in rows:
        cycles = "-" if row.cycles is None else f"{row.cycles:,}"
        energy = "-" if row.energy_uj is None else f"{row.energy_uj:.2f} µJ"
        lines.append(
            f"{row.model:<20}{row.accuracy_percent:>7.2f} %{row.file_bytes:>8,} B{row.weight_bytes:>8,} B"
            f"{row.entropy_coded_bytes:>13,} B{cycles:>10}{energy:>11}"
        )
    return "\n".join(lines)


def write(blobs: dict[str, bytes], rows: Sequence[Row], estimates: dict[str, Any], blob: bytes) -> None:
    """Writes the files of the demo, each to a temporary name first."""
    from tflite_export.report import write_report

    out = Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    records = [asdict(row) for row in rows]
    header = ",".join(records[0])
    lines = [",".join("" if v is None else str(v) for v in record.values()) for record in records]
    write_atomically(out / "model.tflite", blob)
    write_atomically(out / "summary.csv", "\n".join([header, *lines, ""]).encode())
    settings = {"dataset": _DATASET.value, "seed": _SEED.value, "machine": _MACHINE.value}
    write_atomically(out / "summary.json", json.dumps({"settings": settings, "rows": records}, indent=1).encode())
    integers = {name: content for name, content in blobs.items() if name in estimates}
    write_report(out / "report.html", f"tfcompress demo: {_DATASET.value}", records, integers, estimates)
    print(f"\nWrote {', '.join(sorted(str(f) for f in out.iterdir()))}")
