"""The gates of recurrent cells, which Keras packs side by side along the last axis of every weight.

LSTM   i f c o   input, forget, candidate, output         GRU   z r h   update, reset, candidate
"""

from typing import Any

from keras import layers

GATES = {layers.LSTMCell: "ifco", layers.GRUCell: "zrh"}
"""Kind of cell -> its gates, a letter each, in the order of the columns."""

CANDIDATES = "ch"
"""The gates that make the new value, where the others say how much of it counts."""


def gate_names(cell: Any) -> str | None:
    """The gates packed into the weights of a cell; None for any other layer."""
    return next((names for kind, names in GATES.items() if isinstance(cell, kind)), None)


def gate_columns(columns: int, gates: str) -> dict[str, slice]:
    """Where each gate lies along the last axis of a weight with so many columns."""
    width = columns // len(gates)
    return {gate: slice(k * width, (k + 1) * width) for k, gate in enumerate(gates)}
