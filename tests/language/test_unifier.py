"""The unifier against brute force: it matches exactly where some assignment of the unknowns makes the types equal."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlang.dims import Dim, Size, floor_divide, substitute, symbol
from netlang.types import (
    DTYPE_CLASSES,
    DTYPES,
    Bindings,
    DimPattern,
    HolePattern,
    Mismatch,
    PackPattern,
    TensorType,
    TypePattern,
    unify_all,
    unknown,
    unknowns,
)

U, V = unknown("u"), unknown("v")
SYMBOLIC = (symbol("b"), symbol("t"), symbol("b") * symbol("t"), 2 * symbol("t"), symbol("t") + 1)

SOLVABLE: tuple[Size, ...] = (U, V, U + 1, 2 * U, V - 1, 4 - V, 3 * V + 1)
"""Dimensions that give their unknown away."""
DEPENDENT: tuple[Size, ...] = (U * V, U + V, U * U, floor_divide(U, 2), floor_divide(U + V, 2), U * V - V)
"""Dimensions that can be checked once their unknowns are known from elsewhere."""
PACKS = (PackPattern("s"), PackPattern("B"), PackPattern("C"))
DTYPE_PATTERNS = ("f32", "i64", "f", "i", "t", "t2", "n1")

SIZES = st.integers(1, 4)
DTYPE_SAMPLE = st.sampled_from(("f32", "f64", "i64", "bool"))


@dataclass(frozen=True)
class Problem:
    """Patterns of the parameters of a call, and the types of its arguments."""

    patterns: tuple[TypePattern, ...]
    types: tuple[TensorType, ...]

    def solve(self) -> Bindings:
        return unify_all(self.patterns, self.types, [f"x{i}" for i in range(len(self.types))])

    @property
    def pairs(self) -> list[tuple[TypePattern, TensorType]]:
        return list(zip(self.patterns, self.types, strict=True))

    @property
    def dimensions(self) -> list[tuple[Size, Size]]:
        """Every dimension that is neither a pack nor a hole, with its size."""
        found: list[tuple[Size, Size]] = []
        for pattern, type_ in self.pairs:
            before, after, _ = _taken_apart(pattern, type_)
            shape = (*type_.shape[: len(before)], *type_.shape[type_.rank - len(after) :])
            pairs = zip((*before, *after), shape, strict=True)
            found += [(dim, size) for dim, size in pairs if isinstance(dim, int | Dim)]
        return found

    @property
    def packs(self) -> set[str]:
        return {dim.name for pattern in self.patterns for dim in pattern.dims if isinstance(dim, PackPattern)}

    def sizes_agree(self, bindings: Bindings) -> bool:
        """Whether every single dimension is what its pattern means."""
        return all(bindings.size(dim) == size for dim, size in self.dimensions)

    def packs_agree(self, bindings: Bindings) -> bool:
        """Whether what stands for the packs that are bound is, or broadcasts to, their value."""
        for pattern, type_ in self.pairs:
            before, after, pack = _taken_apart(pattern, type_)
            inside = type_.shape[len(before) : type_.rank - len(after)]
            whole = bindings.packs.get(pack.name) if pack else None
            if pack is None or whole is None or inside == whole:
                continue
            if not (pack.broadcasts and _broadcast(inside, whole) and np.broadcast_shapes(inside, whole) == whole):
                return False
        return True

    def dtypes_agree(self, bindings: Bindings) -> bool:
        """Whether every dtype is what its letter is bound to, and of the class that the letter names."""
        for pattern, type_ in self.pairs:
            letter = pattern.dtype.rstrip("0123456789")
            kinds = (pattern.dtype,) if pattern.dtype in DTYPES else DTYPE_CLASSES[letter]
            if type_.dtype not in kinds:
                return False
            if type_.dtype != bindings.dtypes.get(pattern.dtype, type_.dtype):
                return False
        return True


def _taken_apart(
    pattern: TypePattern, type_: TensorType
) -> tuple[tuple[DimPattern, ...], tuple[DimPattern, ...], PackPattern | None]:
    """The dimensions before and after the pack, and the pack."""
    for at, dim in enumerate(pattern.dims):
        if isinstance(dim, PackPattern):
            return pattern.dims[:at], pattern.dims[at + 1 :], dim
    return pattern.dims, (), None


@st.composite
def patterns(draw: st.DrawFn, dims: st.SearchStrategy[DimPattern]) -> TypePattern:
    """A type pattern with at most one pack, as the language allows."""
    written = draw(st.lists(dims, max_size=3))
    if draw(st.booleans()):
        written.insert(draw(st.integers(0, len(written))), draw(st.sampled_from(PACKS)))
    return TypePattern(draw(st.sampled_from(DTYPE_PATTERNS)), tuple(written))


@st.composite
def problems(draw: st.DrawFn, sizes: st.SearchStrategy[Size]) -> Problem:
    """One to three patterns, and types that mostly fit: random sizes seldom would."""
    dims = st.sampled_from((*SOLVABLE, U, V, *DEPENDENT, 2, HolePattern()))
    wanted = tuple(draw(st.lists(patterns(dims), min_size=1, max_size=3)))
    values = {"?u": draw(sizes), "?v": draw(sizes)}
    packs = {name: tuple(draw(st.lists(sizes, max_size=2))) for name in "sBC"}
    types = []
    for pattern in wanted:
        shape: list[Size] = []
        for dim in pattern.dims:
            if isinstance(dim, PackPattern):
                found = packs[dim.name]
                shape.extend(size if draw(st.integers(0, 4)) else 1 for size in found[draw(st.integers(0, 1)) :])
            elif isinstance(dim, HolePattern) or not draw(st.integers(0, 8)):
                shape.append(draw(sizes))
            else:
                shape.append(substitute(dim, values))
        choices = DTYPE_CLASSES.get(pattern.dtype.rstrip("0123456789"), (pattern.dtype,))
        dtype = draw(DTYPE_SAMPLE) if pattern.dtype not in DTYPES and draw(st.booleans()) else choices[0]
        types.append(TensorType(dtype, tuple(shape)))
    return Problem(wanted, tuple(types))


CONCRETE = problems(SIZES)
OPEN = problems(SIZES | st.sampled_from(SYMBOLIC))


def is_satisfiable(problem: Problem) -> bool:
    """Brute force. Sizes, packs and dtypes do not constrain each other, so that each kind is tried by itself."""
    if not all(pattern.rank_fits(type_.rank) for pattern, type_ in problem.pairs):
        return False
    names = sorted(set(itertools.chain(*(unknowns(dim) for dim, _ in problem.dimensions))))
    values = (Bindings(sizes=dict(zip(names, v, strict=True))) for v in itertools.product(range(14), repeat=len(names)))
    if not any(problem.sizes_agree(bindings) for bindings in values):
        return False
    slices = {
        type_.shape[i:j] for _, type_ in problem.pairs for i in range(type_.rank + 1) for j in range(i, type_.rank + 1)
    }
    shapes = slices | {
        np.broadcast_shapes(a, b, c) for a in slices for b in slices for c in slices if _broadcast(a, b, c)
    }
    if not all(any(problem.packs_agree(Bindings(packs={pack: shape})) for shape in shapes) for pack in problem.packs):
        return False
    return all(
        any(problem.dtypes_agree(Bindings(dtypes={name: dtype})) for dtype in DTYPES)
        for name in {pattern.dtype for pattern in problem.patterns}
    )


def _broadcast(*shapes: tuple[Size, ...]) -> bool:
    try:
        np.broadcast_shapes(*shapes)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def is_decidable(problem: Problem) -> bool:
    """Whether the unifier claims to decide it: each unknown stands somewhere in a dimension that gives it away."""
    dims = [dim for pattern in problem.patterns for dim in pattern.dims if isinstance(dim, int | Dim)]
    known = set(itertools.chain(*(unknowns(dim) for dim in dims if dim in SOLVABLE)))
    return all(set(unknowns(dim)) <= known for dim in dims)


@given(CONCRETE.filter(is_decidable))
@settings(max_examples=150, deadline=None)
def test_it_matches_exactly_where_brute_force_finds_an_assignment(problem: Problem) -> None:
    try:
        problem.solve()
    except Mismatch:
        assert not is_satisfiable(problem)
    else:
        assert is_satisfiable(problem)


@given(CONCRETE)
@settings(max_examples=200, deadline=None)
def test_what_it_binds_satisfies_the_patterns(problem: Problem) -> None:
    try:
        bindings = problem.solve()
    except Mismatch:
        return
    assert problem.sizes_agree(bindings) and problem.packs_agree(bindings) and problem.dtypes_agree(bindings)


@given(OPEN)
@settings(max_examples=200, deadline=None)
def test_with_open_sizes_the_patterns_resolve_to_the_types(problem: Problem) -> None:
    try:
        bindings = problem.solve()
    except Mismatch:
        return
    for pattern, type_ in problem.pairs:
        plain = not any(
            isinstance(dim, HolePattern) or (isinstance(dim, PackPattern) and dim.broadcasts) for dim in pattern.dims
        )
        if plain:
            assert bindings.resolve(pattern) == type_


@given(OPEN)
@settings(max_examples=200, deadline=None)
def test_a_mismatch_says_which_argument_and_why(problem: Problem) -> None:
    try:
        problem.solve()
    except Mismatch as mismatch:
        assert mismatch.kind in ("dtype", "rank", "size")
        (argument,) = mismatch.__notes__
        type_ = problem.types[int(argument.removeprefix("x"))]
        assert mismatch.axis is None or -type_.rank <= mismatch.axis < type_.rank
        assert "?" not in mismatch.expected + mismatch.found


def f32(*dims: DimPattern) -> TypePattern:
    return TypePattern("f32", dims)


def tensor(*shape: Size) -> TensorType:
    return TensorType("f32", shape)


def mismatch_of(*pairs: tuple[TypePattern, TensorType]) -> Mismatch:
    """Why these types do not fit these patterns."""
    with pytest.raises(Mismatch) as caught:
        Problem(tuple(pattern for pattern, _ in pairs), tuple(type_ for _, type_ in pairs)).solve()
    return caught.value


def test_a_dimension_waits_for_a_later_argument() -> None:
    for early in (U * V, U * U, U * U + V, floor_divide(U, 2), floor_divide(U, 2) + V):
        bindings = Problem(
            (f32(early), f32(U, V)), (tensor(substitute(early, {"?u": 4, "?v": 3})), tensor(4, 3))
        ).solve()
        assert bindings.sizes == {"u": 4, "v": 3}


def test_a_dimension_that_waits_in_vain_is_a_mismatch() -> None:
    mismatch = mismatch_of((f32(U * V), tensor(6)))
    assert (mismatch.kind, mismatch.expected, mismatch.found, mismatch.axis) == ("size", "u*v", "6", 0)


def test_a_division_by_an_unknown_that_is_zero_is_a_mismatch() -> None:
    mismatch = mismatch_of((f32(U), tensor(0)), (f32(floor_divide(12, U)), tensor(3)))
    assert (mismatch.kind, mismatch.found) == ("size", "3")


def test_the_axis_of_a_broadcast_counts_the_dimensions_after_the_pack() -> None:
    mismatch = mismatch_of(
        (f32(PackPattern("B"), U, V), tensor(2, 5, 6)), (f32(PackPattern("B"), V, U), tensor(3, 6, 5))
    )
    assert (mismatch.kind, mismatch.name, mismatch.axis) == ("size", "*B", -3)


def test_sizes_that_are_open_match_only_themselves() -> None:
    b, t = symbol("b"), symbol("t")
    assert Problem((f32(U, U * V), f32(V)), (tensor(b, b * t), tensor(t))).solve().sizes == {"u": b, "v": t}
    assert mismatch_of((f32(U, U), tensor(b, t))).found == "t"
    assert mismatch_of((f32(2 * U), tensor(t))).expected == "2*u"
    assert mismatch_of((f32(4), tensor(t))).expected == "4"


def test_a_dtype_letter_stands_for_one_dtype() -> None:
    patterns = (TypePattern("f"), TypePattern("f"))
    assert Problem(patterns, (TensorType("f64"), TensorType("f64"))).solve().dtypes == {"f": "f64"}
    with pytest.raises(Mismatch) as caught:
        Problem(patterns, (TensorType("f64"), TensorType("f32"))).solve()
    assert (caught.value.kind, caught.value.expected, caught.value.found) == ("dtype", "f64", "f32")
    Problem((TypePattern("t1"), TypePattern("t2")), (TensorType("bool"), TensorType("i8"))).solve()
