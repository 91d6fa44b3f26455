"""Reads tf_keras models from files without executing anything that a file brings along.

A file is a configuration and arrays. The configuration is checked first: every class that it names must be one that
the bridge knows, from tf_keras or TFMOT, so that no Lambda, no pickle and no import of the file's choice is ever
reached. Then tf_keras makes the layers from it and reads the arrays. No graph of a SavedModel is loaded.
"""

import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfcompress.interop.plain_layers import LAYERS
from tfcompress.interop.wrappers import DEFAULT_SCHEME, WRAPPERS

MODELS = ("Functional", "InputLayer", "Model", "Sequential")
PARTS = (
    *DEFAULT_SCHEME, "AllValuesQuantizer", "ConstantSparsity", "MovingAverageQuantizer", "NoOpActivation", "Policy",
    "PolynomialDecay", "QuantizeAwareActivation",
)  # fmt: skip
"""What else TFMOT and tf_keras write into configurations."""

KINDS = ("initializers", "regularizers", "constraints")
"""Modules of tf_keras whose classes may be named."""

TRUSTED = ("keras", "tf_keras", "tensorflow_model_optimization")


def load(path: str | os.PathLike[str]) -> Any:
    """The tf_keras model in a file or folder.

    Raises:
        ValueError: It is none, or it names classes that are not known; the message lists all of them.
    """
    path = Path(path)
    if (path / "keras_metadata.pb").is_file():
        return _restored(_saved_model_config(path), path / "variables" / "variables", path)
    if path.is_file() and zipfile.is_zipfile(path):
        return _from_keras_file(path)
    if path.is_file() and path.read_bytes()[:8] == b"\x89HDF\r\n\x1a\n":
        return _restored(_h5_config(path), path, path)
    raise ValueError(
        f"'{path}' must be a model that tf_keras has saved: an .h5 or .keras file, or a SavedModel folder with "
        f"keras_metadata.pb. Received: {'something else' if path.exists() else 'nothing there'}."
    )


def _from_keras_file(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        config = json.loads(archive.read("config.json"))
        _check_version(path, json.loads(archive.read("metadata.json")).get("keras_version", ""))
        return _restored(config, Path(archive.extract("model.weights.h5", folder)), path)


def _h5_config(path: Path) -> Any:
    import h5py

    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise ValueError(f"'{path}' must hold a whole model. Received: weights only; load them into a model first.")
        _check_version(path, _text(file.attrs.get("keras_version", "")))
        return json.loads(_text(file.attrs["model_config"]))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _saved_model_config(path: Path) -> Any:
    from tf_keras.protobuf import saved_metadata_pb2

    metadata = saved_metadata_pb2.SavedMetadata.FromString((path / "keras_metadata.pb").read_bytes())
    root = next(node for node in metadata.nodes if node.node_path == "root")
    return {key: _tuples(json.loads(root.metadata)[key]) for key in ("class_name", "config")}


def _tuples(config: Any) -> Any:
    """The configuration of a SavedModel with its tuples and shapes, for which JSON has no word, as lists."""
    if isinstance(config, dict):
        if config.get("class_name") in ("__tuple__", "TensorShape") and "items" in config:
            return [_tuples(item) for item in config["items"]]
        return {key: _tuples(value) for key, value in config.items()}
    return [_tuples(item) for item in config] if isinstance(config, list) else config


def _check_version(path: Path, version: str) -> None:
    if version.startswith("3"):
        raise ValueError(
            f"'{path}' must be a file of tf_keras. Received: one of Keras {version}, which needs no bridge: use "
            "keras.models.load_model."
        )


def _restored(config: Any, weights: Path, path: Path) -> Any:
    """The model of a configuration, once it was checked, with its weights."""
    tfmot, tf_keras = import_tfmot()
    strangers = sorted(set(_strangers(config, tf_keras)))
    if strangers:
        raise ValueError(
            f"'{path}' must consist of layers that the bridge knows. Received:\n  "
            + "\n  ".join(strangers)
            + f"\nKnown are {', '.join(LAYERS)}, and TFMOT's {', '.join(WRAPPERS)} around them."
        )
    scopes = tfmot.quantization.keras.quantize_scope, tfmot.sparsity.keras.prune_scope
    with scopes[0](), scopes[1](), tfmot.clustering.keras.cluster_scope():
        model = tf_keras.models.model_from_config(_without_shapes(config))
    _load_weights(model, str(weights))
    return model


def _load_weights(model: Any, weights: str) -> None:
    """Reads the arrays.

    A ``.keras`` file holds the weights of a QuantizeWrapperV2 twice if it wrapped a built layer, as quantize_apply
    does. Made from its configuration it does not, and so TFMOT cannot read its own file.
    """
    try:
        status = model.load_weights(weights)
    except ValueError:
        wrappers = [module for module in model.submodules if type(module).__name__ == "QuantizeWrapperV2"]
        if not wrappers or not weights.endswith(".weights.h5"):
            raise
        for wrapper in wrappers:
            quantized = [weight for weight, *_ in wrapper._weight_vars]
            wrapper._trainable_weights[:0] = [*quantized, *wrapper.layer.trainable_weights]
        status = model.load_weights(weights)
    if status is not None:  # of a SavedModel: not before this is it an error if arrays are missing
        status.assert_existing_objects_matched().expect_partial()


def import_tfmot() -> tuple[Any, Any]:
    """TFMOT and tf_keras, imported so that Keras 3 and ``tf.keras`` stay what they are in this process.

    TFMOT sets TF_USE_LEGACY_KERAS, which changes what ``tf.keras`` will be if nobody has used it yet, and what it is in
    processes that are started later.
    """
    import tensorflow as tf

    tf.keras.version  # noqa: B018  settles what tf.keras is
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecations that are TFMOT's own affair
        import tensorflow_model_optimization as tfmot
        import tf_keras

    if before is None:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)
    return tfmot, tf_keras


def _strangers(config: Any, tf_keras: Any) -> Iterator[str]:
    """Every class in a configuration that is not known, with the name of its layer."""
    if isinstance(config, list):
        for item in config:
            yield from _strangers(item, tf_keras)
    if isinstance(config, dict):
        kind, inner = config.get("class_name"), config.get("config")
        if kind is not None and not _is_known(kind, config.get("module"), tf_keras):
            name = inner.get("name", "") if isinstance(inner, dict) else ""
            yield f"{name or 'unnamed'} ({config.get('module') or ''}{'.' if config.get('module') else ''}{kind})"
        for value in config.values():
            yield from _strangers(value, tf_keras)


def _is_known(kind: Any, module: Any, tf_keras: Any) -> bool:
    if not isinstance(kind, str) or str(module or "keras").partition(".")[0] not in TRUSTED:
        return False
    listed = kind in (*LAYERS, *WRAPPERS, *MODELS, *PARTS)
    return listed or any(isinstance(getattr(getattr(tf_keras, m), kind, None), type) for m in KINDS)


def _without_shapes(config: Any) -> Any:
    """The configuration without the ``build_config`` of wrappers, which tf_keras would build a second time."""
    if isinstance(config, list):
        return [_without_shapes(item) for item in config]
    if not isinstance(config, dict):
        return config
    dropped = ("build_config",) if config.get("class_name") in WRAPPERS else ()
    return {key: _without_shapes(value) for key, value in config.items() if key not in dropped}
