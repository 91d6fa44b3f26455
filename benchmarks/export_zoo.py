"""Every image classifier of keras.applications, exported: what converts, how exact it is, and how long it takes.

    python benchmarks/export_zoo.py [NAME ...] [--again]

Weights are random, but live: factors and offsets of the norms are drawn, their statistics are those of a batch, and the
logits are spread. Each model has its smallest legal input. The stock converter gets the same samples. Every tensor is
compared, on two images, with the reference kernels of LiteRT, and with what Keras makes of the tensors in front of it
(``verify``: one step, and what rounding the weights can cause, is in order); the output, where all that adds up, with
Keras' own on eight, beside the stock converter's.

Each model runs in processes of its own, and each finished row stays in ``results/export_zoo.json``: a run that was
interrupted goes on where it stopped. ``--again`` measures models anew that are there.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import numpy as np  # noqa: E402 - reads the number of threads once
import record  # noqa: E402

SEED, SAMPLES, COMPARED, TRIED = 0, 32, 2, 8
SECONDS = 2.0
"""How long each engine runs for its time per image."""

PATCHES = 4
"""Patches of colour along each side of an image."""

SPREAD = 3.0
"""Standard deviation of the logits: with flat ones the reference softmax ends the process."""

LIMIT = 1800
"""Seconds after which a process is given up."""

SIDES = {
    "MobileNet": 32, "MobileNetV2": 32, "MobileNetV3Small": 32, "MobileNetV3Large": 32, "EfficientNetB0": 32,
    "EfficientNetV2B0": 32, "ResNet50": 32, "ResNet50V2": 32, "DenseNet121": 32, "VGG16": 32, "InceptionV3": 75,
    "Xception": 71, "NASNetMobile": 32, "ConvNeXtTiny": 32, "InceptionResNetV2": 75, "EfficientNetB1": 32,
    "EfficientNetB2": 32, "EfficientNetB3": 32, "EfficientNetB4": 32, "EfficientNetB5": 32, "EfficientNetB6": 32,
    "EfficientNetB7": 32, "EfficientNetV2B1": 32, "EfficientNetV2B2": 32, "EfficientNetV2B3": 32,
    "EfficientNetV2S": 32, "EfficientNetV2M": 32, "EfficientNetV2L": 32, "ResNet101": 32, "ResNet152": 32,
    "ResNet101V2": 32, "ResNet152V2": 32, "DenseNet169": 32, "DenseNet201": 32, "VGG19": 32, "NASNetLarge": 32,
    "ConvNeXtSmall": 32, "ConvNeXtBase": 32, "ConvNeXtLarge": 32, "ConvNeXtXLarge": 32,
}  # fmt: skip
"""Model -> smallest legal height and width; the smallest model of each family first."""

PACKAGES = ("numpy", "numba", "keras", "tensorflow", "ai-edge-litert")


def network(name: str) -> Any:
    """The classifier with random, live weights."""
    import keras

    keras.utils.set_random_seed(SEED)
    side, rng = SIDES[name], np.random.default_rng(SEED)
    model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3))
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        for variable, low, high in ((layer.gamma, 0.5, 1.5), (layer.beta, -0.3, 0.3)):
            if variable is not None:
                variable.assign(rng.uniform(low, high, variable.shape))
        layer.momentum = 0.0  # the moving statistics become those of the next batch
    for layer in model.layers:
        if type(layer).__name__ in ("LayerNormalization", "LayerScale"):
            for variable in layer.weights:
                variable.assign(variable + rng.uniform(-0.3, 0.5, variable.shape))
    model(images(name, SAMPLES), training=True)
    logits = np.log(model.predict(images(name, TRIED), verbose=0).astype(np.float64) + 1e-30)
    head = [layer for layer in model.layers if hasattr(layer, "kernel")][-1]
    head.kernel.assign(head.kernel * (SPREAD / max(float(logits.std(-1).mean()), 1e-9)))
    return model


def images(name: str, count: int) -> np.ndarray:
    """The first ``count`` of the samples: patches of colour, which differ more from each other than noise does."""
    side, rng = SIDES[name], np.random.default_rng(SEED + 1)
    patches = rng.uniform(0, 255, (SAMPLES, PATCHES, PATCHES, 3))
    cells = np.arange(side) * PATCHES // side
    return patches[:count, cells][:, :, cells].astype(np.float32)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """The result of ``call``, and its seconds."""
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def ours(name: str) -> dict[str, Any]:
    """Converts, compares with the reference kernels and with Keras, and times the engines."""
    import tflite_export as tfe
    from tflite_export.flatbuffer import read

    model = network(name)
    blob, seconds = timed(lambda: tfe.convert(model, images(name, SAMPLES)))
    graph, x = read(blob), images(name, TRIED)
    found = tfe.verify(blob, x[:COMPARED], keras_model=model)
    differing, values, _ = found.total("reference")
    result = {
        "parameters": model.count_params(), "ops": len(graph.ops), "bytes": len(blob), "convert_s": seconds,
        "tensors": len(found.rows), "values": values, "differing": differing, "keras_steps": found.total("Keras")[2],
        "verified": found.ok, "summary": found.summary(),
    }  # fmt: skip
    result["output_steps"] = steps_to_keras(blob, model, x)
    grid = graph.tensors[graph.inputs[0]].quantization
    image = np.clip(np.rint(x[:1] / grid.scale) + grid.zero_point, -128, 127).astype(np.int8)
    return result | engines(blob, image)


def steps_to_keras(blob: bytes, model: Any, x: np.ndarray) -> float:
    """How far the output of a file is from that of Keras at most, in steps of its grid."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_REF
    engine = Interpreter(model_content=blob, num_threads=1, experimental_op_resolver_type=resolver)
    engine.allocate_tensors()
    ((source, result),) = zip(engine.get_input_details(), engine.get_output_details(), strict=True)
    worst, (scale, zero_point), (step, offset) = 0.0, source["quantization"], result["quantization"]
    for image, expected in zip(x, model.predict(x, verbose=0), strict=True):
        codes = np.clip(np.rint(image / scale) + zero_point, -128, 127).astype(np.int8)
        engine.set_tensor(source["index"], codes[None])
        engine.invoke()
        delivered = engine.get_tensor(result["index"])[0].astype(np.float64) - offset
        worst = max(worst, float(np.abs(delivered - expected / step).max()))
    return worst


def engines(blob: bytes, image: np.ndarray) -> dict[str, float]:
    """Least milliseconds for one image: ours, LiteRT's reference kernels, XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    import tflite_export as tfe

    runs = {"ours_ms": tfe.Interpreter(model_content=blob, num_threads=1)}
    for key, resolver in (("reference_ms", "BUILTIN_REF"), ("xnnpack_ms", "AUTO")):
        kind = OpResolverType[resolver]
        runs[key] = Interpreter(model_content=blob, num_threads=1, experimental_op_resolver_type=kind)
    return {key: least_ms(engine, image) for key, engine in runs.items()}


def least_ms(engine: Any, image: np.ndarray) -> float:
    """Milliseconds of the fastest of some runs after a first one."""
    engine.allocate_tensors()
    engine.set_tensor(engine.get_input_details()[0]["index"], image)
    engine.invoke()
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 3:
        times.append(timed(engine.invoke)[1])
    return min(times) * 1e3


def stock(name: str) -> dict[str, Any]:
    """Converts with TFLiteConverter, by the same samples."""
    import keras
    import tensorflow as tf

    model, side = network(name), SIDES[name]
    image = keras.Input(batch_shape=(1, side, side, 3))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, model(image)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x[None]] for x in images(name, SAMPLES))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    blob, seconds = timed(converter.convert)
    steps = steps_to_keras(blob, model, images(name, TRIED))
    return {"stock_convert_s": seconds, "stock_bytes": len(blob), "stock_output_steps": steps}


PARTS = {"ours": ours, "stock": stock}


def measure(name: str, part: str) -> dict[str, Any]:
    """Runs a part in a process of its own; what went wrong stands under ``<part>_error``."""
    command = [sys.executable, __file__, name, "--part", part]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {f"{part}_error": f"took more than {LIMIT} s"}
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit status {done.returncode}"]
        return {f"{part}_error": lines[-1][:300]}
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, raw: dict[str, Any]) -> dict[str, str]:
    """One line of the table; an empty cell is what could not be measured."""

    def cell(key: str, form: str) -> str:
        return format(raw[key], form) if key in raw else ""

    return {
        "model": f"{name}, {SIDES[name]}x{SIDES[name]}",
        "converted": "no" if "ours_error" in raw else "yes",
        "verified": {True: "yes", False: "no", None: ""}[raw.get("verified")],
        "tensors": cell("tensors", ","),
        "values": cell("values", ","),
        "differing": cell("differing", ","),
        "worst tensor, steps to Keras": cell("keras_steps", ".0f"),
        "output": cell("output_steps", ".0f"),
        "output, TFLiteConverter": cell("stock_output_steps", ".0f"),
        "convert s": cell("convert_s", ".1f"),
        "TFLiteConverter s": cell("stock_convert_s", ".1f"),
        "ms": cell("ours_ms", ".1f"),
        "reference ms": cell("reference_ms", ".1f"),
        "XNNPACK ms": cell("xnnpack_ms", ".2f"),
    }


def finished() -> dict[str, dict[str, Any]]:
    """What earlier runs measured, by model."""
    file = record.RESULTS / "export_zoo.json"
    return json.loads(file.read_text(encoding="utf-8"))["models"] if file.exists() else {}


def main() -> None:
    """Measures the models that are not done yet and writes the results after each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *SIDES], help="models; all by default")
    parser.add_argument("--again", action="store_true", help="measure models that are done, too")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        return print(json.dumps(PARTS[arguments.part](arguments.names[0])))
    settings = record.settings(PACKAGES, threads=1, samples=SAMPLES, seed=SEED)
    for name in arguments.names or SIDES:
        if name in finished() and not arguments.again:
            continue
        raw = {**measure(name, "ours"), **measure(name, "stock")}
        models = finished() | {name: raw}
        models = {known: models[known] for known in SIDES if known in models}
        record.write("export_zoo", settings, [row(known, models[known]) for known in models], models=models)
        record.show([row(name, raw)])


if __name__ == "__main__":
    main()
