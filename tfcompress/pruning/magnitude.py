r"""Magnitude pruning: the weights of least magnitude become zero, more and more of them as training goes on.

    y = mask * w,    mask = 0 for the n - max(1, round(n * (1 - sparsity(t)))) smallest of n magnitudes, else 1

The mask is state. A counter in the graph says when it is made anew, so that nothing depends on how many steps Keras
runs between two callbacks. Blocks live and die as one, by their mean or largest magnitude. With ``sparsity_m_by_n``,
m of every n neighbours along the input channels are zero. Among equal magnitudes the first in memory stay, so that
the number of zeros is exact in every case.

The gradient is the true one of ``mask * w``: a pruned weight gets none and keeps its value, and it comes back when
others have fallen below it.

The threshold is found without sorting, see ``ranks.py``.

Reference: Zhu and Gupta, "To Prune, or Not to Prune: Exploring the Efficacy of Pruning for Model Compression", 2017,
https://arxiv.org/abs/1710.01878; argument names of TFMOT's ``prune_low_magnitude``. Differs from TFMOT in that the
weight itself is not overwritten by zeros; in ties; in that blocks start at index 0 in the mask and in the mean, at
any rank, over the last two axes; in that n:m masks follow the schedule, not the first step alone; and in that a
weight with too few input channels for m:n is refused and not silently left dense.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfcompress.axes import as_axes, other_axes
from tfcompress.ranks import largest
from tfcompress.schedules import Schedule, of_sparsity
from tfcompress.transform import Transform, require_weight


def largest_of_each(scores: Any, count: int, n: int, axis: int) -> Any:
    """True for the ``count`` largest of every ``n`` neighbours along ``axis``; zeros are thought behind its end."""
    moved = ops.moveaxis(scores, axis, 0)
    padded = ops.pad(moved, [(0, -moved.shape[0] % n)] + [(0, 0)] * (len(moved.shape) - 1))
    numbers = ops.view(ops.reshape(padded, (-1, n, math.prod(moved.shape[1:]))), "int32")
    first = ops.reshape(ops.tril(ops.ones((n, n), "int32"), -1), (n, n, 1))  # the first of equals is larger
    larger = ops.expand_dims(numbers, 1) > ops.expand_dims(numbers, 2) - first
    chosen = ops.reshape(ops.sum(ops.cast(larger, "int32"), axis=2) < count, padded.shape)
    return ops.moveaxis(chosen[: moved.shape[0]], 0, axis)


def pooled(scores: Any, block_size: Sequence[int], pooling: str) -> Any:
    """The mean or largest of ``scores`` in each block over the last two axes; blocks at the end may be cut off."""
    (height, width), (*planes, rows, columns) = block_size, scores.shape
    padding = [(0, 0)] * len(planes) + [(0, -rows % height), (0, -columns % width)]
    blocks = (*planes, -(-rows // height), height, -(-columns // width), width)

    def reduce(x: Any, function: Any) -> Any:
        return function(ops.reshape(ops.pad(x, padding), blocks), axis=(-3, -1))

    if pooling == "MAX":
        return reduce(scores, ops.max)
    return reduce(scores, ops.sum) / reduce(ops.ones_like(scores), ops.sum)


def spread(chosen: Any, block_size: Sequence[int], shape: Sequence[int]) -> Any:
    """One value per block, repeated over the block: the inverse of ``pooled`` in shape."""
    repeated = ops.repeat(ops.repeat(chosen, block_size[0], axis=-2), block_size[1], axis=-1)
    return repeated[..., : shape[-2], : shape[-1]]


@keras.saving.register_keras_serializable("tfcompress")
class MagnitudePruning(Transform):
    """Sets the weights of least magnitude to zero.

    Args:
        schedule: Fraction of zeros over the training steps, ``ConstantSparsity`` or ``PolynomialDecay``; a number
            stands for a ``ConstantSparsity``. Default 0.5.
        block_size: Height and width of blocks over the last two axes of the weight (input and output channels).
        block_pooling_type: What a block is judged by, ``"AVG"`` or ``"MAX"`` of its magnitudes.
        sparsity_m_by_n: ``(m, n)``: m zeros in every n neighbours along the input channels, e.g. ``(2, 4)``. The
            schedule then only says when; its sparsity is not used.
        frequency: Steps between two changes of the mask. None (default) is the schedule's ``frequency``.
        axis: The axes of the output channels; the input channels of ``sparsity_m_by_n`` are the last other axis.
            None (default) is decided by the slot, and -1 without one.

    Raises:
        ValueError: An argument is out of range, blocks and m:n are asked for together, or the weight cannot be pruned
            in this way.
    """

    def __init__(
        self,
        schedule: Schedule | float = 0.5,
        block_size: Sequence[int] = (1, 1),
        block_pooling_type: str = "AVG",
        sparsity_m_by_n: Sequence[int] | None = None,
        frequency: int | None = None,
        axis: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if len(block_size) != 2 or min(block_size) < 1:
            raise ValueError(f"`block_size` must be two sizes of at least 1. Received: block_size={block_size}")
        if block_pooling_type not in ("AVG", "MAX"):
            raise ValueError(f"`block_pooling_type` must be 'AVG' or 'MAX'. Received: {block_pooling_type!r}")
        if frequency is not None and frequency < 1:
            raise ValueError(f"`frequency` must be at least 1. Received: frequency={frequency}")
        if sparsity_m_by_n and (len(sparsity_m_by_n) != 2 or not 0 < sparsity_m_by_n[0] < sparsity_m_by_n[1]):
            raise ValueError(f"`sparsity_m_by_n` must be (m, n) with 0 < m < n. Received: {sparsity_m_by_n}")
        if sparsity_m_by_n and tuple(block_size) != (1, 1):
            raise ValueError(
                f"Either `block_size` or `sparsity_m_by_n` may be given. Received: block_size={block_size}, "
                f"sparsity_m_by_n={sparsity_m_by_n}"
            )
        self.schedule = of_sparsity(schedule)
        self.block_size, self.block_pooling_type = tuple(block_size), block_pooling_type
        self.sparsity_m_by_n = tuple(sparsity_m_by_n) if sparsity_m_by_n else None
        self.frequency, self.axis = frequency, as_axes(axis)

    def build(self, input_shape: Any) -> None:
        """Creates the mask (all True) and the step counter."""
        shape = require_weight(self, input_shape)
        if self.block_size != (1, 1) and len(shape) < 2:
            raise ValueError(
                f"MagnitudePruning '{self.name}': blocks need a weight of two or more axes. Received: shape={shape}. "
                "Use block_size=(1, 1) here."
            )
        if self.sparsity_m_by_n:
            self.input_axis = self._input_axis(shape, *self.sparsity_m_by_n)
        self.mask = self.add_state("mask", "ones", shape, "bool")
        self.step = self.add_state("step", dtype="int32")

    def _input_axis(self, shape: tuple[int, ...], m: int, n: int) -> int:
        """The axis of the input channels, if m:n zeros can be made along it."""
        others = other_axes(len(shape), self.axis or (-1,))
        if not others or shape[others[-1]] <= n - m:
            channels = shape[others[-1]] if others else 1
            raise ValueError(
                f"MagnitudePruning '{self.name}': {m} zeros in {n} neighbours need more than {n - m} input channels. "
                f"Received: shape={shape} with {channels} of them. Leave this layer out of the rule."
            )
        return others[-1]

    def call(self, x: Any, training: bool | None = None) -> Any:
        """``mask * x``; a training call brings the mask up to date first and counts one step."""
        if training:
            step, mask = ops.convert_to_tensor(self.step), ops.convert_to_tensor(self.mask)
            due = self.schedule.due(step, self.frequency)
            self.mask.assign(ops.cond(due, lambda: self._new_mask(x, step), lambda: mask))
            self.step.assign(step + 1)
        return x * ops.cast(self.mask, x.dtype)

    def _new_mask(self, x: Any, step: Any) -> Any:
        scores = ops.abs(ops.stop_gradient(x))
        if self.sparsity_m_by_n:
            m, n = self.sparsity_m_by_n
            return largest_of_each(scores, n - m, n, self.input_axis)
        if self.block_size == (1, 1):
            return largest(scores, self._kept(scores, step))
        blocks = pooled(scores, self.block_size, self.block_pooling_type)
        return spread(largest(blocks, self._kept(blocks, step)), self.block_size, x.shape)

    def _kept(self, scores: Any, step: Any) -> Any:
        """How many of the scores stay, at least one."""
        kept = ops.round(math.prod(scores.shape) * (1.0 - self.schedule(step)))
        return ops.maximum(ops.cast(kept, "int32"), 1)

    def calibrate(self, x: Any) -> None:
        """Makes the mask that the schedule has for step 0, if any."""
        if self.schedule.due(0, self.frequency):
            self.mask.assign(self._new_mask(ops.convert_to_tensor(x, "float32"), 0))

    def update(self, x: Any) -> None:
        """Makes the mask anew at the current sparsity."""
        if self.step >= self.schedule.begin_step:
            self.mask.assign(self._new_mask(ops.convert_to_tensor(x, "float32"), ops.convert_to_tensor(self.step)))

    def get_config(self) -> dict[str, Any]:
        """Configuration with the schedule serialised; None stays None, for the slot to decide."""
        names = ("block_size", "block_pooling_type", "sparsity_m_by_n", "frequency", "axis")
        config = {"schedule": keras.saving.serialize_keras_object(self.schedule)}
        return {**super().get_config(), **config, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MagnitudePruning":
        """Rebuilds the schedule, then the transform."""
        return cls(**{**config, "schedule": keras.saving.deserialize_keras_object(config["schedule"])})
