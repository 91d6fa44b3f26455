"""What a recipe file may hold that rules alone do not: shorthands, percents of the training, sizes of layers.

{"class_name": "LSQ", "config": {"bits": 4}}      a class of tfcompress; what is left out has its default
"end_step": "66%"                                 of the training steps, rounded
{"regex": ".*", "weights": [0, 4096], ...}        only layers whose largest weight has 0 to below 4,096 numbers
{"regex": ".*", "kinds": ["Conv2D"], ...}         only layers of these classes; both also for ``layers`` of an edit
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from tfcompress.recipes import check_rules, read_object
from tfcompress.structure import slots
from tfcompress.structure.plan import Rule
from tfcompress.structure.trace import trace
from tfcompress.transform import Transform

PARTS: dict[str, Any] = {
    "about": str,
    "learning_rate": (int, float),
    "edits": list,
    "rules": list,
    "callbacks": list,
    "finish": list,
}
"""Parts of a recipe and their types; all but the rules may be missing."""

PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")


def read_parts(path: Path, steps: int | None) -> dict[str, Any]:
    """The parts of a recipe, percents resolved; a file of rules alone, as ``save_recipe`` writes it, is one, too.

    Raises:
        ValueError: The file is not a recipe, or has percents and ``steps`` is None.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' must be a recipe in JSON. Received: {error}") from error
    parts = {"rules": content} if isinstance(content, list) else content
    if not isinstance(parts, dict) or not parts.get("rules") or not PARTS.keys() >= parts.keys():
        raise ValueError(f"'{path}' must hold rules, and may hold {[*PARTS]}. Received: {str(content)[:80]}")
    wrong = {name: part for name, part in parts.items() if not isinstance(part, PARTS[name])}
    if wrong:
        raise ValueError(f"'{path}': parts must be of the types {PARTS}. Received: {str(wrong)[:80]}")
    try:
        return {name: resolved(part, steps) for name, part in parts.items()}
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from error


def resolved(item: Any, steps: int | None, key: str = "") -> Any:
    """The item with percents of the steps as whole numbers, and shorthands written out."""
    if isinstance(item, list):
        return [resolved(part, steps, key) for part in item]
    if isinstance(item, dict):
        whole = {name: resolved(part, steps, name) for name, part in item.items()}
        if "class_name" in whole and "registered_name" not in whole and "module" not in whole:
            return {"module": None, "registered_name": f"tfcompress>{whole['class_name']}", "config": {}, **whole}
        return whole
    found = PERCENT.fullmatch(item) if isinstance(item, str) else None
    if found is None:
        return item
    if steps is None:
        raise ValueError(f"{key!r} is {item} of the training steps: how many are they? Received: steps=None.")
    return round(steps * float(found[1]) / 100)


def read_rules(model: keras.Model, items: Sequence[Any]) -> list[Rule]:
    """Rules for this model. One about layers of kinds or sizes that it does not have is left out.

    Raises:
        ValueError: An item is not a rule.
    """
    return check_rules([rule for item in items if (rule := _read_rule(model, item))])


def _read_rule(model: keras.Model, item: Any) -> Rule | None:
    if not isinstance(item, dict) or not isinstance(item.get("slots"), dict) or "regex" not in item:
        raise ValueError(f"A rule must be like {{'regex': ..., 'slots': {{...}}}}. Received: {str(item)[:80]}")
    wanted = {slot: None if t is None else read_object(t, Transform) for slot, t in item["slots"].items()}
    chosen = selected(model, {key: part for key, part in item.items() if key != "slots"})
    return (chosen, wanted) if chosen else None


def selected(model: keras.Model, which: Any) -> str:
    """A regular expression on layers: ``{"regex": ..., "kinds": [...], "weights": [at least, below]}`` as one.

    Args:
        model: Whose layers are meant.
        which: The expression itself, or the dict, of which parts may be missing. Kinds are names of classes; weights
            count the numbers of a layer's largest weight.

    Returns:
        The expression; empty where kinds or sizes leave no layer.

    Raises:
        ValueError: ``which`` is neither.
    """
    if isinstance(which, str):
        return _checked(which)
    kinds, span = (which.get("kinds"), which.get("weights")) if isinstance(which, dict) else (None, None)
    if not isinstance(which, dict) or not {*which} <= {"regex", "kinds", "weights"} or not _is_span(span):
        raise ValueError(
            "Layers must be a regular expression, or like {'regex': '.*', 'kinds': ['Conv2D'], 'weights': [0, 4096]}. "
            f"Received: {str(which)[:80]}"
        )
    regex = _checked(which.get("regex", ".*"))
    if kinds is None and span is None:
        return regex
    least, below = span or (0, math.inf)
    chosen = [
        path
        for path, (kind, size) in _facts(model).items()
        if least <= size < below and kind in (kinds or [kind]) and _matches(regex, path)
    ]
    return "|".join(map(re.escape, chosen))


def _checked(regex: Any) -> str:
    try:
        return re.compile(str(regex)).pattern
    except re.error as error:
        raise ValueError(f"Layers must be a regular expression. Received: {regex!r}, where {error}.") from error


def _is_span(span: Any) -> bool:
    numbers = isinstance(span, list) and len(span) == 2 and all(isinstance(n, (int, float)) for n in span)
    return span is None or numbers


def _matches(regex: str, path: str) -> bool:
    return bool(re.fullmatch(regex, path) or re.fullmatch(regex, path.rpartition("/")[2]))


def _facts(model: keras.Model) -> dict[str, tuple[str, int]]:
    """Path of each layer with weights -> its class, and the size of its largest weight."""
    layers = {call.path.partition("#")[0]: call.layer for call in trace(model).calls}
    shapes = {path: [v.shape for v in slots.weight_slots(layer).values()] for path, layer in layers.items()}
    return {path: (type(layers[path]).__name__, max(map(math.prod, s))) for path, s in shapes.items() if s}
