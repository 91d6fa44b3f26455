"""tfcompress compress MODEL.keras --recipe=small --data=train.npz --epochs=6 --output=out/: from a trained network to a
small integer file.

The data are arrays x and y of an .npz file; with x_test and y_test in it, the accuracy of the file is printed, too.
Trains by Adam with one cosine to zero, on the loss that the model was compiled with; a model that was not compiled is a
classifier if y are whole numbers, else a regression. Writes model.keras and model.tflite and prints the receipt.
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from tflite_export import flatbuffer
from tflite_export.commands import UsageError, new_flags, one_file, quiet_keras
from tflite_export.files import write_atomically
from tflite_export.passes.pack_weights import STORAGES

FLAGS = new_flags()
_RECIPE = flags.DEFINE_string("recipe", None, "Name of a preset, or a JSON file.", short_name="r", flag_values=FLAGS)
_DATA = flags.DEFINE_string("data", None, "Training data (.npz): arrays x and y.", flag_values=FLAGS)
_OUTPUT = flags.DEFINE_string("output", "out", "Folder for the results.", short_name="o", flag_values=FLAGS)
_EPOCHS = flags.DEFINE_integer("epochs", 6, "Epochs of training.", 1, flag_values=FLAGS)
_BATCH = flags.DEFINE_integer("batch_size", 128, "Samples in a batch.", 1, flag_values=FLAGS)
_RATE = flags.DEFINE_float("learning_rate", None, "Of Adam; else the recipe's.", 0, flag_values=FLAGS)
_SEED = flags.DEFINE_integer("seed", 0, "Of the order of the samples.", flag_values=FLAGS)
_STORAGE = flags.DEFINE_enum("weight_storage", "int8", list(STORAGES), "Narrowest storage type.", flag_values=FLAGS)


def run(positional: Sequence[str]) -> int:
    """Compresses one model."""
    path = one_file(positional, "MODEL.keras")
    missing = [f"--{flag.name}" for flag in (_RECIPE, _DATA) if not flag.value]
    if missing:
        raise UsageError(f"{' and '.join(missing)} needed")
    data = read_data(_DATA.value)
    keras = quiet_keras()
    import tfcompress as tfc
    from tflite_export import Interpreter, convert, executed, receipt

    model = keras.saving.load_model(path)
    loss = model.loss if model.compiled else default_loss(keras, model, data["y"])
    steps = _EPOCHS.value * -(-len(data["x"]) // _BATCH.value)
    recipe = tfc.presets.load(_RECIPE.value, steps)
    print(f"{Path(path).name}: {_RECIPE.value}. {recipe.about}".strip())
    keras.utils.set_random_seed(_SEED.value)
    small = recipe.start(model, data["x"])
    rate = recipe.learning_rate if _RATE.value is None else _RATE.value
    cosine = keras.optimizers.schedules.CosineDecay(rate, steps)
    small.compile(keras.optimizers.Adam(cosine), loss, metrics=["accuracy"] if is_classes(data["y"]) else [])
    small.fit(
        data["x"], data["y"], batch_size=_BATCH.value, epochs=_EPOCHS.value, callbacks=recipe.callbacks(), verbose=2
    )
    small = recipe.finish(small, data["x"][:5000])
    blob = convert(small, data["x"][:512], weight_storage=_STORAGE.value)
    folder = Path(_OUTPUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    small.save(folder / "model.keras")
    write_atomically(folder / "model.tflite", blob)
    print(receipt(blob, keras_model=small))
    if is_gated(blob):
        work = executed(blob, data["x"][:512])
        print(f"what is left of the multiply-accumulates of a sample, as its gates decide:\n{work}")
    if "x_test" in data and is_classes(data["y_test"]):
        right = Interpreter(model_content=blob).predict(data["x_test"]).argmax(-1) == classes(data["y_test"])
        print(f"accuracy of the file on {len(right):,} samples: {right.mean():.2%}")
    print(f"Wrote {folder / 'model.keras'} and {folder / 'model.tflite'} ({len(blob):,} bytes)")
    return 0


def is_gated(blob: bytes) -> bool:
    """Whether ``executed`` has something to say of a file: it computes gates, and keeps no state."""
    from tflite_export.interpreter.channel_masks import switch_of

    graph = flatbuffer.read(blob)
    return any(switch_of(graph, op) for op in graph.ops) and not any(t.is_variable for t in graph.tensors)


def read_data(path: str) -> Mapping[str, np.ndarray]:
    """The arrays of an .npz file; pickled content is refused.

    Raises:
        ValueError: The file is not one, lacks x or y, or has not as many of one as of the other.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            data = {name: archive[name] for name in NAMES if name in archive.files}
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} must be an .npz file with arrays x and y ({error})") from error
    for x, y in (NAMES[:2], NAMES[2:]):
        if (x in data) != (y in data) or (x == "x" and x not in data) or len(data.get(x, ())) != len(data.get(y, ())):
            shapes = {name: array.shape for name, array in data.items()}
            raise ValueError(f"{path} must hold arrays {x} and {y} of one length. Received: {shapes}")
    if not len(data["x"]):
        raise ValueError(f"{path} must hold samples. Received: none")
    return data


NAMES = ("x", "y", "x_test", "y_test")


def is_classes(y: np.ndarray) -> bool:
    """Whether labels are class numbers, or one row with a 1 for each sample."""
    return y.dtype.kind in "iu" or (y.ndim == 2 and y.shape[1] > 1 and bool(np.isin(y, (0, 1)).all()))


def classes(y: np.ndarray) -> np.ndarray:
    """Class numbers."""
    return y.reshape(-1) if y.dtype.kind in "iu" and y.size == len(y) else y.argmax(-1)


def default_loss(keras: Any, model: Any, y: np.ndarray) -> Any:
    """Cross-entropy of whole numbers, of logits unless the model ends in a softmax; else the mean squared error."""
    if not is_classes(y):
        return "mean_squared_error"
    last = model.layers[-1]
    ends = isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax
    kinds = keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy
    return kinds[y.size != len(y)](from_logits=not ends)
