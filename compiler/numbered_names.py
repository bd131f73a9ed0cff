"""Names with numbers, where the plain ones are taken."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count


def numbered_name(stem: str, is_free: Callable[[str], bool]) -> str:
    """`stem`, or the first of `stem_2`, `stem_3` … where that is not free."""
    if is_free(stem):
        return stem
    return next(name for number in count(2) if is_free(name := f"{stem}_{number}"))
