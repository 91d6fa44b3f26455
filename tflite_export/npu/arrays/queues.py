r"""Cells side by side that work on groups of taps at their own pace, but not further apart than their queues allow.

With ``w[l, g]`` the cycles of cell l on group g and queues of depth D, cell l is done with group g at

    f[l, g] = max(f[l, g - 1], max over l of f[l, g - D]) + w[l, g]

since a group's operands are sent to all cells at once, as soon as each has room for them. D = 1 is a barrier behind
every group; D = 0 stands for queues without end.

Reference: the queue of S. Han et al., "EIE: Efficient Inference Engine on Compressed Deep Neural Network", ISCA 2016,
https://arxiv.org/abs/1602.01528, section VI. Differs from the source in that a group, and not one input, is an entry.
"""

from collections import deque
from collections.abc import Iterable

import numpy as np


def finish(work: Iterable[np.ndarray], depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs any number of sets of cells.

    Args:
        work: For each group of taps, integers of shape (..., cells).
        depth: D.

    Returns:
        When each set is done, (...), and what each cell has worked, (..., cells).
    """
    done = load = np.zeros((), np.int64)
    history: deque[np.ndarray] = deque(maxlen=depth or None)
    for cycles in work:
        room = history[0] if depth and len(history) == depth else 0
        done = np.maximum(done, room) + cycles
        load = load + cycles
        if depth:
            history.append(done.max(-1, keepdims=True))
    return done.max(-1), load
