"""The table of operators: an explicit tuple of every block, and `OPS` by name."""

from __future__ import annotations

from ..op import Op
from . import (
    arithmetic,
    comparison,
    elementwise,
    linear_algebra,
    reduction,
    shape,
    source,
)

ALL: tuple[Op, ...] = (
    *source.OPERATORS,
    *elementwise.OPERATORS,
    *arithmetic.OPERATORS,
    *comparison.OPERATORS,
    *reduction.OPERATORS,
    *shape.OPERATORS,
    *linear_algebra.OPERATORS,
)

OPS: dict[str, Op] = {op.name: op for op in ALL}
"""Every operator by its name in the language."""
