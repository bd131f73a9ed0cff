"""Sums of products over named axes (Einstein 1916), as products of matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Size, substitute, symbols
from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import bad_value, product, shape_mismatch
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..ir import Value

Labels = tuple[str, ...]

_GUESS = 64
"""What an open size counts for when the order of products is chosen."""


# --- the equation --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """The labels of the axes of each operand and of the result, and how large each label is.

    Axes that an ellipsis stands for are labelled "0", "1", … from the right.
    """

    operands: tuple[Labels, ...]
    result: Labels
    sizes: dict[str, Size]


def _plan(types: Sequence[TensorType], equation: str) -> _Plan:
    """Reads an equation. Raises DiagnosticError (`bad-value`, `rank-mismatch`, `shape-mismatch`)."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(types):
        raise bad_value("an equation has one term for each tensor", f"{len(types)} terms", f"`{equation}`")
    operands = tuple(_operand(term, type_, equation) for term, type_ in zip(terms, types, strict=True))
    hidden = max((sum(label.isdigit() for label in labels) for labels in operands), default=0)
    ellipsis = tuple(str(i) for i in reversed(range(hidden)))
    if arrow:
        result = _expanded(right, ellipsis, equation)
    else:
        counts = Counter(label for labels in operands for label in labels)
        result = (*ellipsis, *sorted(name for name, n in counts.items() if n == 1 and not name.isdigit()))
    _check_result(result, operands, equation)
    return _Plan(operands, result, _sizes(operands, types))


def _operand(term: str, type_: TensorType, equation: str) -> Labels:
    named = len(term.replace("...", ""))
    hidden = type_.rank - named if "..." in term else 0
    if hidden < 0 or named + hidden != type_.rank:
        title = f"`{term}` of `{equation}` names {named} axes"
        raise fail("rank-mismatch", title, expected=f"a tensor of rank {named}", found=type_)
    return _expanded(term, tuple(str(i) for i in reversed(range(hidden))), equation)


def _expanded(term: str, ellipsis: Labels, equation: str) -> Labels:
    before, dots, after = term.partition("...")
    if not all(letter.isascii() and letter.isalpha() for letter in before + after):
        raise bad_value("an equation has letters, `,`, `->` and `...`", "such as `bij,bjk->bik`", f"`{equation}`")
    return (*before, *(ellipsis if dots else ()), *after)


def _check_result(result: Labels, operands: Sequence[Labels], equation: str) -> None:
    known = {label for labels in operands for label in labels}
    if len(set(result)) < len(result) or not set(result) <= known:
        title = "each letter of the result of an equation stands in it once, and among the terms"
        raise bad_value(title, f"letters of `{''.join(sorted(known))}`", f"`{equation}`")


def _sizes(operands: Sequence[Labels], types: Sequence[TensorType]) -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    for labels, type_ in zip(operands, types, strict=True):
        for label, size in zip(labels, type_.shape, strict=True):
            known = sizes.get(label, 1)
            if 1 not in (known, size) and known != size:
                title = f"`{label if label.isalpha() else '...'}` stands for axes of different sizes"
                raise shape_mismatch(title, known, size)
            sizes[label] = size if known == 1 else known
    return sizes


# --- products ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Term:
    """A tensor whose axes have labels, each another."""

    value: Value
    labels: Labels


def _body(b: Builder, *operands: Value, equation: str) -> Value:
    plan = _plan([x.type for x in operands], equation)
    terms = [_simple(b, x, labels, plan.sizes) for x, labels in zip(operands, plan.operands, strict=True)]
    terms = [_sum_out(b, term, _wanted(plan.result, terms[:i] + terms[i + 1 :])) for i, term in enumerate(terms)]
    while len(terms) > 1:
        i, j = _cheapest(terms, plan)
        left, right = terms[i], terms[j]
        terms = [term for at, term in enumerate(terms) if at not in (i, j)]
        terms.append(_contract(b, left, right, _wanted(plan.result, terms), plan.result))
    missing = [label for label in plan.result if label not in terms[0].labels]
    return _arranged(b, _with_ones(b, terms[0], missing), plan.result)


def _simple(b: Builder, x: Value, labels: Labels, sizes: dict[str, Size]) -> _Term:
    """`x` with diagonals taken where a label repeats, and without the axes along which it broadcasts."""
    while len(set(labels)) < len(labels):
        x, labels = _diagonal(b, x, labels)
    kept = [i for i, label in enumerate(labels) if x.type.shape[i] != 1 or sizes[label] == 1]
    x = b.reshape(x, shape=tuple(x.type.shape[i] for i in kept))
    return _Term(x, tuple(labels[i] for i in kept))


def _diagonal(b: Builder, x: Value, labels: Labels) -> tuple[Value, Labels]:
    """The diagonal of the first two axes of one label, which becomes the last axis.

    One column more shifts the elements of the diagonal below each other: no positions need to be computed.
    """
    label = next(label for label in labels if labels.count(label) > 1)
    first, second = [i for i, other in enumerate(labels) if other == label][:2]
    rest = [i for i in range(len(labels)) if i not in (first, second)]
    moved = b.transpose(x, perm=(*rest, first, second))
    *shape, rows, columns = moved.type.shape
    if rows != columns:
        raise shape_mismatch(f"`{label}` stands for axes of different sizes", rows, columns)
    flat = b.reshape(moved, shape=(*shape, rows * columns))
    none = (0,) * len(shape)
    longer = b.pad(flat, before=(*none, 0), after=(*none, rows))
    shifted = b.reshape(longer, shape=(*shape, rows, columns + 1))
    column = b.slice(shifted, starts=0, stops=1, axes=len(shape) + 1, steps=1)
    return b.reshape(column, shape=(*shape, rows)), (*(labels[i] for i in rest), label)


def _wanted(result: Labels, others: Iterable[_Term]) -> set[str]:
    """The labels that the result or another term still needs."""
    return {*result, *(label for term in others for label in term.labels)}


def _sum_out(b: Builder, term: _Term, wanted: set[str]) -> _Term:
    axes = tuple(i for i, label in enumerate(term.labels) if label not in wanted)
    if not axes:
        return term
    return _Term(b.sum(term.value, axis=axes), tuple(label for label in term.labels if label in wanted))


def _cheapest(terms: Sequence[_Term], plan: _Plan) -> tuple[int, int]:
    """The two terms whose product is smallest."""

    def elements(pair: tuple[int, int]) -> int:
        others = [term for at, term in enumerate(terms) if at not in pair]
        labels = {*terms[pair[0]].labels, *terms[pair[1]].labels} & _wanted(plan.result, others)
        total = product(plan.sizes[label] for label in labels)
        known = substitute(total, dict.fromkeys(symbols(total), _GUESS))
        assert isinstance(known, int)
        return known

    return min(combinations(range(len(terms)), 2), key=elements)


def _contract(b: Builder, left: _Term, right: _Term, wanted: set[str], result: Labels) -> _Term:
    """The product of two terms, summed over the labels that nothing else needs."""
    shared = [label for label in left.labels if label in right.labels]
    summed = [label for label in shared if label not in wanted]
    batch = [label for label in shared if label in wanted]
    rows, columns = ([x for x in term.labels if x not in shared] for term in (left, right))
    if result and result[-1] in rows:  # the last axis of the result is better made last
        left, right, rows, columns = right, left, columns, rows
    if not summed or not (rows or columns):
        return _sum_out(b, _multiply(b, left, right, (*batch, *rows, *columns, *summed)), wanted)
    return _matrix_product(b, left, right, (batch, rows, columns, summed))


def _multiply(b: Builder, left: _Term, right: _Term, labels: Labels) -> _Term:
    """The product element by element, broadcasting over the labels that only one of the two has."""
    factors = (
        _arranged(b, _with_ones(b, term, [label for label in labels if label not in term.labels]), labels)
        for term in (left, right)
    )
    return _Term(b.mul(*factors), labels)


def _matrix_product(
    b: Builder, left: _Term, right: _Term, groups: tuple[list[str], list[str], list[str], list[str]]
) -> _Term:
    """[batch, rows, summed] times [batch, summed, columns]; several labels of a group become one axis."""
    batch, rows, columns, summed = groups
    first, second = _arranged(b, left, (*batch, *rows, *summed)), _arranged(b, right, (*batch, *columns, *summed))
    shape = first.type.shape
    at, end = len(batch), len(batch) + len(rows)
    sizes, depth = shape[at:end], product(shape[end:])
    width = second.type.shape[at : at + len(columns)]
    # Where nothing is a batch, the rows of a matrix product may have any number of axes.
    first = b.reshape(first, shape=(*shape[:at], *(sizes if rows and not batch else (product(sizes),)), depth))
    second = b.t(b.reshape(second, shape=(*shape[:at], product(width), depth)))
    found = b.matmul(first, second)
    return _Term(b.reshape(found, shape=(*shape[:at], *sizes, *width)), (*batch, *rows, *columns))


def _with_ones(b: Builder, term: _Term, missing: Sequence[str]) -> _Term:
    """`term` with axes of size 1 for the labels that it does not have."""
    if not missing:
        return term
    return _Term(b.reshape(term.value, shape=(*term.value.type.shape, *(1 for _ in missing))), (*term.labels, *missing))


def _arranged(b: Builder, term: _Term, labels: Labels) -> Value:
    """The value of `term` with its axes in the order of `labels`."""
    perm = tuple(term.labels.index(label) for label in labels)
    return term.value if perm == tuple(range(len(perm))) else b.transpose(term.value, perm=perm)


def _shape(*types: TensorType, equation: str) -> TensorType:
    plan = _plan(types, equation)
    return TensorType(types[0].dtype, tuple(plan.sizes[label] for label in plan.result))


def _numpy(*arrays: np.ndarray, equation: str) -> np.ndarray:
    return np.einsum(equation.replace(" ", ""), *arrays)


def _torch(*tensors: Any, equation: str) -> Any:
    return torch.einsum(equation, *tensors)


OPERATORS: tuple[Op, ...] = (
    Op(
        "einsum(x: n[*s], equation: str) -> n",
        doc="The sum of products that an equation names: `ij,jk->ik` multiplies matrices. Each term names the axes of "
        "one tensor by letters; letters missing after `->` are summed over, a letter twice in a term takes the "
        "diagonal, `...` stands for axes that broadcast. Without `->` the result has the letters that stand once, in "
        "order.",
        numpy=_numpy,
        body=_body,
        shape=_shape,
        variadic=True,
        samples=(
            S((3, 4), (4, 5), equation="ij,jk->ik", torch=_torch),
            S((3, 4), (4, 5), equation="ij, jk", torch=_torch),
            S((2, 5, 3, 4), (2, 6, 3, 4), equation="bqhd,bkhd->bhqk", torch=_torch),
            S((2, 3, 4), (3, 4), equation="bij,ij->b", torch=_torch),
            S((2, 3), (2, 3), equation="ij,ij->i", torch=_torch),
            S((3,), (4,), equation="i,j->ji", torch=_torch),
            S((3, 2, 3), equation="iji->ij", torch=_torch),
            S((3, 3), equation="ii", torch=_torch),
            S((3, 3, 3), equation="iii->i", torch=_torch),
            S((2, 3, 4), equation="...ij->...ji", torch=_torch),
            S((2, 1, 3, 4), (5, 4, 2), equation="...ij,...jk->...ik", torch=_torch),
            S((2, 3), (3, 4), (4, 5), (5, 2), equation="ab,bc,cd,de->ea", torch=_torch),
            S((2, 3), (2, 4), (2, 5), equation="ba,bc,bd->acd", torch=_torch),
            S((4, 3), (4, 3), (4,), equation="...a,...a,...->...", torch=_torch),
            S((3, 1), (2, 4), equation="ab,cb->ac", torch=_torch),
            S((2, 3, 4), equation="ijk->j", torch=_torch),
            S((), (2,), equation=",a->a", torch=_torch),
            S((2, 0), (0, 3), equation="ij,jk->ik", torch=_torch),
            S(np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2), equation="ij,jk->ki", torch=_torch),
            Bad((2, 3), (4, 5), equation="ij,jk->ik", code="shape-mismatch"),
            Bad((2, 3), equation="ii->i", code="shape-mismatch"),
            Bad((2, 3), equation="ijk->i", code="rank-mismatch"),
            Bad((2, 3), equation="ij->ik", code="bad-value"),
            Bad((2, 3), equation="ij->ii", code="bad-value"),
            Bad((2, 3), equation="i1->i", code="bad-value"),
            Bad((2, 3), (3,), equation="ij->i", code="bad-value"),
        ),
    ),
)
