"""Magnitude pruning: the smallest weights become zero, more and more of them as training goes on.

    y = m * w,      m = 0 for the round(sparsity(t) * n) entries of smallest score, else 1

The score of an entry is its magnitude; with blocks, the mean or largest magnitude of its block, so that blocks live
and die together; with ``sparsity_m_by_n=(M, N)``, the M smallest of every N neighbours along the input channels die
(2:4 by ``(2, 4)``). The gradient is the true one, ``dy/dw = m``: a pruned weight keeps its value and returns if others
fall below it.

Reference: Han, Pool, Tran and Dally, "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS
2015, https://arxiv.org/abs/1506.02626; schedules as Zhu and Gupta 2017; argument names as TFMOT's. Differs from the
source in that the latent weight is not overwritten, in the exact number of zeros (ties are broken by position), and
in the threshold, which a bisection over the bit patterns of the magnitudes finds without sorting.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfcompress.schedules import ConstantSparsity, Schedule
from tfcompress.transform import Transform

POOLINGS = {"AVG": ops.mean, "MAX": ops.max}


def smallest(score: Any, count: Any) -> Any:
    """True for exactly ``count`` smallest entries of ``score`` (>= 0, any shape); ties go by position.

    The bit pattern of a float32 that is not negative orders as the number does, so the threshold is found by halving
    an interval of integers: at most 31 counts, no sort.
    """
    bits = ops.view(ops.reshape(score, [-1]), "int32")

    def halve(low: Any, high: Any) -> tuple[Any, Any]:
        middle = low + (high - low) // 2
        enough = ops.count_nonzero(bits <= middle) > count
        return ops.where(enough, low, middle + 1), ops.where(enough, middle, high)

    bounds = ops.convert_to_tensor(0, "int32"), ops.max(bits)
    threshold, _ = ops.while_loop(lambda low, high: low < high, halve, bounds, maximum_iterations=32)
    below, ties = bits < threshold, bits == threshold
    missing = count - ops.count_nonzero(below)
    chosen = ops.logical_and(ties, ops.cumsum(ops.cast(ties, "int32")) <= missing)
    return ops.reshape(ops.logical_or(below, chosen), score.shape)


def smallest_of_each(score: Any, m: int, n: int) -> Any:
    """True for the ``m`` smallest of every ``n`` neighbours along the last axis (its size a multiple of ``n``)."""
    groups = ops.reshape(score, [-1, n])
    rank = ops.argsort(ops.argsort(groups, axis=-1), axis=-1)
    return ops.reshape(rank < m, score.shape)


@keras.saving.register_keras_serializable("tfcompress")
class MagnitudePruning(Transform):
    """Zeroes the weights of smallest magnitude.

    Args:
        pruning_schedule: Sparsity over the training steps: ``ConstantSparsity`` or ``PolynomialDecay``; a number is a
            constant sparsity.
        block_size: Height and width of blocks over the last two axes (input and output channels) of the weight.
        block_pooling_type: ``"AVG"`` or ``"MAX"``, the score of a block.
        sparsity_m_by_n: ``(M, N)``: M zeros among every N neighbours along the input channels, from the schedule's
            ``begin_step`` on; its sparsity must be M / N or 0.

    Raises:
        ValueError: An argument is out of range, or blocks and M:N are combined.
    """

    def __init__(
        self,
        pruning_schedule: Schedule | float | dict[str, Any] = 0.5,
        block_size: Sequence[int] = (1, 1),
        block_pooling_type: str = "AVG",
        sparsity_m_by_n: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(pruning_schedule, dict):
            pruning_schedule = keras.saving.deserialize_keras_object(pruning_schedule)
        if isinstance(pruning_schedule, (int, float)):
            pruning_schedule = ConstantSparsity(float(pruning_schedule))
        if block_pooling_type not in POOLINGS:
            raise ValueError(f"`block_pooling_type` must be 'AVG' or 'MAX'. Received: {block_pooling_type!r}")
        if len(block_size) != 2 or min(block_size) < 1:
            raise ValueError(f"`block_size` must be two positive sizes. Received: block_size={block_size}")
        if sparsity_m_by_n and (tuple(block_size) != (1, 1) or not 0 < sparsity_m_by_n[0] < sparsity_m_by_n[1]):
            raise ValueError(
                "`sparsity_m_by_n` must be (M, N) with 0 < M < N, and excludes blocks. "
                f"Received: sparsity_m_by_n={sparsity_m_by_n}, block_size={block_size}"
            )
        self.schedule = pruning_schedule
        self.block_size, self.block_pooling_type = tuple(block_size), block_pooling_type
        self.sparsity_m_by_n = tuple(sparsity_m_by_n) if sparsity_m_by_n else None

    def build(self, shape: Any) -> None:
        """Makes the mask and the step counter."""
        if None in shape or len(shape) < 2:
            raise ValueError(f"MagnitudePruning prunes weights of two or more axes. Received: shape={tuple(shape)}")
        self.mask = self.add_weight(shape, "ones", name="mask", trainable=False)
        self.iteration = self.add_weight((), "zeros", name="iteration", trainable=False, dtype="int32")

    def call(self, x: Any, training: bool | None = None) -> Any:
        """``mask * x``; in training the mask is brought up to date first."""
        if not training:
            return x * self.mask
        step = ops.convert_to_tensor(self.iteration)
        mask = ops.cond(self._due(step), lambda: self.new_mask(x, step), lambda: ops.convert_to_tensor(self.mask))
        mask = ops.stop_gradient(mask)
        self.mask.assign(mask)
        self.iteration.assign(step + 1)
        return x * mask

    def update(self, x: Any) -> None:
        """Brings the mask up to date outside of a training step."""
        self.mask.assign(self.new_mask(x, ops.convert_to_tensor(self.iteration)))

    def new_mask(self, x: Any, step: Any) -> Any:
        """0 for what is pruned at ``step``, else 1."""
        score, sparsity = ops.abs(ops.stop_gradient(x)), self.schedule(step)
        if self.sparsity_m_by_n:
            dead = ops.logical_and(self._m_by_n(score), sparsity > 0)
        else:
            score = self._pooled(score)
            count = ops.cast(ops.round(sparsity * math.prod(score.shape)), "int32")
            dead = self._spread(smallest(score, count), x.shape)
        return 1.0 - ops.cast(dead, x.dtype)

    def _due(self, step: Any) -> Any:
        begin, end = self.schedule.begin_step, self.schedule.end_step
        due = ops.logical_and(step >= begin, (step - begin) % self.schedule.frequency == 0)
        return due if end == -1 else ops.logical_and(due, step <= end)

    def _m_by_n(self, score: Any) -> Any:
        m, n = self.sparsity_m_by_n
        order = [*range(len(score.shape) - 2), len(score.shape) - 1, len(score.shape) - 2]  # input channels last
        padding = -score.shape[-2] % n
        score = ops.pad(ops.transpose(score, order), [[0, 0]] * (len(order) - 1) + [[0, padding]])
        dead = smallest_of_each(score, m, n)
        return ops.transpose(dead[..., : score.shape[-1] - padding], order)

    def _pooled(self, score: Any) -> Any:
        (height, width), (*rest, rows, columns) = self.block_size, score.shape
        if (height, width) == (1, 1):
            return score
        score = ops.pad(score, [[0, 0]] * len(rest) + [[0, -rows % height], [0, -columns % width]])
        blocks = [*rest, -(-rows // height), height, -(-columns // width), width]
        return POOLINGS[self.block_pooling_type](ops.reshape(score, blocks), (-3, -1))

    def _spread(self, dead: Any, shape: Sequence[int]) -> Any:
        (height, width), (*_, rows, columns) = self.block_size, shape
        if (height, width) == (1, 1):
            return dead
        return ops.repeat(ops.repeat(dead, height, -2), width, -1)[..., :rows, :columns]

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        mine = {
            "pruning_schedule": keras.saving.serialize_keras_object(self.schedule),
            "block_size": self.block_size,
            "block_pooling_type": self.block_pooling_type,
            "sparsity_m_by_n": self.sparsity_m_by_n,
        }
        return {**super().get_config(), **mine}
