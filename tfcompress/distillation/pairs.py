"""Inputs and decoded targets side by side, for ``fit``."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

Decode = Callable[[Any], Any]


class Pairs(keras.utils.PyDataset):
    """Arrays with their targets, in batches; an order of its own for each epoch if ``shuffle``."""

    def __init__(
        self, x: Any, codes: Any, decode: Decode, batch_size: int, shuffle: bool, seed: int | None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.x, self.codes, self.decode, self.batch_size, self.shuffle = x, codes, decode, batch_size, shuffle
        self.rng = np.random.default_rng(seed)
        self.order = np.arange(len(keras.tree.flatten(codes)[0]))
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Draws the next order."""
        if self.shuffle:
            self.rng.shuffle(self.order)

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, k: int) -> tuple[Any, Any]:
        chosen = self.order[k * self.batch_size : (k + 1) * self.batch_size]
        x, codes = (keras.tree.map_structure(lambda a: np.asarray(a)[chosen], tree) for tree in (self.x, self.codes))
        return x, keras.tree.map_structure(keras.ops.convert_to_numpy, self.decode(codes))


class PairedBatches(keras.utils.PyDataset):
    """A PyDataset with the targets of its batches; ``check(k, x)`` raises if batch k is not what it was."""

    def __init__(
        self,
        source: keras.utils.PyDataset,
        codes: Sequence[Any],
        decode: Decode,
        check: Callable[[int, Any], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source, self.codes, self.decode, self.check = source, codes, decode, check

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, k: int) -> tuple[Any, ...]:
        item = self.source[k]
        self.check(k, inputs_of(item))
        targets = keras.tree.map_structure(keras.ops.convert_to_numpy, self.decode(self.codes[k]))
        return (inputs_of(item), targets, *(item[2:] if isinstance(item, tuple) else ()))


def is_array(x: Any) -> bool:
    """Whether ``x`` is a NumPy array or a tensor of any library."""
    return getattr(x, "shape", None) is not None


def inputs_of(item: Any) -> Any:
    """``x`` of a batch ``x``, ``(x, y)`` or ``(x, y, weights)``."""
    return item[0] if isinstance(item, tuple) else item


def checksum(x: Any) -> int:
    """A number that other inputs do not have."""
    total = 0
    for array in keras.tree.flatten(x):
        total = zlib.crc32(np.ascontiguousarray(array).tobytes(), total)
    return total
