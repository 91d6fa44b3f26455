r"""Weight formats: bytes of a tensor as it travels, and symbols that a decoder has to handle.

With n weights, nnz of them not zero, b bits that the codes really need, k distinct codes:

    dense       as the file stores them
    packed      n b
    bitmask     n + nnz b                       decoder that skips zeros: nnz symbols, else n
    run_length  (nnz + markers) (b + 4)         a weight with the number of zeros before it; a marker for 15 more
    codebook    n ceil(log2 k) + 8 k
    n_m         n N / M (b + ceil(log2 M))      the best N:M of 4, 8 and 16 neighbours that the tensor keeps
    entropy     what an ideal coder of single codes needs, with its table

Symbols are n where nothing else is said, nnz + markers and n N / M for the two formats in between. What would be
longer than ``dense`` is stored like that. Zeroing weights shortens every format once zero is among the codes; before
that, the first zero is a code more for ``codebook`` and ``entropy``.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tflite_export.measures import GROUPS, true_bits

Format = Literal["dense", "packed", "bitmask", "run_length", "codebook", "n_m", "entropy"]

RUN_BITS = 4


@dataclass(frozen=True)
class Stream:
    """Weights in a format: bytes, symbols, and the symbols that stand for something that is not zero."""

    nbytes: int
    symbols: int
    nonzero: int


def streams(codes: np.ndarray, stored_bytes: int, entropy_bytes: int) -> dict[str, Stream]:
    """All formats of a tensor.

    Args:
        codes: Its codes, zero being 0; the last axis are input channels.
        stored_bytes: Its bytes in the file.
        entropy_bytes: What an ideal coder needs.
    """
    count, nnz, width = codes.size, int(np.count_nonzero(codes)), true_bits(codes)
    runs, (slots, index_bits) = _run_symbols(codes), _n_m_slots(codes)
    distinct = int(np.unique(codes).size)
    found = {
        "dense": Stream(stored_bytes, count, count),
        "packed": Stream(_bytes(count * width), count, count),
        "bitmask": Stream(_bytes(count + nnz * width), count, nnz),
        "run_length": Stream(_bytes(runs * (width + RUN_BITS)), runs, runs),
        "codebook": Stream(_bytes(count * (distinct - 1).bit_length()) + distinct, count, count),
        "n_m": Stream(_bytes(slots * (width + index_bits)), slots, slots),
        "entropy": Stream(entropy_bytes, count, count),
    }
    return {name: stream if stream.nbytes <= stored_bytes else found["dense"] for name, stream in found.items()}


def _run_symbols(codes: np.ndarray) -> int:
    """Weights that are not zero, and markers for runs of zeros too long to count; zeros at the end need none."""
    places = np.flatnonzero(codes)
    zeros_before = np.diff(places, prepend=-1) - 1
    return len(places) + int(np.sum(zeros_before >> RUN_BITS))


def _n_m_slots(codes: np.ndarray) -> tuple[int, int]:
    """Stored weights, and the bits of an index into M neighbours, of the shortest N:M; all and 0 if there is none."""
    best = (codes.size, 0)
    width = true_bits(codes)
    for size in GROUPS:
        if codes.size and codes.shape[-1] % size == 0:
            most = int(np.count_nonzero(codes.reshape(-1, size), axis=1).max())
            option = (codes.size // size * most, (size - 1).bit_length())
            best = min(best, option, key=lambda slots: slots[0] * (width + slots[1]))
    return best


def _bytes(bits: int) -> int:
    return -(-bits // 8)
