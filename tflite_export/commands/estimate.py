"""tfcompress estimate FILE.tflite --machine=NAME: cycles, bytes and energy per layer on an NPU."""

from collections.abc import Sequence

from absl import flags

from tflite_export import npu
from tflite_export.commands import new_flags, one_file, read_array, read_bytes

FLAGS = new_flags()
_MACHINE = flags.DEFINE_string(
    "machine", "ethos-u55-128-like", "A name that `tfcompress machines` lists, or a .toml file.", flag_values=FLAGS
)
_DATA = flags.DEFINE_string("data", None, "Images (.npy): also count zeros in feature maps.", flag_values=FLAGS)
_CSV = flags.DEFINE_string("csv", None, "Also write the rows to this CSV file.", flag_values=FLAGS)
_JSON = flags.DEFINE_string("json", None, "Also write rows and totals to this JSON file.", flag_values=FLAGS)


def run(positional: Sequence[str]) -> int:
    """Prints the estimate of one file."""
    data = read_array(_DATA.value) if _DATA.value else None
    result = npu.estimate(read_bytes(one_file(positional)), machine=_MACHINE.value, data=data)
    print(result)
    if _CSV.value:
        result.to_csv(_CSV.value)
    if _JSON.value:
        result.to_json(_JSON.value)
    return 0
