"""Google's LiteRT runtime as a measuring instrument, in a child process because it can abort on odd scales.

    with LiteRT("reference") as litert:
        tensors = litert.run(blob, [image])        # {tensor index: array}

The child stays alive from run to run and keeps the last model loaded. If the runtime aborts, that run raises
``LiteRTAborted`` and the next one starts a new child.
"""

import contextlib
import signal
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
        self._child: _Child | None = None
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
        self._child = self._child or _Child(self.resolver)
        known, self._loaded = self._loaded == model, None
        content = bytes(model) or b"\0"  # nothing at all would mean the model before
        reply = self._child.ask([b"" if known else content, *map(pack, inputs)])
        if reply is None:
            message = f"LiteRT ({self.resolver}) ended its process: {self._child.farewell()}"
            self.close()
            raise LiteRTAborted(message)
        if reply[0]:
            raise LiteRTError(f"LiteRT ({self.resolver}): {reply[0].decode(errors='replace').strip()}")
        self._loaded = bytes(model)
        return dict(zip(unpack(reply[1]).tolist(), map(unpack, reply[2:])))

    def close(self) -> None:
        """Ends the child. The next run starts a new one."""
        child, self._child, self._loaded = self._child, None, None
        if child is not None:
            child.end()

    def __enter__(self) -> "LiteRT":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Child:
    """The process and its two pipes; what it says on stderr goes to a file, so that it can never block."""

    def __init__(self, resolver: str) -> None:
        worker = Path(__file__).with_name("litert_worker.py")
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        # -P keeps this folder off the child's path, so that no module here can shadow one of the runtime's.
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(worker), resolver],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr,
        )  # fmt: skip

    def ask(self, parts: Sequence[bytes]) -> list[bytes] | None:
        """The reply to a request, or None if the process has ended."""
        if self.process.stdin is None or self.process.stdout is None:
            return None
        try:
            send(self.process.stdin, parts)
            return receive(self.process.stdout)
        except BrokenPipeError:
            return None

    def farewell(self) -> str:
        """How a process that stopped answering has ended, and the last lines that it wrote."""
        status = self.process.wait(timeout=60)
        self.stderr.seek(0)
        lines = [line.strip() for line in self.stderr.read().decode(errors="replace").splitlines() if line.strip()]
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        return " | ".join([name, *lines[-3:]])

    def end(self) -> None:
        """Ends the process if it still runs, and closes everything."""
        self.process.kill()
        self.process.wait()
        self.stderr.close()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):  # a request that was never read
                if pipe is not None:
                    pipe.close()
