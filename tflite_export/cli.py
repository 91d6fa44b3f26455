"""The command line: ``tfcompress COMMAND [arguments]``.

Each command is a module in ``tflite_export/commands`` with its own absl flags. Expected failures (a missing or
broken file, an operator or shape that does not fit) end as one line on standard error and exit status 1; wrong
usage ends with status 2. A traceback is a bug.
"""

import importlib
import sys
from collections.abc import Sequence

from absl import flags

from tflite_export.commands import UsageError

COMMANDS = {
    "demo": "train, prune, quantise, export, prove and cost a small network; writes out/",
    "compress": "train a .keras file small by a recipe, and write integers",
    "convert": "turn a .keras file into an integer .tflite file",
    "inspect": "what a .tflite file really holds: bits, distinct values, zeros, bytes",
    "verify": "compare a .tflite file with LiteRT's kernels, tensor by tensor",
    "run": "run images (.npy) through the bit-exact interpreter",
    "estimate": "cycles, bytes and energy per layer on an NPU",
    "check": "whether an NPU runs it, op by op, and what to do if not",
    "machines": "list the NPUs that can be estimated",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its status."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(arguments: Sequence[str]) -> int:
    """Runs ``arguments[0]`` with the rest as its arguments; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"tfcompress {version('tfcompress')}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"tfcompress: unknown command '{name}'.\n\n{usage()}", file=sys.stderr)
        return 2
    return _guarded(name, rest)


def usage() -> str:
    """The help page."""
    lines = [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        ["usage: tfcompress COMMAND [arguments]", "", *lines, "", "tfcompress COMMAND --help lists a command's flags."]
    )


def _guarded(name: str, arguments: Sequence[str]) -> int:
    command = importlib.import_module(f"tflite_export.commands.{name}")
    try:
        command.FLAGS.unparse_flags()  # a second command in the same process starts from the defaults
        positional = command.FLAGS([f"tfcompress {name}", *arguments])[1:]
        if command.FLAGS.help:
            print(f"{command.__doc__}\n{command.FLAGS.module_help(command.__name__)}")
            return 0
        return command.run(positional)
    except flags.Error as error:
        print(f"tfcompress {name}: {error}\nTry: tfcompress {name} --help", file=sys.stderr)
        return 2
    except UsageError as error:
        print(f"tfcompress {name}: {error}", file=sys.stderr)
        return 2
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f"tfcompress {name}: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"tfcompress {name}: interrupted", file=sys.stderr)
        return 130


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split())
