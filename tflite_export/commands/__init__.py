"""One module per command: ``FLAGS`` (its absl flags) and ``run(positional) -> exit status``."""

import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from absl import flags


class UsageError(ValueError):
    """The command was called wrongly; exit status 2."""


def new_flags() -> flags.FlagValues:
    """An empty set of flags that knows ``--help``."""
    values = flags.FlagValues()
    flags.DEFINE_bool("help", False, "Print this page.", short_name="h", flag_values=values)
    return values


def one_file(positional: Sequence[str], what: str = "FILE.tflite") -> str:
    """The only positional argument.

    Raises:
        UsageError: There is none, or more than one.
    """
    if len(positional) != 1:
        raise UsageError(f"expected one argument, {what}. Received: {' '.join(positional) or 'none'}")
    return positional[0]


def read_bytes(path: str) -> bytes:
    """The content of a file."""
    with open(path, "rb") as file:
        return file.read()


def read_array(path: str) -> Any:
    """The array of a ``.npy`` file; pickled content is refused."""
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a plain .npy file ({error})") from error


def quiet_keras() -> Any:
    """The ``keras`` module, imported without the lines that TensorFlow writes past every log level on its way up."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import keras

            keras.ops.ones(1)  # the first tensor makes TensorFlow look for devices
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    return keras
