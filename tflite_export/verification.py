"""What ``verify`` found: one row per tensor, and how each peer differs from our interpreter there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tflite_export.table import table

REFERENCE, XNNPACK, KERAS = "reference", "XNNPACK", "Keras"

JUDGED = (REFERENCE, KERAS)
"""Peers without which nothing is proven. XNNPACK rounds otherwise and is told, not judged."""


class PeerFailed(RuntimeError):
    """A peer cannot be compared; the message says why."""


class VerificationError(RuntimeError):
    """The exported integers are not what they should be."""


@dataclass
class Difference:
    """How one tensor differs from a peer's. Integers count from the first LSB; floats from 1e-5 of the largest value.

    Attributes:
        differing: Number of values that differ.
        max_lsb: The largest difference, in steps of the tensor's grid (integers), or of 1e-5 of the largest value.
        allowed: The largest ``max_lsb`` that is in order, or None if any is.
    """

    allowed: int | None = None

    differing: int = 0
    max_lsb: int = 0

    @property
    def ok(self) -> bool:
        """The difference is in order."""
        return self.allowed is None or self.max_lsb <= self.allowed


@dataclass
class Row:
    """One tensor that an op computes.

    Attributes:
        name: The tensor.
        kind: The op that made it.
        elements: Values compared, over all samples.
        peers: Difference by peer, ``"reference"``, ``"XNNPACK"`` or ``"Keras"``, where that has the tensor.
    """

    name: str
    kind: str
    elements: int = 0
    peers: dict[str, Difference] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No peer differs by more than it may."""
        return all(difference.ok for difference in self.peers.values())


@dataclass(frozen=True)
class Verification:
    """Rows in execution order.

    Attributes:
        rows: One per tensor.
        peers: Who was asked.
        failures: What a peer said that refused the file or ended its process, by peer.
        samples: Number of inputs.
    """

    rows: Sequence[Row]
    peers: Sequence[str]
    failures: Mapping[str, str]
    samples: int

    @property
    def ok(self) -> bool:
        """Every value equals LiteRT's reference kernels, and Keras, if asked, is as near as rounding allows."""
        return self.first_diverging is None and not any(peer in JUDGED for peer in self.failures)

    @property
    def first_diverging(self) -> Row | None:
        """The first tensor that is not as it should be: the op that made it is to blame."""
        return next((row for row in self.rows if not row.ok), None)

    def total(self, peer: str) -> tuple[int, int, int]:
        """Values that differ from ``peer``, values compared with it, and the largest difference in LSB."""
        rows = [row for row in self.rows if peer in row.peers]
        worst = max((row.peers[peer].max_lsb for row in rows), default=0)
        return sum(row.peers[peer].differing for row in rows), sum(row.elements for row in rows), worst

    def raise_if_different(self) -> None:
        """Does nothing if ``ok``.

        Raises:
            VerificationError: Names the first diverging tensor, or the peer that could not be asked.
        """
        if self.ok:
            return
        row = self.first_diverging
        where = f"The first to differ is '{row.name}' ({row.kind}). " if row else ""
        raise VerificationError(f"{where}{self.summary()}")

    def summary(self) -> str:
        """One sentence."""
        parts = [self._about(peer) for peer in self.peers]
        return "; ".join(part for part in parts if part) + "."

    def _about(self, peer: str) -> str:
        if peer in self.failures:
            who = {REFERENCE: "LiteRT's reference kernels", XNNPACK: "XNNPACK"}.get(peer, peer)
            return f"{who} could not be compared ({self.failures[peer]})"
        differing, compared, worst = self.total(peer)
        if peer == REFERENCE:
            by = f", by up to {worst} LSB" if differing else ""
            return f"{differing:,} of {compared:,} values differ from LiteRT's reference kernels{by}"
        if peer == XNNPACK:
            by = f" by up to {worst} LSB" if differing else ""
            return f"XNNPACK differs in {differing:,} of {compared:,} outputs{by}"
        return f"Keras is within {worst} LSB (compared tensors: {sum(peer in row.peers for row in self.rows)})"

    def __str__(self) -> str:
        shown = [peer for peer in self.peers if peer not in self.failures]
        header = ["tensor", "made by", "values", *shown]
        lines = [[row.name, row.kind, f"{row.elements:,}", *(_cell(row, peer) for peer in shown)] for row in self.rows]
        return "\n".join([table(header, lines, left=2), "", self.summary()])


def _cell(row: Row, peer: str) -> str:
    if peer not in row.peers:
        return "-"
    difference = row.peers[peer]
    return f"{difference.differing:,} by {difference.max_lsb}" if difference.differing else "0"
