r"""Weight tying by look-up tables (LUT-Q): every weight is one of K numbers, and the numbers are learned, too.

In each training step, with weights ``W``, dictionary ``d`` and assignments ``A``:

    1  A = argmin_k |W - d_k|                     k-means, one step (or ``iterations``), inside the graph
       d_k = mean of the W assigned to k          then moved to what ``values`` allows
    2  Q = d[A]                                   what the layer computes with, forward and backward
    3  W <- optimizer(W, dC/dQ)                   the gradient at the tied weights goes to W unchanged: straight through

What is deployed is ``d[A]`` for the current ``W``. A free dictionary is rounded to 8-bit codes on the way, in training
as well: TFLite has no codebooks, and batch norms then fold into the scale. Entries that meet there are one value less.

Powers of two lie in at most seven octaves, the codes 1 to 64 of int8, and never meet: the entry with most members
stays, the other moves to the nearest unused octave of its sign. An entry without members keeps its value; after
``PATIENCE`` such steps, it moves to the weight with the largest error.

With ``sparsity`` one entry is zero, and at least so large a fraction of the weights, the smallest, is assigned to it.
Pruned weights go on learning and may come back. Zeros that come in, from a transform that prunes, stay zero: the entry
nearest to zero gives way and becomes zero. In a list without 0, zero is one value more.

The dictionary is not a number until ``calibrate`` or the first training call makes it, by k-means from evenly spaced
numbers until it settles; until then, inference delivers nothing but NaN.

Reference: Cardinaux et al., "Iteratively Training Look-Up Tables for Network Quantization", IEEE Journal of Selected
Topics in Signal Processing 14(4), 2020, https://arxiv.org/abs/1911.04951; US12072951B2. Differs from the source in
that k-means comes before the forward pass of a step, not behind its update, which is the same one step later; in the
8-bit codes; in how powers of two keep apart and empty entries return; and in that weights which are nearest to zero
are zero, too, where the fraction to be pruned is smaller than they are.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress import gradients
from tfcompress.axes import as_axes, slice_shape
from tfcompress.grid import Grid
from tfcompress.measured import Measured
from tfcompress.ranks import largest
from tfcompress.schedules import Schedule, of_sparsity
from tfcompress.transform import require_calibrated, require_weight
from tfcompress.weight_tying import clustering
from tfcompress.weight_tying.dictionaries import Listed, dictionary

PATIENCE = 100
"""Steps without members before an entry moves."""

MOST = 100
"""Steps of k-means at the start, if it does not settle before."""

SAMPLE = 2**18
"""About as many weights decide on the initial dictionary."""


@keras.saving.register_keras_serializable("tfcompress")
class LookUpTable(Measured):
    """Ties the weights to ``size`` values.

    Args:
        size: Entries of the dictionary, 2 to 256; at most 16 for powers of two, of which seven octaves with both signs
            and zero are 15. Default 16, or the length of a list.
        values: What the entries may be: ``"free"`` (default), ``"power_of_two"``, ``"binary"`` and ``"ternary"`` (-a,
            [0,] a with the learned factor a), or a list of fixed numbers.
        sparsity: Fraction of zeros over the training steps, a schedule or a number; the frequency of a schedule and the
            last step of a constant one do not count. None (default) asks for none.
        axis: Axis, or axes, with their own dictionaries. The default, ``()``, is one for the whole weight; None is
            decided by the slot: one for each output channel.
        iterations: Steps of k-means per training step. Default 1.
        zero: Whether one entry is always zero. Default False; True where ``sparsity`` is given.
        scaled: Whether a list is multiplied by a learned factor; it must then be symmetric. None (default) is True for
            ``"binary"`` and ``"ternary"``, else False.
        rounded: Whether a free dictionary is rounded to 8-bit codes. Default True. False leaves the entries as they
            are learned: for a transform that quantises behind this one in a Chain. There is no grid then, and an
            exporter rounds the weights as it rounds any.

    Raises:
        ValueError: An argument is out of range or does not go with ``values``, or the tensor is a feature map.
    """

    def __init__(
        self,
        size: int | None = None,
        values: str | Sequence[float] = "free",
        sparsity: Schedule | float | None = None,
        axis: int | Sequence[int] | None = (),
        iterations: int = 1,
        zero: bool = False,
        scaled: bool | None = None,
        rounded: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if iterations < 1:
            raise ValueError(f"`iterations` must be at least 1. Received: iterations={iterations}")
        self.sparsity = of_sparsity(sparsity)
        self.axis, self.iterations, self.zero, self.scaled = as_axes(axis), iterations, zero, scaled
        self.rounded = rounded
        self.kind = dictionary(size, values, zero or sparsity is not None, scaled, rounded)
        self.values: Any = values
        if isinstance(self.kind, Listed) and not isinstance(values, str):
            self.values = self.kind.values.tolist()
        self.size = self.kind.size if size is None else size

    def build(self, input_shape: Any) -> None:
        """Creates the dictionary (NaN until calibrated), how long entries have been empty, and the step counter."""
        require_weight(self, input_shape, "Quantise feature maps with LSQ or MinMax.")
        slices = slice_shape(input_shape, self.axis, self.name) if self.axis else ()
        shape = (*slices, self.kind.size)
        self.dictionary = self.add_measured("dictionary", shape)
        if self.kind.moves:
            self.empty = self.add_state("empty", shape=shape, dtype="int32")
        if self.sparsity is not None:
            self.step = self.add_state("step", dtype="int32")

    @property
    def measured(self) -> keras.Variable:
        """The dictionary."""
        return self.dictionary

    def call(self, x: Any, training: bool | None = None) -> Any:
        """The entries that the weights are assigned to; a training call does the step of k-means first."""
        columns = self._columns(ops.stop_gradient(x))
        if training:
            self.measure_once(x)
            entries, index = self._learn(columns)
        else:
            entries = self.kind.in_use(columns, self._entries(self.dictionary))
            index = clustering.nearest(columns, entries)
        tied = clustering.looked_up(self.kind.deployed(entries), index)
        if isinstance(self.kind, Listed) and not self.kind.zero:
            tied = ops.where(columns == 0, 0.0, tied)
        return gradients.straight_through(clustering.as_weight(tied, x.shape, self.axis), x)

    def _learn(self, x: Any) -> tuple[Any, Any]:
        """Moves the dictionary; returns it in the order to which the assignments, returned as well, refer."""
        entries = self._entries(self.dictionary)
        empty = self._entries(self.empty) if self.kind.moves else None
        bins = not self._is_compiled()
        for _ in range(self.iterations):
            moved, index, empty = self._moved(x, entries, empty, bins)
            order = ops.argsort(moved, axis=-1)
            entries = ops.take_along_axis(moved, order, axis=-1)
            empty = None if empty is None else ops.take_along_axis(empty, order, axis=-1)
        self.dictionary.assign(ops.reshape(entries, self.dictionary.shape))
        if empty is not None:
            self.empty.assign(ops.reshape(empty, self.empty.shape))
        if self.sparsity is not None:
            self.step.assign(ops.convert_to_tensor(self.step) + 1)
        return moved, index

    def _is_compiled(self) -> bool:
        """Whether XLA compiles this call, as far as can be known: the outermost layer, a model that trains, tells."""
        outermost = self._get_call_context().entry_layer
        return keras.backend.backend() != "tensorflow" or getattr(outermost, "jit_compile", True)

    def _moved(self, x: Any, entries: Any, empty: Any = None, bins: bool = False) -> tuple[Any, Any, Any]:
        """One step of k-means: the new entries, not sorted, the assignments, and how long entries have been empty."""
        entries = self.kind.in_use(x, entries)
        index = clustering.nearest(x, entries)
        sums, counts = clustering.members(x, index, entries, bins)
        wanted = clustering.means(entries, sums, counts)
        if empty is not None:
            empty = ops.where(ops.logical_or(counts > 0, entries == 0), 0, empty + 1)
            wanted, empty = self._reseeded(x, index, entries, wanted, empty)
        placed = self.kind.placed(x, entries, wanted, counts)
        return self.kind.in_use(x, placed), index, empty

    @staticmethod
    def _reseeded(x: Any, index: Any, entries: Any, wanted: Any, empty: Any) -> tuple[Any, Any]:
        """Sends the entry that is empty for longest, if too long, to the weight of largest error."""
        longest = ops.max(empty, axis=-1, keepdims=True)

        def move() -> tuple[Any, Any]:
            error = ops.abs(x - clustering.looked_up(entries, index))
            worst = ops.take_along_axis(x, ops.argmax(error, axis=0, keepdims=True), axis=0)
            first = ops.cast(ops.argmax(empty, axis=-1, keepdims=True), "int32") == ops.arange(empty.shape[1])
            moves = ops.logical_and(first, longest > PATIENCE)
            return ops.where(moves, ops.transpose(worst), wanted), ops.where(moves, 0, empty)

        return ops.cond(ops.any(longest > PATIENCE), move, lambda: (wanted, empty))

    def _initial(self, x: Any) -> Any:
        """K-means from the start of the kind of dictionary until it settles, on a sample of the weights."""
        stride = -(-x.shape[0] * x.shape[1] // SAMPLE)
        x = x[::stride]
        start = self.kind.start(x)
        settled = 1e-4 * ops.max(ops.abs(x))

        def unsettled(k: Any, entries: Any, change: Any) -> Any:
            return ops.logical_and(k < MOST, change > settled)

        def step(k: Any, entries: Any, change: Any) -> Any:
            moved = ops.sort(self._moved(x, entries)[0], axis=-1)
            return k + 1, moved, ops.max(ops.abs(moved - entries))

        return ops.while_loop(unsettled, step, (0, start, ops.full((), np.inf)))[1]

    def _columns(self, x: Any) -> Any:
        """The weights as (n, slices), those that this step prunes as zeros, which zero gets."""
        columns = clustering.columns(x, self.axis)
        if self.sparsity is None:
            return columns
        step = ops.convert_to_tensor(self.step)
        pruned = ops.where(step >= self.sparsity.begin_step, self.sparsity(step), 0.0)
        count = columns.shape[0] * columns.shape[1]
        kept = count - ops.cast(ops.ceil(count * pruned - 1e-3), "int32")
        return ops.where(largest(ops.abs(columns), ops.maximum(kept, 1)), columns, 0.0)

    def _entries(self, variable: Any) -> Any:
        """A variable as (slices, K)."""
        return ops.reshape(ops.convert_to_tensor(variable), (-1, self.kind.size))

    def measure(self, x: Any) -> Any:
        """The initial dictionary."""
        return ops.reshape(self._initial(self._columns(x)), self.dictionary.shape)

    def update(self, x: Any) -> None:
        """One step of k-means."""
        x = self._columns(ops.convert_to_tensor(x, "float32"))
        moved, _, _ = self._moved(x, self._entries(self.dictionary))
        self.dictionary.assign(ops.reshape(ops.sort(moved, axis=-1), self.dictionary.shape))

    def grid(self, x: Any) -> Grid | None:
        """The deployed entries as a codebook, whose width is that of an index; None if they are not ``rounded``.

        Where slices have their own, there are many; their width is that of the codes, 8, since all that a file can be
        held to by its numbers is one codebook.

        Raises:
            ValueError: Neither ``calibrate`` nor a training step has made the dictionary.
        """
        if not self.rounded:
            return None
        columns = self._columns(ops.convert_to_tensor(x, "float32"))
        entries = self.kind.in_use(columns, self._entries(self.dictionary))
        values = ops.convert_to_numpy(self.kind.deployed(entries))
        require_calibrated(self, values)
        if isinstance(self.kind, Listed) and not self.kind.zero and bool(ops.any(columns == 0)):
            values = np.sort(np.concatenate([values, np.zeros((len(values), 1), "float32")], axis=1), axis=1)
        if self.axis:
            return Grid(bits=8, values=values.reshape(*self.dictionary.shape[:-1], -1))
        return Grid(bits=(max(self.kind.size, values.shape[1]) - 1).bit_length(), values=np.unique(values))

    def get_config(self) -> dict[str, Any]:
        """Configuration with the schedule serialised; None stays None, for the slot to decide."""
        names = ("size", "values", "axis", "iterations", "zero", "scaled", "rounded")
        config = {"sparsity": self.sparsity and keras.saving.serialize_keras_object(self.sparsity)}
        return {**super().get_config(), **config, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LookUpTable":
        """Rebuilds the schedule, then the transform."""
        sparsity = config["sparsity"] and keras.saving.deserialize_keras_object(config["sparsity"])
        return cls(**{**config, "sparsity": sparsity})
