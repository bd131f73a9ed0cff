"""What the blocks of several operators share: axes, sizes, and the errors about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from netlang.diagnostics import DiagnosticError, fail
from netlang.dims import Size

from ..dtypes import numpy_dtype

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Value


def normal_axis(axis: int, rank: int) -> int:
    """`axis` counted from the left. Raises DiagnosticError (`bad-axis`) where there is no such axis."""
    if not -rank <= axis < rank:
        allowed = f"from {-rank} to {rank - 1}" if rank else "none: it is a scalar"
        raise fail("bad-axis", f"there is no axis {axis}", expected=f"an axis {allowed}", found=axis)
    return axis % rank


def normal_axes(axis: Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """The axes, counted from the left and sorted; all of them for None. Raises DiagnosticError (`bad-axis`)."""
    if axis is None:
        return tuple(range(rank))
    axes = tuple(sorted(normal_axis(one, rank) for one in axis))
    if len(set(axes)) < len(axes):
        raise fail("bad-axis", f"an axis is named twice in {list(axis)}", expected="each axis once", found=list(axis))
    return axes


def product(sizes: Iterable[Size]) -> Size:
    """The product of sizes; 1 where there are none."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def listed(sizes: Iterable[Size]) -> str:
    """A shape as the user writes it: `[b, 3, 4]`."""
    return f"[{', '.join(map(str, sizes))}]"


def bad_value(title: str, expected: object, found: object) -> DiagnosticError:
    """The error about an attribute that the operator cannot work with."""
    return fail("bad-value", title, expected=expected, found=found)


def shape_mismatch(title: str, expected: object, found: object, help: str | None = None) -> DiagnosticError:
    """The error about shapes that do not fit each other."""
    return fail("shape-mismatch", title, expected=expected, found=found, help=help)


def divided(b: Builder, x: Value, size: Size) -> Value:
    """`x` divided by a size, which may be known at run time only."""
    if isinstance(size, int):
        return b.div(x, float(size))
    return b.div(x, b.cast(b.dim(size=size), dtype=x.type.dtype))


def number(e: Emitter, size: Size, dtype: str) -> str:
    """A size as an ONNX scalar of a dtype: a constant, or computed at run time."""
    if isinstance(size, int):
        return e.constant(np.array(size, numpy_dtype(dtype)))
    return e.node("Cast", e.size(size), to=e.onnx_dtype(dtype))


def swaps_last(perm: tuple[int, ...]) -> bool:
    """Whether a transposition swaps the last two axes and leaves the others."""
    rank = len(perm)
    return rank >= 2 and perm == (*range(rank - 2), rank - 1, rank - 2)


def behind_reshape(e: Emitter, name: str, rank: int) -> str:
    """The same, which takes no time, but ONNX Runtime does not see what computes it, and fuses nothing with that."""
    return e.node("Reshape", name, e.constant(np.zeros(rank, np.int64)))  # 0 for a size that stays


def total(b: Builder, values: Sequence[Value]) -> Value:
    """The sum of some values, of which there is at least one."""
    first, *others = values
    for value in others:
        first = b.add(first, value)
    return first
