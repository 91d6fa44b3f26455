"""The constants that an op really holds: how many, how many zeros, and their bytes as stored and as entropy coded.

Entropy coded means the least that a lossless coder of independent codes needs, with its table, as the receipt counts
it; Ethos-U weight streams come near that. Zeroing weights shortens the stream as long as zero is the most frequent of
the codes involved; a tensor with one single code has entropy 0 and can only get longer.
"""

import math
from dataclasses import dataclass

import numpy as np

from tflite_export.ir import Tensor
from tflite_export.measures import entropy_bytes

CHANNEL_BYTES = 10
"""Per output channel: 40 bits of bias, 32 of multiplier, 6 of shift, as Ethos-U stores them."""

BITS = {
    "float32": 32, "float16": 16, "int8": 8, "int16": 16, "int32": 32, "int64": 64, "uint8": 8, "bool": 8,
    "int4": 4, "int2": 2,
}  # fmt: skip
"""Bits that one element of each TFLite type occupies in the file."""


@dataclass(frozen=True)
class Weights:
    """What is known of an op's constants; bytes exclude ``channel_bytes`` (bias and rescaling parameters)."""

    count: int = 0
    zeros: int = 0
    distinct: int = 0
    stored_bytes: int = 0
    entropy_bytes: int = 0
    channel_bytes: int = 0

    def moved_bytes(self, weight_format: str) -> int:
        """Bytes that travel to the array in the machine's ``weight_format``, ``"dense"`` or ``"entropy"``."""
        coded = {"dense": self.stored_bytes, "entropy": self.entropy_bytes}[weight_format]
        return coded + self.channel_bytes


NO_WEIGHTS = Weights()


def measure(tensor: Tensor, channels: int = 0) -> Weights:
    """Counts the codes of a constant; ``channels`` is the number of output channels with a bias and a scale."""
    if tensor.data is None:
        raise ValueError(
            f"the weights `{tensor.name}` must be a constant: their cost is computed from their values. "
            "Received: a tensor that is computed at run time"
        )
    return Weights(
        count=tensor.data.size,
        zeros=int(np.count_nonzero(tensor.data == zero_code(tensor))),
        distinct=np.unique(tensor.data).size,
        stored_bytes=nbytes(tensor),
        entropy_bytes=min(entropy_bytes(tensor.data), nbytes(tensor)),
        channel_bytes=CHANNEL_BYTES * channels,
    )


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
