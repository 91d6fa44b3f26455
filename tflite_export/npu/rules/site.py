"""What a rule looks at: one op with its tensors. A rule is a predicate; its docstring is the message.

The first paragraph of the docstring says what must hold, the second what to do if it does not. Both are printed by
``check`` and stand in ``docs/npu_rules.md``, so that there is one text.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflite_export.ir import Op, Tensor


@dataclass(frozen=True)
class Site:
    """An op with its tensors; absent optional inputs are None."""

    op: Op
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]

    @property
    def maps(self) -> list[Tensor]:
        """The feature maps: what is computed, not stored; state of an LSTM is not among them."""
        read = [t for t in self.inputs if t is not None and t.data is None and not t.is_variable]
        return [*read, *self.outputs]

    @property
    def present(self) -> list[Tensor]:
        """All tensors of the op."""
        return [*(t for t in self.inputs if t is not None), *self.outputs]

    def option(self, name: str, default: Any = None) -> Any:
        """An option of the op."""
        return self.op.options.get(name, default)


Rule = Callable[[Site], bool]
"""``rule(site)``: whether it holds."""


def site(op: Op, tensors: Sequence[Tensor]) -> Site:
    """The op and its tensors."""
    inputs = tuple(tensors[k] if k >= 0 else None for k in op.inputs)
    return Site(op, inputs, tuple(tensors[k] for k in op.outputs))


def texts(rule: Rule) -> tuple[str, str]:
    """What must hold, and the remedy."""
    demand, _, remedy = (inspect.getdoc(rule) or "").partition("\n\n")
    return " ".join(demand.split()), " ".join(remedy.split())


def total(weights: Tensor, axis: int) -> int:
    """The largest sum of absolute codes over one slice along ``axis``."""
    others = tuple(a for a in range(len(weights.shape)) if a != axis)
    return int(np.abs(weights.data.astype(np.int64)).sum(axis=others).max()) if weights.data is not None else 0
