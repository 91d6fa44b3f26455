r"""The average over bit-widths, which ``JointPruneQuantize`` trains with, and its gradients.

    y = sum_b p_b * Q_b(x),    Q_b(x) = clip(round(x / s_b), low_b, high_b) * s_b,    s_b = reach / high_b

    dL/dx   = g inside the range, else 0        dL/dp_b = <g, Q_b(x)>,  g = dL/dy        none to s_b

The widths are passed through one after the other, and once more on the way back, keeping nothing: rounding again is
cheaper than to fetch seven tensors from memory. Of a feature map every ``sample``-th part of the batch, times as much,
stands for the whole in ``<g, Q_b>``: sums over thousands of values, of which there are only seven.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from tfcompress.grid import Grid


def average(x: Any, shares: Any, reach: Any, codes: Sequence[Grid], clips: bool, sample: int = 1) -> Any:
    """``sum_b p_b * Q_b(x)``, with the gradients of ``x`` and ``shares``; with one share of 1, that Q_b bit for bit.

    Args:
        x: float32, any shape.
        shares: float32, shape (widths,): p.
        reach: float32, rank of ``x``: what the highest code of every width stands for.
        codes: Grids of the widths, ascending; their scale is not used.
        clips: Whether values beyond the reach are possible.
        sample: The gradient of ``shares`` is that of the first of so many equal parts of the batch, times ``sample``.
    """
    signed = codes[0].signed

    @ops.custom_gradient
    def forward(x: Any, shares: Any, reach: Any) -> Any:
        steps = [reach * np.float32(1 / grid.high) for grid in codes]

        def level(x: Any, k: int) -> Any:
            scaled = x / steps[k]
            return ops.round(ops.clip(scaled, codes[k].low, codes[k].high) if clips and signed else scaled)

        def inner(values: Any) -> Any:
            return ops.clip(values, 0.0, reach) if clips and not signed else values  # the same ends for all widths

        within = inner(x)
        y = sum(level(within, k) * (shares[k] * step) for k, step in enumerate(steps))

        def backward(upstream: Any) -> Any:
            rows = (ops.shape(x)[0] + sample - 1) // sample
            part, few = inner(x[:rows]), upstream[:rows] if sample > 1 else upstream
            weight = ops.cast(ops.shape(x)[0], "float32") / ops.cast(rows, "float32")
            by_shares = weight * ops.stack([ops.sum(few * (level(part, k) * step)) for k, step in enumerate(steps)])
            if not clips:
                return upstream, by_shares, ops.zeros_like(reach)
            low, high = ((limit + half) * steps[-1] for limit, half in ((codes[-1].low, -0.5), (codes[-1].high, 0.5)))
            inside = ops.cast(ops.logical_and(x >= low, x <= high), "float32")
            return upstream * inside, by_shares, ops.zeros_like(reach)

        return y, backward

    return forward(x, shares, reach)
