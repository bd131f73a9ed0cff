"""Dataclasses from JSON that another version, another program or a damaged disk may have written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Record = TypeVar("Record")

_INTEGER_BITS = 63


def from_json(kind: type[Record], values: Any) -> Record:
    """The instance of a dataclass that `values` describe.

    Its fields may be numbers, texts, lists, dictionaries by text, such dataclasses, and unions of them. What it has no
    field for is left out: a later version wrote that. Raises ValueError where a field is missing or of another type.
    """
    if not isinstance(values, Mapping):
        raise ValueError("it holds no fields")
    types, given = get_type_hints(kind), {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in values:
            given[field.name] = _value(types[field.name], values[field.name], field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"it does not say `{field.name}`")
    return kind(**given)


def _value(type_: Any, value: Any, name: str) -> Any:
    """The value of the field `name`, found to be of its type."""
    if is_dataclass(type_) and isinstance(type_, type) and isinstance(value, Mapping):
        return from_json(type_, value)
    if not _is_a(type_, value):
        raise ValueError(f"`{name}` cannot be {_shown(value)}")
    return value


def _is_a(type_: Any, value: Any) -> bool:
    """Whether a value of JSON is of a type; there, a number without a fraction is a float as well."""
    inner = get_args(type_)
    if type_ is Any:
        return True
    if isinstance(type_, UnionType):
        return any(_is_a(each, value) for each in inner)
    if get_origin(type_) is list:
        return isinstance(value, list) and all(_is_a(inner[0], each) for each in value)
    if get_origin(type_) is dict:
        return isinstance(value, dict) and all(_is_a(inner[1], each) for each in value.values())
    if type_ is int:
        return type(value) is int and value.bit_length() <= _INTEGER_BITS
    if type_ is float:
        return type(value) in (int, float)
    return type(value) is type_


def _shown(value: Any, limit: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
