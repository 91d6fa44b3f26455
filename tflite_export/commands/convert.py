"""tfcompress convert MODEL.keras --output=FILE.tflite: turns a Keras file into integers.

Tensors without a trained grid need --data, some representative inputs.
"""

from collections.abc import Sequence

from absl import flags

from tflite_export.commands import UsageError, new_flags, one_file, quiet_keras, read_array
from tflite_export.convert import ACTIVATION_TYPES, convert
from tflite_export.files import write_atomically
from tflite_export.observers import METHODS
from tflite_export.passes.pack_weights import STORAGES

FLAGS = new_flags()
_OUTPUT = flags.DEFINE_string("output", None, "The file to write.", short_name="o", flag_values=FLAGS)
_DATA = flags.DEFINE_string("data", None, "Representative inputs (.npy), the batch first.", flag_values=FLAGS)
_CALIBRATION = flags.DEFINE_enum("calibration", "min_max", list(METHODS), "Part of the ranges.", flag_values=FLAGS)
_BIAS = flags.DEFINE_bool("bias_correction", False, "Corrects the means of the layers.", flag_values=FLAGS)
_SHIFTS = flags.DEFINE_bool("power_of_two", False, "Untrained steps are powers of two.", flag_values=FLAGS)
_BITS = flags.DEFINE_integer("weight_bits", 8, "Width of untrained weights.", 2, 8, flag_values=FLAGS)
_STORAGE = flags.DEFINE_enum("weight_storage", "int8", list(STORAGES), "Narrowest storage type.", flag_values=FLAGS)
_MAPS = flags.DEFINE_enum("activation_type", "int8", list(ACTIVATION_TYPES), "Type inside.", flag_values=FLAGS)
_INPUT = flags.DEFINE_enum("input_type", None, ["int8", "int16", "float32"], "Type of the inputs.", flag_values=FLAGS)
_RESULT = flags.DEFINE_enum(
    "output_type", None, ["int8", "int16", "float32"], "Type of the outputs.", flag_values=FLAGS
)


def run(positional: Sequence[str]) -> int:
    """Converts one file."""
    path = one_file(positional, "MODEL.keras")
    if not _OUTPUT.value:
        raise UsageError("--output=FILE.tflite is needed")
    data = read_array(_DATA.value) if _DATA.value else None
    keras = quiet_keras()
    import tfcompress  # noqa: F401  registers the layers that a compressed model is made of

    model = keras.saving.load_model(path, compile=False)
    blob = convert(
        model,
        data,
        calibration=_CALIBRATION.value,
        bias_correction=_BIAS.value,
        power_of_two=_SHIFTS.value,
        weight_bits=_BITS.value,
        weight_storage=_STORAGE.value,
        activation_type=_MAPS.value,
        inference_input_type=_INPUT.value,
        inference_output_type=_RESULT.value,
        verbose=1,
    )
    write_atomically(_OUTPUT.value, blob)
    print(f"{_OUTPUT.value}: {len(blob):,} bytes")
    return 0
