"""tfcompress convert MODEL.keras --output=FILE.tflite: turns a Keras file into integers.

Tensors without a trained grid need --data, some representative inputs.
"""

from collections.abc import Sequence

from absl import flags

from tflite_export.commands import UsageError, new_flags, one_file, quiet_keras, read_array
from tflite_export.convert import convert
from tflite_export.files import write_atomically

FLAGS = new_flags()
_OUTPUT = flags.DEFINE_string("output", None, "The file to write.", short_name="o", flag_values=FLAGS)
_DATA = flags.DEFINE_string("data", None, "Representative inputs (.npy), the batch first.", flag_values=FLAGS)
_INPUT = flags.DEFINE_enum("input_type", "int8", ["int8", "float32"], "Type of the inputs.", flag_values=FLAGS)
_RESULT = flags.DEFINE_enum("output_type", "int8", ["int8", "float32"], "Type of the outputs.", flag_values=FLAGS)


def run(positional: Sequence[str]) -> int:
    """Converts one file."""
    path = one_file(positional, "MODEL.keras")
    if not _OUTPUT.value:
        raise UsageError("--output=FILE.tflite is needed")
    data = read_array(_DATA.value) if _DATA.value else None
    keras = quiet_keras()
    import tfcompress  # noqa: F401  registers the layers that a compressed model is made of

    model = keras.saving.load_model(path, compile=False)
    blob = convert(model, data, inference_input_type=_INPUT.value, inference_output_type=_RESULT.value)
    write_atomically(_OUTPUT.value, blob)
    print(f"{_OUTPUT.value}: {len(blob):,} bytes")
    return 0
