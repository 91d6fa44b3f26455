"""Google's LiteRT runtime as a measuring instrument, in a child process because it can abort on odd scales.

    with LiteRT("reference") as litert:
        tensors = litert.run(blob, [image])        # {tensor index: array}

The child stays alive from run to run and keeps the last model loaded. If the runtime aborts, that run raises
``LiteRTAborted`` and the next one starts a new child.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from tflite_export.litert_worker import RESOLVERS, pack, receive, send, unpack


class LiteRTError(RuntimeError):
    """The runtime refused the model or its inputs; the message is the runtime's."""


class LiteRTAborted(LiteRTError):
    """The runtime ended its process."""


class LiteRT:
    """A child process that runs models, single-threaded.

    Args:
        resolver: ``"reference"``, the kernels that define the integers; ``"optimized"``; or ``"xnnpack"``, what
            applications get by default.

    Raises:
        ValueError: ``resolver`` is none of these.
    """

    def __init__(self, resolver: str = "reference") -> None:
        if resolver not in RESOLVERS:
            raise ValueError(f"`resolver` must be one of {', '.join(RESOLVERS)}. Received: resolver={resolver!r}")
        self.resolver = resolver
        self._child: subprocess.Popen[bytes] | None = None
        self._loaded: bytes | None = None

    def run(self, model: bytes, inputs: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
        """Runs ``model`` once.

        Args:
            model: The flatbuffer.
            inputs: One array per model input, in the file's order, of exactly its shape and dtype.

        Returns:
            The value of every input and every op output by tensor index; with ``"xnnpack"`` inputs and outputs
            of the model only, since the delegate hides the rest. Variables start at zero in every run.

        Raises:
            LiteRTError: The runtime refuses the model or the inputs.
            LiteRTAborted: The runtime ended its process.
        """
        if self._child is None:
            self._start()
        known = self._loaded == model
        self._loaded = None
        reply = self._ask([b"" if known else model, *map(pack, inputs)])
        if reply[0]:
            raise LiteRTError(f"LiteRT ({self.resolver}): {reply[0].decode(errors='replace').strip()}")
        self._loaded = model
        return dict(zip(unpack(reply[1]).tolist(), map(unpack, reply[2:])))

    def close(self) -> None:
        """Ends the child. The next run starts a new one."""
        child, self._child, self._loaded = self._child, None, None
        if child is not None:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()
            self._stderr.close()

    def _start(self) -> None:
        worker = Path(__file__).with_name("litert_worker.py")
        self._stderr = tempfile.TemporaryFile()
        # -P keeps this folder off the child's path, so that no module here can shadow one of the runtime's.
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(worker), self.resolver],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr,
        )  # fmt: skip

    def _ask(self, parts: list[bytes]) -> list[bytes]:
        try:
            send(self._child.stdin, parts)
            reply = receive(self._child.stdout)
        except BrokenPipeError:
            reply = None
        if reply is None:
            raise LiteRTAborted(self._last_words())
        return reply

    def _last_words(self) -> str:
        status = self._child.wait()
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr.read().decode(errors="replace").splitlines() if line.strip()]
        self.close()
        return f"LiteRT ({self.resolver}) ended its process with status {status}: {' | '.join(lines[-3:]) or 'silent'}"

    def __enter__(self) -> "LiteRT":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
