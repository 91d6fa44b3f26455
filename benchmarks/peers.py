"""What users pick today, on the network, data and epochs of ``front.py``. Needs ``pip install 'tfcompress[peers]'``.

    python benchmarks/peers.py [--images=60000] [--seeds=1] [--only=<regular expression>]

    TFMOT ...               quantisation-aware training; pruning with targets by layer; clustering; pruning, clustering
                            and quantisation that keep one another (PCQAT): see ``peers_tfmot.py``, a process with
                            tf_keras that starts from the same float weights
    TFLiteConverter PTQ     the float control behind six epochs, calibrated on 500 images
    ai-edge-quantizer ...   the float control, W8A8 and W4A8; OCTAV for convolutions and dense layers
    Keras fake-quant INT4   batch norm folded, Keras' fake-quant operations by hand: see ``peers_fake_quant.py``

Each is the best that was found for it. Presets say how fast they learn; where that is faster than 3e-4, the best of
TFMOT gets the same. Targets by layer: 92.1 % accuracy where one target for all gives 88 %.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import front
import keras
import numpy as np
import peers_fake_quant

NAME = "peers"
PACKAGES = (
    *front.PACKAGES, "tf_keras", "tensorflow-model-optimization", "ai-edge-quantizer",
)  # fmt: skip
CALIBRATION = 500


def at_batch_one(model: keras.Model) -> keras.Model:
    """The model for one image, whose file then holds no operations on shapes."""
    inputs = keras.Input(batch_shape=(1, *model.input_shape[1:]), name="image")
    return keras.Model(inputs, model(inputs))


def converted(model: keras.Model, images: np.ndarray | None) -> bytes:
    """By TFLiteConverter: int8 if there are images to calibrate on, else float."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(at_batch_one(model))
    if images is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images[:CALIBRATION])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def post_training(of: fashion.Data, seed: int) -> bytes:
    """TFLiteConverter's int8."""
    return converted(fashion.control(of, seed), of[0])


def edge_quantizer(of: fashion.Data, seed: int, bits: int, algorithm: str) -> bytes:
    """ai-edge-quantizer on the control."""
    return requantized(converted(fashion.control(of, seed), None), of[0][:CALIBRATION], bits, algorithm)


def requantized(plain: bytes, images: np.ndarray, bits: int, algorithm: str) -> bytes:
    """A float file by ai-edge-quantizer: minima and maxima everywhere, ``algorithm`` for what has kernels."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    work = quantizer.Quantizer(plain)
    work.add_static_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 8, bits)
    for name in (qtyping.TFLOperationName.CONV_2D, qtyping.TFLOperationName.FULLY_CONNECTED):
        work.add_static_config(".*", name, 8, bits, algorithm_key=AlgorithmName(algorithm))
    (entry,) = Interpreter(model_content=plain).get_signature_runner().get_input_details()
    samples = {"serving_default": [{entry: image[None]} for image in images]}
    result = work.quantize(work.calibrate(samples), enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def tfmot(of: fashion.Data, seed: int, job: str) -> bytes:
    """A row of ``peers_tfmot.py``."""
    model = fashion.float_network(of, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = {f"{layer.name}.{k}": w for layer in model.layers for k, w in enumerate(layer.get_weights())}
        np.savez(folder / "weights.npz", **weights)
        script = Path(__file__).with_name("peers_tfmot.py")
        command = [sys.executable, script, job, str(len(of[0])), str(seed), folder]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TF_USE_LEGACY_KERAS": "1"})
        if done.returncode:
            raise RuntimeError(f"{job}: {done.stderr[-2000:]}")
        return (folder / "model.tflite").read_bytes()


ROWS: dict[str, Callable[[fashion.Data, int], bytes]] = {
    "TFMOT PCQAT 90 %": lambda of, seed: tfmot(of, seed, "pcqat90"),
    "TFMOT PCQAT 80 %": lambda of, seed: tfmot(of, seed, "pcqat80"),
    "Keras fake-quant INT4": lambda of, seed: converted(peers_fake_quant.trained(of, seed), of[0]),
    "TFLiteConverter PTQ": post_training,
    "ai-edge-quantizer W4A8 OCTAV": lambda of, seed: edge_quantizer(of, seed, 4, "OCTAV"),
    "ai-edge-quantizer W8A8": lambda of, seed: edge_quantizer(of, seed, 8, "min_max_uniform_quantize"),
    "TFMOT PCQAT 90 %, at 3e-3": lambda of, seed: tfmot(of, seed, "pcqat90@0.003"),
    "TFMOT PCQAT 80 %, at 3e-3": lambda of, seed: tfmot(of, seed, "pcqat80@0.003"),
    "TFMOT PCQAT 90 %, at 1e-3": lambda of, seed: tfmot(of, seed, "pcqat90@0.001"),
    "TFMOT PCQAT 80 %, at 1e-3": lambda of, seed: tfmot(of, seed, "pcqat80@0.001"),
    "TFMOT prune 90 %": lambda of, seed: tfmot(of, seed, "prune90"),
    "TFMOT prune 80 %": lambda of, seed: tfmot(of, seed, "prune80"),
    "TFMOT cluster 16": lambda of, seed: tfmot(of, seed, "cluster16"),
    "TFMOT QAT": lambda of, seed: tfmot(of, seed, "qat8"),
}


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any]) -> comparison.Row:
    """Makes and measures one file."""
    return front.measured(ROWS[job](of, seed), of)


if __name__ == "__main__":
    comparison.main(NAME, ROWS, run, comparison.table(ROWS, front.COLUMNS), PACKAGES, images=60_000)
