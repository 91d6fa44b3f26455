"""What a model costs, counted from its layers, the widths of their operands and the channels that are left.

    bops          sum over layers of  MACs * weight bits * input bits * kept inputs * kept outputs
    macs          the same without the bits
    weight_bytes  sum over layers of  weights * weight bits / 8 * kept inputs * kept outputs

MACs and weights are those of all channels, kept inputs and outputs the shares that are left of them. A cost is a
function of the rows alone: with widths that are fractions it is soft, with the widths of inference it is what is
deployed. It is linear in each width and in each share, so what one more bit costs, its derivative, is what all bits of
that tensor cost over their number.

Channels are gone if ``edits.remove_channels(model)`` would take them out. A tensor that nothing quantises has 32 bits,
as in the usual reference; so ``bops(model) / bops(float_model)`` is the share that publications give. Biases,
activations, sums and pooling are not counted.

    tfcompress.costs.bops(model)                              a number
    callbacks.Budget(0.01 * tfcompress.costs.bops(model))     a limit

Whatever is called on a model and returns a number is a cost to ``callbacks.Budget``. The three above are ``Cost``
objects: what they count is also known for widths and channels that the model does not have yet. A cost of another kind
needs a surrogate for that, a ``Cost`` which has the same value where the model is: ``near``. It may know a good one
itself, as ``tflite_export.npu.Cost`` does, or is given one, ``Anchored``.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np
from keras import layers, ops

from tfcompress.compressed import Compressed
from tfcompress.constant_gate import ConstantGate
from tfcompress.quantization.learned_bits import LearnedBits
from tfcompress.structure import slots
from tfcompress.structure.channels import Channels
from tfcompress.structure.doomed import Gone, Unneeded, settled
from tfcompress.structure.groups import core, moves
from tfcompress.structure.mixing import mixing
from tfcompress.structure.relations import DEPTHWISE
from tfcompress.structure.trace import Call, Value, trace
from tfcompress.transform import Transform, members

FLOAT_BITS = 32.0
"""The width of what nothing quantises."""

Widths = Mapping[Transform, float]


@dataclass(frozen=True)
class Row:
    """One kernel at work.

    Attributes:
        path: Layer and slot.
        macs: Multiplications for one example, with all channels.
        weights: Elements of the kernel, with all channels.
        weight_bits: Width of a weight.
        input_bits: Width of what it is multiplied by.
        kept_inputs: Share of the input channels that is left.
        kept_outputs: Share of the output channels that is left; 1 for depthwise kernels, which have the same ones.
    """

    path: str
    macs: int
    weights: int
    weight_bits: float = FLOAT_BITS
    input_bits: float = FLOAT_BITS
    kept_inputs: float = 1.0
    kept_outputs: float = 1.0

    @property
    def kept(self) -> float:
        """Share of the kernel that is left."""
        return self.kept_inputs * self.kept_outputs


@dataclass(frozen=True)
class Cost:
    """A cost that is counted from rows; called on a model, it is that of the model as deployed."""

    count: Callable[[Iterable[Row]], float]

    def __call__(self, model: keras.Model) -> float:
        """What the model costs.

        Raises:
            ValueError: The model's graph cannot be read, or a layer cannot be counted.
        """
        facts = Facts(model)
        return self.count(facts.rows(facts.widths(), facts.gone()))

    def near(self, model: keras.Model, rows: Sequence[Row]) -> "Cost":
        """The cost itself, which is exact everywhere."""
        return self


bops = Cost(lambda rows: sum(row.macs * row.weight_bits * row.input_bits * row.kept for row in rows))
"""Bit operations."""

macs = Cost(lambda rows: sum(row.macs * row.kept for row in rows))
"""Multiply-accumulates."""

weight_bytes = Cost(lambda rows: sum(row.weights * row.weight_bits / 8 * row.kept for row in rows))
"""Bytes of the kernels."""


@runtime_checkable
class Surrogated(Protocol):
    """A cost of whatever kind that knows what others to compute with around a model as it is."""

    def __call__(self, model: keras.Model) -> float:
        """What the model costs as deployed."""

    def near(self, model: keras.Model, rows: Sequence[Row]) -> Cost:
        """A cost of rows that has the value of this one at ``rows``, which are those of the model as deployed."""


@dataclass(frozen=True)
class Anchored:
    """A cost that knows nothing but its value, and a surrogate that is scaled to have the same.

    Attributes:
        cost: The cost.
        surrogate: What goes about with it.
    """

    cost: Callable[[keras.Model], float]
    surrogate: Cost

    def __call__(self, model: keras.Model) -> float:
        """What the model costs as deployed."""
        return float(self.cost(model))

    def near(self, model: keras.Model, rows: Sequence[Row]) -> Cost:
        """The surrogate, scaled."""
        scale = self(model) / self.surrogate.count(rows)
        return Cost(lambda others: scale * self.surrogate.count(others))


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel in a model: what a row needs, and where to look for the rest of it."""

    call: Call
    slot: str
    macs: int
    weights: int
    transform: Transform | None
    maps: tuple[Transform | None, ...]
    ends: tuple[Value | None, Value | None]


class Facts:
    """What costs are counted from, of one model.

    Attributes:
        channels: Which channels belong together.
        kernels: All that multiplies.

    Raises:
        ValueError: The model's graph cannot be read, or a layer cannot be counted.
    """

    def __init__(self, model: keras.Model) -> None:
        self.channels = Channels(trace(model))
        self.kernels = [kernel for call in self.channels.trace.calls for kernel in self._kernels(call)]

    def rows(self, widths: Widths, gone: Gone) -> list[Row]:
        """One row for each kernel.

        Args:
            widths: Transform -> bits; transforms that are not there leave floats.
            gone: True for the channel numbers that are gone.
        """

        def kept(value: Value | None) -> float:
            numbers = None if value is None else self.channels.numbers.get(value)
            return 1.0 if numbers is None else 1.0 - float(np.mean(gone[numbers]))

        def bits(transform: Transform | None) -> float:
            return FLOAT_BITS if transform is None else widths.get(transform, FLOAT_BITS)

        return [
            Row(
                f"{k.call.path}/{k.slot}", k.macs, k.weights, bits(k.transform), max(map(bits, k.maps)),
                kept(k.ends[0]), kept(k.ends[1]),
            )
            for k in self.kernels
        ]  # fmt: skip

    def widths(self, soft: bool = False) -> dict[Transform, float]:
        """Transform -> bits at inference; ``soft`` gives the fractions of those that learn them."""
        weights = {k.transform: self._width(k.transform, k, soft) for k in self.kernels if k.transform is not None}
        layers_of = (call.layer for call in self.channels.trace.calls if isinstance(call.layer, Transform))
        return weights | {transform: self._width(transform, None, soft) for transform in layers_of}

    def gone(self) -> Gone:
        """True for the channel numbers that ``edits.remove_channels`` would take out now."""
        return settled(self.channels, Unneeded(self.channels), 1)

    def learned(self) -> list[LearnedBits]:
        """The transforms that learn their width and are trained."""
        return [t for t in map(last, self.widths()) if isinstance(t, LearnedBits) and t.learned is not False]

    def gates(self) -> dict[ConstantGate, Value]:
        """The gates of the model, and what they deliver."""
        calls = (call for call in self.channels.trace.calls if isinstance(call.layer, ConstantGate))
        return {call.layer: call.outputs[0] for call in calls}

    def _width(self, transform: Transform, kernel: Kernel | None, soft: bool) -> float:
        learned = last(transform)
        if isinstance(learned, LearnedBits):
            fixed = bool(ops.convert_to_numpy(learned.is_fixed))
            return float(learned.soft_bits) if soft and not fixed else float(learned.width)
        if kernel is None:
            x: Any = ops.zeros((1, 1))
        else:
            x = slots.tensor(slots.weight(kernel.call.layer.layer, kernel.slot))
        grid = transform.grid(x)
        return FLOAT_BITS if grid is None else float(grid.bits)

    def _kernels(self, call: Call) -> list[Kernel]:
        layer = core(call.layer)
        if not isinstance(layer, layers.Layer) or isinstance(layer, (Transform, ConstantGate)):
            return []
        known = {slot: v for slot, v in slots.weight_slots(layer).items() if len(v.shape) > 1}
        depthwise = isinstance(layer, DEPTHWISE)
        if known and not (depthwise or mixing(layer)):
            raise ValueError(
                f"Layer '{call.path}' ({type(layer).__name__}) must be one whose multiplications can be counted: a "
                f"convolution or a Dense layer. Received: weights {sorted(known)}. Hand Budget a cost of your own."
            )
        x, y = call.inputs[0] if call.inputs else None, call.outputs[0]
        transforms = call.layer.transforms if isinstance(call.layer, Compressed) else {}
        return [self._kernel(call, slot, v, transforms.get(slot), x, y) for slot, v in known.items()]

    def _kernel(self, call: Call, slot: str, weight: Any, transform: Any, x: Any, y: Value) -> Kernel:
        layer = core(call.layer)
        places = x if isinstance(layer, slots.TRANSPOSED) else y
        sizes = places.shape[1:-1]
        if None in sizes:
            raise ValueError(
                f"Layer '{call.path}' must have maps of known size for its multiplications to be counted. Received: "
                f"shape {places.shape}. Give keras.Input its full shape."
            )
        apart = slots.is_depthwise(layer, slot)
        size = math.prod(weight.shape)
        ends = (x, None if apart else y)
        return Kernel(call, slot, size * math.prod(sizes), size, transform, self._maps(x), ends)

    def _maps(self, value: Value) -> tuple[Transform | None, ...]:
        """The transforms on whose grids the values of a tensor lie; None for floats."""
        call = self.channels.trace.producer[value]
        if isinstance(call.layer, Transform):
            return (call.layer,)
        passes = moves(core(call.layer)) or isinstance(call.layer, (ConstantGate, layers.Concatenate))
        if not passes or not call.inputs:
            return (None,)
        return tuple(transform for x in call.inputs for transform in self._maps(x))


def last(transform: Transform) -> Transform:
    """The transform, or the last member of a Chain, which owns the grid."""
    return members(transform)[-1]
