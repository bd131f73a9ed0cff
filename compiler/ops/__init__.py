"""The table of operators: an explicit tuple of every block, and `OPS` by name."""

from __future__ import annotations

from ..op import Op
from . import (
    arithmetic,
    comparison,
    convolution,
    elementwise,
    indexing,
    linear_algebra,
    normalization,
    pooling,
    random,
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
    *indexing.OPERATORS,
    *linear_algebra.OPERATORS,
    *normalization.OPERATORS,
    *convolution.OPERATORS,
    *pooling.OPERATORS,
    *random.OPERATORS,
)

OPS: dict[str, Op] = {op.name: op for op in ALL}
"""Every operator by its name in the language."""
