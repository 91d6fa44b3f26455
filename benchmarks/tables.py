"""Writes the tables of the documents from benchmarks/results/, between the markers ``<!-- begin: NAME -->``.

    python benchmarks/tables.py           rewrites README.md and docs/benchmarks.md
    python benchmarks/tables.py --check   exit status 1 if they are not what the results say

A result is a JSON file with ``settings`` (versions, seed, machine) and ``table``: rows, each a dict of column -> text.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")


def markdown(rows: list[dict[str, Any]], settings: dict[str, Any]) -> str:
    """A table, and one line that says where the numbers come from."""
    columns = list(rows[0])
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(str(row[column]) for column in columns) for row in rows]
    source = ", ".join(f"{key} {value}" for key, value in settings.items())
    return "\n".join([*(f"| {line} |" for line in lines), "", f"*{source}*"])


def rendered(text: str) -> str:
    """``text`` with every marked section filled from the result of its name."""
    for name in re.findall(r"<!-- begin: (\S+) -->", text):
        file = RESULTS / f"{name}.json"
        if not file.exists():
            continue
        result = json.loads(file.read_text(encoding="utf-8"))
        body = markdown(result["table"], result["settings"])
        section = f"<!-- begin: {name} -->\n{body}\n<!-- end: {name} -->"
        pattern = rf"<!-- begin: {re.escape(name)} -->.*?<!-- end: {re.escape(name)} -->"
        text = re.sub(pattern, lambda _, section=section: section, text, flags=re.DOTALL)
    return text


def main() -> int:
    """Rewrites or checks the documents."""
    stale = 0
    for document in DOCUMENTS:
        old = document.read_text(encoding="utf-8")
        new = rendered(old)
        stale += new != old
        if "--check" not in sys.argv:
            document.write_text(new, encoding="utf-8")
    return int("--check" in sys.argv and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
