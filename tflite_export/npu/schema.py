"""Dataclasses from TOML tables: the fields of the class are the keys of the table, and no others.

Fields with a default value may be left out. Field types say what is accepted: ``Count`` (integer, at least 1),
``Natural`` (integer, at least 0), ``float`` (above 0, finite), ``Amount`` (number, at least 0), ``bool``, ``str``, a
``Literal``, another dataclass (a sub-table), ``Mapping[str, X]`` (a table with free keys), or a union of dataclasses,
told apart by the table's ``kind``. What a class refuses in ``__post_init__`` is reported like the rest.
"""

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Count = Annotated[int, 1]
Natural = Annotated[int, 0]
Amount = Annotated[float, 0]

T = TypeVar("T")


def read(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ValueError: It is not TOML; the message names the file and the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error


def build(cls: type[T], table: Any, where: str) -> T:
    """An instance of dataclass ``cls`` with the values of ``table``.

    Raises:
        ValueError: A key is unknown or missing, or a value is not of the field's type; starts with ``where``.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"{where} must be a table with the keys {_names(cls)}. Received: {table!r}")
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in table:
        if key not in names:
            raise ValueError(f"{where}: unknown key `{key}`. Known keys: {_names(cls)}")
    for name in _required(cls):
        if name not in table:
            raise ValueError(f"{where}: key `{name}` is missing. Required keys: {', '.join(_required(cls))}")
    hints = get_type_hints(cls, include_extras=True)
    values = {name: _value(hints[name], table[name], f"{where}: `{name}`") for name in names if name in table}
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _names(cls: Any) -> str:
    return ", ".join(field.name for field in dataclasses.fields(cls))


def _required(cls: Any) -> list[str]:
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(cls) if f.default is missing and f.default_factory is missing]


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin is Annotated:
        kind, least = get_args(hint)
        return _integer(value, least, where) if kind is int else _amount(value, least, where)
    if origin is Literal:
        return _one_of(value, get_args(hint), where)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be a table. Received: {value!r}")
        return {key: _value(get_args(hint)[1], item, f"{where}: `{key}`") for key, item in value.items()}
    if isinstance(hint, UnionType):
        classes = tuple(cls for cls in get_args(hint) if cls is not NoneType)
        return _variant(classes, value, where) if len(classes) > 1 else build(classes[0], value, where)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    return _number(value, where) if hint is float else _plain(hint, value, where)


def _integer(value: Any, least: int, where: str) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{where} must be an integer of at least {least}. Received: {value!r}")
    return value


def _amount(value: Any, least: float, where: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < least:
        raise ValueError(f"{where} must be a number of at least {least}. Received: {value!r}")
    return float(value)


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{where} must be a number above 0. Received: {value!r}")
    return float(value)


def _plain(kind: type, value: Any, where: str) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{where} must be of type {kind.__name__}. Received: {value!r}")
    return value


def _one_of(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return value
    raise ValueError(f"{where} must be one of {', '.join(map(repr, choices))}. Received: {value!r}")


def _variant(classes: tuple[Any, ...], value: Any, where: str) -> Any:
    variants = {cls.KIND: cls for cls in classes}
    if not isinstance(value, Mapping) or value.get("kind") not in variants:
        kind = value.get("kind") if isinstance(value, Mapping) else value
        raise ValueError(
            f"{where} must be a table with `kind` {' or '.join(map(repr, variants))}. Received: kind={kind!r}"
        )
    return build(variants[value["kind"]], {k: v for k, v in value.items() if k != "kind"}, where)
