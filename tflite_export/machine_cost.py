"""What a Keras model costs on a machine, as a function of the model: to log while it trains, and to train for.

    cycles = Cost("bit-serial")
    cycles(model)                                              a number: that of ``estimate`` of the exported file
    tfcompress.callbacks.Budget(50_000, cycles)                a limit that training keeps
    tfcompress.callbacks.LogCost(cycles=cycles)                a column beside loss and accuracy

The number is the real one. The channels that are closed are removed, the model is exported with the grids that it has
at this moment, and the estimate counts what is in the file. It says nothing of widths and channels that the model does
not have yet, which is what prices are made of. These come from a surrogate around the model as it is:

    C(w, a, i, o)  =  sum over ops of  c * product over x of  (1 + saving_x * (x / x_now - 1))

with c the real cost of an op, w and a the bits of its weights and inputs, i and o the channels that are left of its
inputs and outputs, x_now what they are at this moment, and saving_x what the machine saves for each share of x that
goes (``npu.halves``): 1 where it is what takes the time, 0 where it buys nothing. So the surrogate has the real value
where the model is, and the slopes of the machine: it is anchored again whenever it is asked for.

Ops without a kernel of their own (pooling, sums) cost in proportion to the channels of the kernel in front of them;
what comes before the first kernel stays what it is.
"""

import hashlib
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tflite_export.convert import integer_graph
from tflite_export.datasets import Dataset
from tflite_export.ir import Graph
from tflite_export.npu.estimate import estimate
from tflite_export.npu.halves import Part, parts
from tflite_export.npu.machine import Machine, load
from tflite_export.npu.result import ENERGIES, Estimate
from tflite_export.npu.sheet import Row

if TYPE_CHECKING:  # estimating needs no Keras
    import keras

    from tfcompress import costs

QUANTITIES: dict[str, tuple[str, ...]] = {
    "cycles": ("cycles_total",),
    "energy_pj": ENERGIES,
    "dram_bytes": ("dram_read_bytes", "dram_write_bytes"),
    "sram_bytes": ("sram_read_bytes", "sram_write_bytes"),
    "weight_bytes": ("weight_moved_bytes",),
}
"""What can be asked for -> the columns of an estimate that it is the sum of."""


class Cost:
    """The cost of a Keras model on a machine, with closed channels removed.

    Called on a model, it exports and estimates; for a state that it has seen, it answers from memory. Transforms must
    have been calibrated, and every feature map must have a grid, or there must be representative data.

    Args:
        machine: A name that ``npu.machines()`` lists, the path of a machine file, or a ``Machine``.
        of: What is counted for one inference: ``"cycles"`` (default), ``"energy_pj"``, ``"dram_bytes"`` or
            ``"sram_bytes"`` (moved from and to main memory, or within the chip), or ``"weight_bytes"`` (as they
            travel).
        representative_dataset: As in ``convert``, for the ranges of feature maps that no transform quantised; nothing
            that is used up by reading it. A few samples do: costs depend on widths, not on ranges.
        **options: Of ``convert``, such as ``weight_storage="int4"`` or ``lowerings``.

    Raises:
        ValueError: The machine is not known, ``of`` is none of the above, the data can be read only once; or (when
            called) the model cannot be exported, or not be estimated on this machine.
    """

    def __init__(
        self,
        machine: str | os.PathLike[str] | Machine,
        of: str = "cycles",
        representative_dataset: Dataset = None,
        **options: Any,
    ) -> None:
        if of not in QUANTITIES:
            raise ValueError(f"`of` must be one of {list(QUANTITIES)}. Received: of={of!r}")
        if isinstance(representative_dataset, Iterator):
            raise ValueError(
                "`representative_dataset` is read whenever the model is exported. Received: an iterator, which can be "
                "read once. Hand over an array, or the function that makes the iterator."
            )
        self.machine, self.of, self.representative_dataset = load(machine), of, representative_dataset
        self.options = options
        self._seen: WeakKeyDictionary[keras.Model, _Seen] = WeakKeyDictionary()

    def __call__(self, model: "keras.Model") -> float:
        """What the model costs as it would be deployed now; a whole number but for energies."""
        seen, state = self._seen.setdefault(model, _Seen()), fingerprint(model)
        if state not in seen.costs:
            seen.costs[state] = sum(map(self._quantity, self.estimate(model).rows))
        return seen.costs[state]

    def estimate(self, model: "keras.Model") -> Estimate:
        """The whole estimate, layer by layer."""
        return estimate(self._graph(model), self.machine)

    def near(self, model: "keras.Model", rows: Sequence["costs.Row"]) -> "costs.Cost":
        """The surrogate around the model as it is; ``rows`` are those of the model as it is."""
        from tfcompress import costs

        found = parts(self._graph(model), self.machine, self._quantity)
        terms = list(_terms(found, [row.path for row in rows]))

        def count(now: Iterable[costs.Row]) -> float:
            pairs = list(zip(rows, now, strict=True))
            return sum(term.cost if term.row is None else term.at(*pairs[term.row]) for term in terms)

        return costs.Cost(count)

    def __repr__(self) -> str:
        """As it was written."""
        return f"Cost({self.machine.name!r}, of={self.of!r})"

    def _quantity(self, row: Row) -> float:
        return sum(row[key] for key in QUANTITIES[self.of])

    def _graph(self, model: "keras.Model") -> Graph:
        """What the model exports to; the last one is remembered."""
        from tfcompress.edits import remove_channels

        seen, state = self._seen.setdefault(model, _Seen()), fingerprint(model)
        if seen.state != state or seen.graph is None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of accuracy: nobody runs this file
                    seen.graph = integer_graph(remove_channels(model), self.representative_dataset, **self.options)
            except ValueError as error:
                raise ValueError(
                    f"Model '{model.name}' must be one that can be exported at any time, for {self!r} to say what it "
                    f"costs: {error}"
                ) from error
            seen.state = state
        return seen.graph


@dataclass
class _Seen:
    """What is known of a model: its costs by state, and the last of its graphs."""

    costs: dict[bytes, float] = field(default_factory=dict)
    state: bytes = b""
    graph: Graph | None = None


@dataclass(frozen=True)
class _Term:
    """The cost of an op, and the row that it follows.

    Attributes:
        cost: Its cost at the anchor.
        row: Number of the row of ``costs.Facts``; None for a cost that follows nothing.
        savings: Attribute of the row -> share of the cost that is saved for each share of it that goes.
    """

    cost: float
    row: int | None = None
    savings: Mapping[str, float] = field(default_factory=dict)

    def at(self, anchor: "costs.Row", now: "costs.Row") -> float:
        """The cost if its row were another than that of the anchor."""
        return self.cost * math.prod(
            1 + saving * (getattr(now, name) / getattr(anchor, name) - 1) for name, saving in self.savings.items()
        )


def _terms(found: Sequence[Part], paths: Sequence[str]) -> Iterator[_Term]:
    """One term for each op, which follows its own kernel, or the channels of the one in front of it."""
    number = {path: row for row, path in enumerate(paths)}
    makers: dict[int, _Term] = {}  # tensor -> what follows it
    for part in found:
        if part.kernel in number:
            term = _Term(part.cost, number[part.kernel], part.savings)
            channels = "kept_inputs" if part.op.kind == "DEPTHWISE_CONV_2D" else "kept_outputs"
            behind = _Term(0.0, term.row, {channels: 1.0})
        else:
            behind = next((makers[t] for t in part.op.inputs if t in makers), _Term(0.0))
            term = replace(behind, cost=part.cost)
        makers.update(dict.fromkeys(part.op.outputs, behind))
        yield term


def fingerprint(model: "keras.Model") -> bytes:
    """The same for the same numbers in all variables of a model."""
    from keras import ops

    digest = hashlib.blake2b(digest_size=16)
    for variable in model.variables:
        digest.update(ops.convert_to_numpy(variable).tobytes())
    return digest.digest()
