"""tfcompress check FILE.tflite --machine=NAME: will it run there? PASS, CPU or REJECT for each op, with the way out.

Exit status 1 if something does not run on the accelerator. --rules prints the machine's rules instead, as Markdown.
"""

from collections.abc import Sequence

from absl import flags

from tflite_export import npu
from tflite_export.commands import UsageError, new_flags, one_file, read_bytes
from tflite_export.npu.rules import target_of
from tflite_export.npu.rules.page import page

FLAGS = new_flags()
_MACHINE = flags.DEFINE_string(
    "machine", "ethos-u55-128-like", "A name that `tfcompress machines` lists, or a .toml file.", flag_values=FLAGS
)
_RULES = flags.DEFINE_bool("rules", False, "Print the rules of the machine; no file is read.", flag_values=FLAGS)


def run(positional: Sequence[str]) -> int:
    """Prints the verdicts of one file, or the rules."""
    if _RULES.value:
        if positional:
            raise UsageError(f"no file expected with --rules. Received: {' '.join(positional)}")
        print(page(target_of(_MACHINE.value)))
        return 0
    result = npu.check(read_bytes(one_file(positional)), machine=_MACHINE.value)
    print(result)
    return 0 if result.ok else 1
