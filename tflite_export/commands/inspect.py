"""tfcompress inspect FILE.tflite: what the file really holds, read back from its bytes.

Per constant tensor: stored type, true bits, distinct values, zeros, raw and entropy-coded bytes.
"""

from collections.abc import Sequence

from absl import flags

from tflite_export.commands import new_flags, one_file, read_bytes
from tflite_export.receipt import receipt

FLAGS = new_flags()
_CSV = flags.DEFINE_string("csv", None, "Also write the rows to this CSV file.", flag_values=FLAGS)


def run(positional: Sequence[str]) -> int:
    """Prints the receipt of one file."""
    result = receipt(read_bytes(one_file(positional)))
    print(result)
    if _CSV.value:
        result.to_csv(_CSV.value)
    return 0
