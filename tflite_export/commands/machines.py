"""tfcompress machines: lists the NPUs that `tfcompress estimate --machine=...` knows.

A path to a TOML file of your own works as well.
"""

from collections.abc import Sequence

from tflite_export import npu
from tflite_export.commands import UsageError, new_flags

FLAGS = new_flags()


def run(positional: Sequence[str]) -> int:
    """Prints names and descriptions."""
    if positional:
        raise UsageError(f"no arguments expected. Received: {' '.join(positional)}")
    descriptions = npu.machines()
    width = max(map(len, descriptions))
    print("\n".join(f"{name:<{width}}  {text}" for name, text in descriptions.items()))
    return 0
