"""Small classes of which there are many: values that hold fields and stay as they are made."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Makes a class a dataclass whose instances are equal to themselves alone.

    Type checkers refuse to assign to its fields; while a program runs nothing does. What `frozen`, `eq` and `repr`
    would write for each class took most of the import of `netlang.syntax`, and a frozen instance takes twice as long
    to make.
    """
    made: Any = dataclass(slots=True, eq=False, repr=False)(cls)
    if "__repr__" not in vars(cls):
        made.__repr__ = _shown
    return made


def _shown(self: Any) -> str:
    values = ", ".join(f"{part.name}={getattr(self, part.name)!r}" for part in fields(self) if part.repr)
    return f"{type(self).__name__}({values})"
