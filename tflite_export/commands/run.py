"""tfcompress run FILE.tflite --data=IMAGES.npy: runs images through the bit-exact interpreter.

Writes the outputs to --output, or prints the index of the largest output of each image.
"""

import io
from collections.abc import Sequence

import numpy as np
from absl import flags

from tflite_export.commands import UsageError, new_flags, one_file, read_array, read_bytes
from tflite_export.files import write_atomically
from tflite_export.interpreter import Interpreter

FLAGS = new_flags()
_DATA = flags.DEFINE_string("data", None, "Images (.npy), the batch first.", flag_values=FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "Write the outputs to this .npy file.", flag_values=FLAGS)
_BATCH = flags.DEFINE_integer("batch_size", 32, "Images run at once.", lower_bound=1, flag_values=FLAGS)


def run(positional: Sequence[str]) -> int:
    """Runs one file on one array."""
    path = one_file(positional)
    if not _DATA.value:
        raise UsageError("--data=IMAGES.npy is needed")
    outputs = Interpreter(model_content=read_bytes(path)).predict(read_array(_DATA.value), batch_size=_BATCH.value)
    if _OUTPUT.value:
        file = io.BytesIO()
        np.save(file, outputs, allow_pickle=False)
        write_atomically(_OUTPUT.value, file.getvalue())
    else:
        print("\n".join(str(k) for k in outputs.reshape(len(outputs), -1).argmax(axis=1)))
    return 0
