"""The constants that an op really holds: how many, how many zeros, and their bytes in every weight format.

Entropy coded means the least that a lossless coder of independent codes needs, with its table, as the receipt counts
it; Ethos-U weight streams come near that. Zeroing weights shortens the stream as long as zero is the most frequent of
the codes involved; a tensor with one single code has entropy 0 and can only get longer.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tflite_export.ir import Tensor
from tflite_export.measures import entropy_bytes
from tflite_export.npu.formats import Stream, streams

CHANNEL_BYTES = 10
"""Per output channel: 40 bits of bias, 32 of multiplier, 6 of shift, as Ethos-U stores them."""

BITS = {
    "float32": 32, "float16": 16, "int8": 8, "int16": 16, "int32": 32, "int64": 64, "uint8": 8, "bool": 8,
    "int4": 4, "int2": 2,
}  # fmt: skip
"""Bits that one element of each TFLite type occupies in the file."""


@dataclass(frozen=True)
class Weights:
    """What is known of an op's constants; streams exclude ``channel_bytes`` (bias and rescaling parameters)."""

    count: int = 0
    zeros: int = 0
    distinct: int = 0
    stored_bytes: int = 0
    entropy_bytes: int = 0
    channel_bytes: int = 0
    streams: Mapping[str, Stream] = field(default_factory=dict)

    def moved_bytes(self, weight_format: str) -> int:
        """Bytes that travel to the array in the machine's ``weight_format``."""
        return (self.streams[weight_format].nbytes if self.streams else 0) + self.channel_bytes


NO_WEIGHTS = Weights()


def measure(tensor: Tensor, channels: int = 0) -> Weights:
    """Counts the codes of a constant; ``channels`` is the number of output channels with a bias and a scale."""
    values, size = codes(tensor), nbytes(tensor)
    coded = streams(values, size, entropy_bytes(np.asarray(tensor.data)))
    return Weights(
        count=values.size,
        zeros=int(values.size - np.count_nonzero(values)),
        distinct=int(np.unique(values).size),
        stored_bytes=size,
        entropy_bytes=coded["entropy"].nbytes,
        channel_bytes=CHANNEL_BYTES * channels,
        streams=coded,
    )


def added(parts: Sequence[Weights]) -> Weights:
    """Several constants together; ``distinct`` counts each on its own."""
    names = ("count", "zeros", "distinct", "stored_bytes", "entropy_bytes", "channel_bytes")
    sums = {name: sum(getattr(part, name) for part in parts) for name in names}
    coded = [part.streams for part in parts if part.streams]
    kinds = coded[0] if coded else {}
    return Weights(**sums, streams={kind: _joined([stream[kind] for stream in coded]) for kind in kinds})


def _joined(parts: Sequence[Stream]) -> Stream:
    return Stream(*(sum(getattr(part, name) for part in parts) for name in ("nbytes", "symbols", "nonzero")))


def codes(tensor: Tensor) -> np.ndarray:
    """The codes of a constant, shifted so that zero is 0.

    Raises:
        ValueError: The tensor is computed at run time.
    """
    if tensor.data is None:
        raise ValueError(
            f"the weights `{tensor.name}` must be a constant: their cost is computed from their values. "
            "Received: a tensor that is computed at run time"
        )
    zero = zero_code(tensor)
    return tensor.data - zero if np.any(zero) else tensor.data


def zero_code(tensor: Tensor) -> np.ndarray:
    """The code that stands for 0.0, broadcastable to the tensor: its zero point, which is rarely 0 after a ReLU."""
    if tensor.quantization is None:
        return np.zeros(1, np.int64)
    shape = [1] * len(tensor.shape)
    if tensor.quantization.zero_point.size > 1:
        shape[tensor.quantization.axis] = -1
    return tensor.quantization.zero_point.reshape(shape)


def nbytes(tensor: Tensor) -> int:
    """Bytes of a tensor, sub-byte types packed."""
    return -(-math.prod(tensor.shape) * BITS[tensor.dtype] // 8)
