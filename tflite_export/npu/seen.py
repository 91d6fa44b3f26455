"""What is known of feature maps before or after a model has run: the bits that their codes need, and their values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tflite_export.ir import Graph, Tensor
from tflite_export.measures import code_ranges
from tflite_export.npu.weights import zero_code


@dataclass(frozen=True, eq=False)
class Seen:
    """Knowledge by tensor index.

    Attributes:
        widths: Bits that the codes of a feature map need, from what the ops around it let through.
        values: Codes of one sample; empty if nothing ran.
    """

    widths: Mapping[int, int] = field(default_factory=dict)
    values: Mapping[int, np.ndarray] = field(default_factory=dict)

    def width(self, index: int) -> int:
        """Bits that the codes need; 0 if nothing is known."""
        return self.widths.get(index, 0)

    def active(self, index: int, tensor: Tensor) -> np.ndarray | None:
        """Where the feature map is not zero: bool, of its shape; None if nothing ran."""
        if index not in self.values:
            return None
        return np.asarray(self.values[index] != zero_code(tensor)).reshape(tensor.shape)


NOTHING = Seen()


def widths(graph: Graph) -> dict[int, int]:
    """Bits that the codes of each integer feature map need."""
    return {index: max(1, (high - low).bit_length()) for index, (low, high) in code_ranges(graph).items()}
