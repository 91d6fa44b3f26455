"""Rules: their form, and how they are kept in a JSON file.

    [{"regex": "conv_.*", "slots": {"kernel": {"class_name": "LSQ", "config": {"bits": 4, ...}, ...}}}, ...]

Reading makes objects of classes that are registered with ``keras.saving`` and are Transforms, and of what these may
hold (registered classes, Keras' initializers, schedules and the like). It imports no module that a file names.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from tfcompress.structure.plan import Rule
from tfcompress.transform import Transform

KERAS_PARTS = ("keras.initializers", "keras.regularizers", "keras.constraints", "keras.optimizers.schedules")
"""Modules of Keras whose classes may stand inside a Transform's configuration, next to ``keras.DTypePolicy``."""


def check_rules(rules: Any) -> list[Rule]:
    """The rules as a list of (regular expression, slots).

    Args:
        rules: A dict ``regular expression -> {slot: Transform or None}``, or a list of such pairs.

    Raises:
        ValueError: A rule is not a valid expression with a dict of slot -> Transform or None.
    """
    pairs = list(rules.items()) if isinstance(rules, Mapping) else list(rules)
    if not pairs or not all(isinstance(p, (tuple, list)) and len(p) == 2 and isinstance(p[1], Mapping) for p in pairs):
        raise ValueError(
            "`rules` must hold at least one rule like {'conv_.*': {'kernel': MinMax()}}, or be the path of a recipe. "
            f"Received: rules={rules}"
        )
    for rule, wanted in pairs:
        _check_rule(rule, wanted)
    return [(rule, dict(wanted)) for rule, wanted in pairs]


def _check_rule(rule: Any, wanted: Mapping[str, Any]) -> None:
    try:
        re.compile(rule)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"A rule must be a regular expression on layer names; that for all layers is '.*'. Received: {rule!r}, "
            f"where {error}."
        ) from error
    strangers = {slot: t for slot, t in wanted.items() if t is not None and not isinstance(t, Transform)}
    if not wanted:
        raise ValueError(f"Rule {rule!r} must name at least one slot, like {{'kernel': MinMax()}}. Received: {{}}")
    if strangers:
        raise ValueError(
            f"Rule {rule!r} must give each slot a Transform, or None to take one away. Received: {strangers}. "
            "A class needs its parentheses: MinMax(), not MinMax."
        )


def save_recipe(rules: Mapping[str, Any] | Sequence[Any], path: str | os.PathLike[str]) -> None:
    """Writes rules, as ``compress`` takes them, to a JSON file; the file is there whole or not at all.

    Raises:
        ValueError: The rules are not valid, or hold a class that is not registered for ``keras.saving``.
    """
    recipe = [
        {"regex": rule, "slots": {slot: transform and _written(transform) for slot, transform in wanted.items()}}
        for rule, wanted in check_rules(rules)
    ]
    part = Path(f"{os.fspath(path)}.part")
    try:
        part.write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_recipe(path: str | os.PathLike[str]) -> list[Rule]:
    """Reads the rules that ``save_recipe`` wrote, for ``compress``.

    Raises:
        ValueError: The file is not a recipe, or names a class that is neither registered nor a Transform.
        OSError: The file cannot be read.
    """
    try:
        recipe = json.loads(Path(path).read_text(encoding="utf-8"))
        return check_rules([_read_rule(item) for item in recipe])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f"'{os.fspath(path)}' must be a recipe as tfcompress.save_recipe writes it. Received: {error}"
        ) from error


def _written(transform: Transform) -> dict[str, Any]:
    item = _bare(keras.saving.serialize_keras_object(transform))
    _check_class(item, Transform)
    return item


def _bare(item: Any) -> Any:
    """Leaves out what belongs to one object and not to the recipe: automatic names, and shapes it was built for."""
    if isinstance(item, (list, tuple)):
        return [_bare(part) for part in item]
    if not isinstance(item, Mapping):
        return item
    kept = {key: _bare(part) for key, part in item.items() if key != "build_config"}
    if kept.get("registered_name"):
        kept["config"] = {key: part for key, part in kept["config"].items() if key != "name"}
    return kept


def _read_rule(item: Any) -> Rule:
    if not isinstance(item, dict) or item.keys() != {"regex", "slots"} or not isinstance(item["slots"], dict):
        raise ValueError(f"an item that is not like {{'regex': ..., 'slots': {{...}}}}: {str(item)[:80]}")
    return item["regex"], {slot: None if t is None else read_object(t, Transform) for slot, t in item["slots"].items()}


def read_object(item: Any, kind: type) -> Any:
    """The object of a class registered with ``keras.saving`` that ``item`` describes.

    Raises:
        ValueError: ``item`` describes none, or one that is not a ``kind``.
    """
    if not isinstance(item, dict):
        raise ValueError(f"something that is no {kind.__name__}: {str(item)[:80]}")
    _check_class(item, kind)
    return keras.saving.deserialize_keras_object({k: v for k, v in item.items() if k != "build_config"})


def _check_class(item: Mapping[str, Any], kind: type) -> None:
    """Refuses what Keras would import by name: only registered classes pass, and parts of Keras inside them."""
    found = keras.saving.get_registered_object(str(item.get("registered_name")))
    if not isinstance(found, type) or not issubclass(found, kind) or found.__name__ != item.get("class_name"):
        raise ValueError(
            f"class {item.get('class_name')!r} (registered name {item.get('registered_name')!r}), which is not a "
            f"registered {kind.__name__}; import the module that defines it and register it with "
            "keras.saving.register_keras_serializable()"
        )
    _check_parts(item.get("config"))


def _check_parts(config: Any) -> None:
    if isinstance(config, (list, tuple)):
        for part in config:
            _check_parts(part)
    elif isinstance(config, Mapping) and not {"class_name", "registered_name", "module"} & config.keys():
        _check_parts(list(config.values()))
    elif isinstance(config, Mapping):
        dtype = (config.get("module"), config.get("class_name")) == ("keras", "DTypePolicy")
        if dtype or config.get("module") in KERAS_PARTS:
            _check_parts(config.get("config"))
        else:
            _check_class(config, object)
