"""The child process in which LiteRT runs, so that an abort of the runtime ends this process and not the user's.

    python litert_worker.py reference        requests on stdin, replies on stdout

A message is a list of byte strings: their number, then each with its length before it. A request is
``[model, array, ...]``, an empty model meaning the one before; a reply is ``[error text, indices, array, ...]``,
the text empty if all went well. Arrays travel as ``.npy``, never pickled. This file imports neither
TensorFlow nor Keras nor its own package, and starts in a fraction of a second.
"""

import io
import os
import struct
import sys
from collections.abc import Iterable
from typing import IO, Any

import numpy as np

RESOLVERS = {"reference": "BUILTIN_REF", "optimized": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "xnnpack": "AUTO"}
"""Our names of the runtime's kernel sets, and its own."""


def send(stream: IO[bytes], parts: Iterable[bytes]) -> None:
    """Writes one message."""
    parts = list(parts)
    stream.write(struct.pack("<I", len(parts)))
    for part in parts:
        stream.write(struct.pack("<Q", len(part)))
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes]) -> list[bytes] | None:
    """Reads one message; None if the other side has gone."""
    count = _exactly(stream, 4)
    parts = []
    for _ in range(struct.unpack("<I", count)[0] if count else 0):
        length = _exactly(stream, 8)
        part = _exactly(stream, struct.unpack("<Q", length)[0]) if length else None
        if part is None:
            return None
        parts.append(part)
    return parts or None


def _exactly(stream: IO[bytes], count: int) -> bytes | None:
    data = stream.read(count)
    return data if len(data) == count else None


def pack(array: np.ndarray) -> bytes:
    """The bytes of a ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, np.asarray(array), allow_pickle=False)
    return stream.getvalue()


def unpack(data: bytes) -> np.ndarray:
    """The array in the bytes of a ``.npy`` file."""
    return np.load(io.BytesIO(data), allow_pickle=False)


class Runtime:
    """One model, loaded and allocated, with the tensors that can be read after a run."""

    def __init__(self, model: bytes, resolver: str) -> None:
        from ai_edge_litert import interpreter as litert

        kind = litert.OpResolverType[RESOLVERS[resolver]]
        keep = resolver != "xnnpack"
        self.interpreter: Any = litert.Interpreter(
            model_content=model,
            num_threads=1,
            experimental_op_resolver_type=kind,
            experimental_preserve_all_tensors=keep,
        )
        self.interpreter.allocate_tensors()
        self.inputs = [detail["index"] for detail in self.interpreter.get_input_details()]
        outputs = [detail["index"] for detail in self.interpreter.get_output_details()]
        computed = [i for op in self.interpreter._get_ops_details() for i in op["outputs"]] if keep else outputs
        self.visible = sorted({*self.inputs, *outputs, *map(int, computed)} - {-1})

    def run(self, arrays: list[np.ndarray]) -> list[tuple[int, np.ndarray]]:
        """Feeds the inputs, in order, and returns every visible tensor with its index."""
        if len(arrays) != len(self.inputs):
            raise ValueError(f"The model takes {len(self.inputs)} inputs. Received: {len(arrays)}")
        self.interpreter.reset_all_variables()
        for index, array in zip(self.inputs, arrays):
            self.interpreter.set_tensor(index, array)
        self.interpreter.invoke()
        return [(index, self.interpreter.get_tensor(index)) for index in self.visible]


def serve(requests: IO[bytes], replies: IO[bytes], resolver: str) -> None:
    """Answers requests until the other side closes."""
    runtime: Runtime | None = None
    while (parts := receive(requests)) is not None:
        try:
            if parts[0] or runtime is None:
                runtime = None
                runtime = Runtime(parts[0], resolver)
            results = runtime.run([unpack(part) for part in parts[1:]])
            reply = [b"", pack(np.array([i for i, _ in results])), *(pack(array) for _, array in results)]
        except (ValueError, RuntimeError, TypeError) as error:
            reply = [(str(error) or type(error).__name__).encode()]
        send(replies, reply)


if __name__ == "__main__":
    # The runtime may print; replies go out on a private copy of stdout.
    with os.fdopen(os.dup(1), "wb") as private:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, private, sys.argv[1])
