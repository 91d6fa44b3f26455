"""Plain text tables."""

from collections.abc import Sequence


def table(header: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    """Columns two spaces apart, the first ``left`` of them aligned to the left, the others to the right."""
    widths = [max(len(line[k]) for line in (header, *lines)) for k in range(len(header))]
    rows = []
    for line in (header, *lines):
        cells = [text.ljust(w) if k < left else text.rjust(w) for k, (text, w) in enumerate(zip(line, widths))]
        rows.append("  ".join(cells).rstrip())
    return "\n".join(rows)
