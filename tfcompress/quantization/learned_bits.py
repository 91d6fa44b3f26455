"""What transforms that learn their own width have in common; each of them says what its width follows from.

    learned    loss += price * soft_bits,    soft_bits a differentiable width, which inference rounds up
    fixed      width = ``fixed``, nothing is paid

A width is learned against a price, the price of one more bit on the whole tensor. It is either an argument, one for
all of training, or what ``callbacks.Budget`` makes it. The protocol has no method for this: whoever needs to know the
widths of a model reads ``soft_bits``, ``width`` and ``fixed``, which are state, as masks and steps are. ``fixed`` is a
variable of the graph, 0 while the width is learned, so that training which is resumed knows that the choice is made.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfcompress.quantization.stepped import Stepped


class LearnedBits(Stepped):
    """Base class: a width that is learned, priced and can be fixed.

    Subclasses define ``soft_bits``, ``step``, ``quantized`` and ``measure``, and call ``build`` of this class.

    Args:
        widths: The widths that inference may have, ascending, 2 to 16.
        price: Price of one more bit on the whole tensor, in units of the loss; at least 0.
        axis: Axis, or axes, with their own steps; None is decided by the slot.
        signed: Whether there are negative codes; None is decided by the slot.
        narrow_range: Drops the lowest signed code; None is decided by the slot.
        learned: Whether training moves anything; None is decided by the slot.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        widths: Sequence[int],
        price: float,
        axis: int | Sequence[int] | None,
        signed: bool | None,
        narrow_range: bool | None,
        learned: bool | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis, signed, narrow_range, learned, **kwargs)
        if not widths or any(b not in range(2, 17) for b in widths) or list(widths) != sorted(set(widths)):
            raise ValueError(f"`widths` must be ascending whole numbers from 2 to 16. Received: widths={widths}")
        if not price >= 0:
            raise ValueError(f"`price` must be at least 0. Received: price={price}")
        self.widths, self.initial_price = tuple(int(b) for b in widths), price

    def build(self, input_shape: Any) -> None:
        """Creates ``unit`` (NaN until measured), ``price``, ``multiplier`` (of Budget) and ``fixed``."""
        super().build(input_shape)
        self.price = self.add_state("price", keras.initializers.Constant(self.initial_price))
        self.multiplier, self.fixed = self.add_state("multiplier"), self.add_state("fixed")

    @property
    def soft_bits(self) -> Any:
        """The width, differentiable; float32 scalar."""
        raise NotImplementedError(f"{type(self).__name__} must define `soft_bits`.")

    def quantized(self, x: Any, training: bool) -> Any:
        """What ``call`` delivers."""
        raise NotImplementedError(f"{type(self).__name__} must define `quantized`.")

    def lowest(self, high: Any) -> Any:
        """The smallest code at inference, where ``high`` is the largest."""
        return -high - (not self.narrow_range) if self.is_signed else 0.0

    @property
    def is_fixed(self) -> Any:
        """Whether the width is there to stay; bool tensor."""
        return ops.convert_to_tensor(self.fixed) > 0

    def rounded(self) -> int:
        """The width that inference has as long as none is fixed."""
        return rounded_up(float(ops.convert_to_numpy(self.soft_bits)), self.widths)

    @property
    def width(self) -> int:
        """The bits of a code at inference."""
        return int(ops.convert_to_numpy(self.fixed)) or self.rounded()

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Quantises ``x``; in training, the width is paid for, and the first call of all may set the unit."""
        if training:
            self.measure_once(x)
            self.add_loss(ops.where(self.is_fixed, 0.0, self.dues()))
        return self.quantized(x, bool(training))

    def dues(self) -> Any:
        """What is paid in one step; scalar."""
        return ops.convert_to_tensor(self.price) * self.soft_bits

    def get_config(self) -> dict[str, Any]:
        """Configuration; None stays None, for the slot to decide."""
        return {**super().get_config(), "widths": self.widths, "price": self.initial_price}


def highest(bits: Any, signed: bool) -> Any:
    """The largest code of a width, which may be a fraction or a tensor: 7 for 4 signed bits, 15 for 4 others."""
    return 2.0 ** (bits - signed) - 1


def rounded_up(bits: float, widths: Sequence[int]) -> int:
    """The narrowest of ``widths`` that holds ``bits``, but for rounding errors; the widest if none does."""
    return next((width for width in widths if width >= bits - 1e-3), widths[-1])
