"""tfcompress verify FILE.tflite: every intermediate tensor against LiteRT's reference kernels, bit for bit.

Without --data, random inputs are used. The exit status is 1 if a single value differs.
"""

from collections.abc import Sequence

import numpy as np
from absl import flags

from tflite_export.commands import new_flags, one_file, read_array, read_bytes
from tflite_export.interpreter import Interpreter
from tflite_export.verify import verify

FLAGS = new_flags()
_DATA = flags.DEFINE_string("data", None, "Images (.npy), the batch first.", flag_values=FLAGS)
_SAMPLES = flags.DEFINE_integer("samples", 8, "How many images to compare.", lower_bound=1, flag_values=FLAGS)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the random inputs.", flag_values=FLAGS)


def run(positional: Sequence[str]) -> int:
    """Prints the comparison of one file."""
    blob = read_bytes(one_file(positional))
    images = read_array(_DATA.value)[: _SAMPLES.value] if _DATA.value else random_codes(blob)
    result = verify(blob, images)
    print(result)
    return 0 if result.ok else 1


def random_codes(blob: bytes) -> np.ndarray:
    """Random integers over the whole range of the model's input type."""
    (details,) = Interpreter(model_content=blob).get_input_details()
    rng, shape = np.random.default_rng(_SEED.value), (_SAMPLES.value, *details["shape"][1:])
    if details["dtype"] == np.float32:
        return rng.standard_normal(shape, np.float32)
    info = np.iinfo(details["dtype"])
    return rng.integers(info.min, info.max + 1, shape, details["dtype"])
