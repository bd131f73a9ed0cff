"""Types of tensors, patterns of such types, and the unifier that matches one against the other.

A pattern comes from a signature such as `x: f32[*s, i]`. Names that the signature leaves open are *unknowns*; matching
the types of the arguments binds them, and the result type is read off the bindings. The same unifier checks the
operators of the compiler and the layers and functions of the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from netlang.diagnostics import fail
from netlang.dims import Dim, Size, solve_linear, substitute, symbol, symbols
from netlang.source import Span

FLOATS = ("f16", "bf16", "f32", "f64")
INTEGERS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
DTYPES = (*FLOATS, *INTEGERS, "bool")
OPAQUE_DTYPES = (
    "string", "c64", "c128", "f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz", "f8e8m0", "f6e2m3", "f6e3m2", "f4e2m1",
    "i4", "u4", "i2", "u2",
)  # fmt: skip
"""What ONNX models hold besides: only operators kept as they are take them, so no class of dtypes has them."""

DTYPE_CLASSES = {"f": FLOATS, "i": INTEGERS, "n": (*FLOATS, *INTEGERS), "t": DTYPES}
"""Letters that stand for any dtype of a kind in operator signatures: float, integer, number, any."""

_DTYPE_WORDS = {
    "f": f"a float ({', '.join(FLOATS)})",
    "i": f"an integer ({', '.join(INTEGERS)})",
    "n": "a number (a float or an integer)",
    "t": "any",
}

MAX_ELEMENTS = 2**60
"""Elements of a tensor, so that its bytes can be counted in 64 bits."""

_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape of a tensor; a scalar has the empty shape."""

    dtype: str
    shape: tuple[Size, ...] = ()

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]" if self.shape else self.dtype


def require_extent(type_: TensorType, span: Span | None = None) -> None:
    """Raises DiagnosticError (`network-too-large`) for a type of more elements than any memory has, whatever the sizes
    are that stay open."""
    least = 1
    for size in type_.shape:
        factors = [abs(factor) for _, factor in size.terms] if isinstance(size, Dim) else [size]
        least *= max(1, *factors)
    if least > MAX_ELEMENTS:
        raise fail("network-too-large", f"a tensor has at most {MAX_ELEMENTS} elements", span, found=type_)


@dataclass(frozen=True, slots=True)
class PackPattern:
    """`*s`: any number of dimensions. An upper-case name (`*B`) broadcasts over its occurrences, as NumPy does."""

    name: str

    @property
    def broadcasts(self) -> bool:
        return self.name[0].isupper()

    def __str__(self) -> str:
        return f"*{self.name}"


@dataclass(frozen=True, slots=True)
class HolePattern:
    """`_`: a dimension that is not named."""

    def __str__(self) -> str:
        return "_"


DimPattern = Size | PackPattern | HolePattern


@dataclass(frozen=True, slots=True)
class TypePattern:
    """A tensor type with unknowns. `dtype` is a dtype, a class letter (`f`), or a numbered one (`t2`)."""

    dtype: str
    dims: tuple[DimPattern, ...] = ()

    def rank_fits(self, rank: int) -> bool:
        """Whether tensors of this rank can match."""
        packs = sum(isinstance(dim, PackPattern) for dim in self.dims)
        return rank >= len(self.dims) - packs if packs else rank == len(self.dims)

    def __str__(self) -> str:
        dims = ", ".join(str(dim).replace(_UNKNOWN, "") for dim in self.dims)
        return f"{self.dtype}[{dims}]" if self.dims else self.dtype


class Mismatch(Exception):
    """Why a type does not fit a pattern. `kind` is "dtype", "rank" or "size"; a negative `axis` counts from the end.

    `name` is the dimension, pack or dtype letter whose two values disagree, and `source` the argument that bound it.
    """

    def __init__(
        self, kind: str, expected: str, found: str, *, axis: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.kind = kind
        self.expected = expected
        self.found = found
        self.axis = axis
        self.name = name
        self.source: str | None = None


@dataclass
class Bindings:
    """What the unknowns of a signature stand for, and which argument said so first."""

    sizes: dict[str, Size] = field(default_factory=dict)
    packs: dict[str, tuple[Size, ...]] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def resolve(self, pattern: TypePattern) -> TensorType:
        """The type that `pattern` stands for. Raises KeyError with the name of an unknown that nothing bound."""
        shape: list[Size] = []
        for dim in pattern.dims:
            if isinstance(dim, PackPattern):
                shape.extend(self.packs[dim.name])
            elif isinstance(dim, HolePattern):
                raise KeyError("_")
            else:
                shape.append(self.size(dim))
        return TensorType(self.dtypes.get(pattern.dtype, pattern.dtype), tuple(shape))

    def size(self, size: Size) -> Size:
        """`size` with every unknown replaced. Raises KeyError with the name of one that nothing bound."""
        known = self.partly(size)
        for name in unknowns(known):
            raise KeyError(name)
        return known

    def partly(self, size: Size) -> Size:
        """`size` with those unknowns replaced that are bound."""
        if isinstance(size, int):
            return size
        if size.sole is not None:
            return self.sizes.get(size.sole[1:], size) if size.sole.startswith(_UNKNOWN) else size
        return substitute(size, {_UNKNOWN + name: value for name, value in self.sizes.items()})


def unknown(name: str) -> Size:
    """The size that a signature calls `name` and leaves open."""
    return symbol(_UNKNOWN + name)


def unknowns(size: Size) -> list[str]:
    """Names of the unknowns in `size`, sorted."""
    return sorted(name[1:] for name in symbols(size) if name.startswith(_UNKNOWN))


def dtype_fits(dtype: str, wanted: str) -> bool:
    """Whether `dtype` is `wanted`, or of the class that `wanted` names."""
    return dtype in DTYPE_CLASSES.get(wanted.rstrip("0123456789") if wanted not in DTYPES else "", (wanted,))


def unify_all(patterns: Sequence[TypePattern], types: Sequence[TensorType], names: Sequence[str]) -> Bindings:
    """Matches each type against its pattern; `names` are the arguments' names. Raises Mismatch (with `argument`)."""
    bindings = Bindings()
    deferred: list[tuple[int, int, Size, Size]] = []
    for index, (pattern, type_) in enumerate(zip(patterns, types, strict=True)):
        try:
            _unify_dtype(pattern.dtype, type_.dtype, bindings, names[index])
            for axis, dim, size in _align(pattern, type_, bindings, names[index]):
                if not _unify_size(dim, size, axis, bindings, names[index]):
                    deferred.append((index, axis, dim, size))
        except Mismatch as mismatch:
            raise _blamed(mismatch, names[index], bindings) from None
    _settle(deferred, bindings, names)
    return bindings


def broadcast(left: tuple[Size, ...], right: tuple[Size, ...]) -> tuple[Size, ...]:
    """The NumPy broadcast of two shapes. Raises Mismatch where sizes differ and neither is 1."""
    if len(left) < len(right):
        left = (1,) * (len(right) - len(left)) + left
    right = (1,) * (len(left) - len(right)) + right
    shape: list[Size] = []
    for axis, (a, b) in enumerate(zip(left, right, strict=True)):
        if a != b and 1 not in (a, b):
            raise Mismatch("size", str(a), str(b), axis=axis - len(left))
        shape.append(b if a == 1 else a)
    return tuple(shape)


def _unify_dtype(wanted: str, found: str, bindings: Bindings, argument: str) -> None:
    if not dtype_fits(found, wanted):
        letter = wanted.rstrip("0123456789") if wanted not in DTYPES else ""
        raise Mismatch("dtype", _DTYPE_WORDS.get(letter, wanted), found)
    if wanted in DTYPES:
        return
    bound = bindings.dtypes.setdefault(wanted, found)
    bindings.origins.setdefault(wanted, argument)
    if bound != found:
        raise Mismatch("dtype", bound, found, name=wanted)


def _align(pattern: TypePattern, type_: TensorType, bindings: Bindings, argument: str) -> list[tuple[int, Size, Size]]:
    """Pairs the single dimensions of the pattern with sizes; binds the pack, of which a pattern has at most one."""
    dims, shape = pattern.dims, type_.shape
    at = next((i for i, dim in enumerate(dims) if isinstance(dim, PackPattern)), None)
    if len(shape) < len(dims) - (at is not None) or (at is None and len(shape) != len(dims)):
        raise Mismatch("rank", str(pattern), str(type_))
    if at is None:
        pairs = list(enumerate(zip(dims, shape, strict=True)))
    else:
        tail = len(dims) - at - 1
        stop = len(shape) - tail
        _bind_pack(dims[at], shape[at:stop], at, tail, bindings, argument)
        pairs = list(enumerate(zip(dims[:at], shape[:at], strict=True)))
        pairs += [(stop + i, pair) for i, pair in enumerate(zip(dims[at + 1 :], shape[stop:], strict=True))]
    return [(axis, dim, size) for axis, (dim, size) in pairs if isinstance(dim, int | Dim)]


def _bind_pack(
    pack: DimPattern, found: tuple[Size, ...], at: int, tail: int, bindings: Bindings, argument: str
) -> None:
    """Binds or checks a pack that has `at` dimensions before it and `tail` after it."""
    assert isinstance(pack, PackPattern)
    bound = bindings.packs.get(pack.name)
    bindings.origins.setdefault(f"*{pack.name}", argument)
    if bound is None:
        bindings.packs[pack.name] = found
    elif pack.broadcasts:
        try:
            bindings.packs[pack.name] = broadcast(bound, found)
        except Mismatch as mismatch:
            assert mismatch.axis is not None
            mismatch.name, mismatch.axis = f"*{pack.name}", mismatch.axis - tail
            raise
    elif len(bound) != len(found):
        raise Mismatch("rank", _sizes(bound), _sizes(found), name=f"*{pack.name}")
    else:
        for offset, (a, b) in enumerate(zip(bound, found, strict=True)):
            if a != b:
                raise Mismatch("size", str(a), str(b), axis=at + offset, name=f"*{pack.name}")


def _unify_size(dim: Size, size: Size, axis: int, bindings: Bindings, argument: str) -> bool:
    """Binds or checks one dimension; False where it does not give its unknowns away."""
    try:
        known = bindings.partly(dim)
    except ZeroDivisionError:
        raise Mismatch("size", _written(dim), str(size), axis=axis) from None
    still_open = unknowns(known)
    if len(still_open) > 1:
        return False
    if not still_open:
        if known != size:
            named = unknowns(dim)
            raise Mismatch("size", str(known), str(size), axis=axis, name=named[0] if named else None)
        return True
    (name,) = still_open
    solution = solve_linear(known, _UNKNOWN + name, size)
    if solution is None:
        return False
    if isinstance(solution, int) and solution < 0:
        raise Mismatch("size", _written(known), str(size), axis=axis, name=name)
    bindings.sizes[name] = solution
    bindings.origins.setdefault(name, argument)
    return True


def _settle(deferred: list[tuple[int, int, Size, Size]], bindings: Bindings, names: Sequence[str]) -> None:
    """Dimensions such as `h*k`, which other arguments may have made solvable meanwhile."""
    while deferred:
        left = [d for d in deferred if not _retry(d, bindings, names)]
        if len(left) == len(deferred):
            index, axis, dim, size = left[0]
            known = bindings.partly(dim)
            still_open = unknowns(known)
            name = still_open[0] if len(still_open) == 1 else None
            mismatch = Mismatch("size", _written(known), str(size), axis=axis, name=name)
            raise _blamed(mismatch, names[index], bindings)
        deferred = left


def _retry(item: tuple[int, int, Size, Size], bindings: Bindings, names: Sequence[str]) -> bool:
    index, axis, dim, size = item
    try:
        return _unify_size(dim, size, axis, bindings, names[index])
    except Mismatch as mismatch:
        raise _blamed(mismatch, names[index], bindings) from None


def _blamed(mismatch: Mismatch, argument: str, bindings: Bindings) -> Mismatch:
    """`mismatch` with the argument at which it showed, and the one that said otherwise before."""
    mismatch.add_note(argument)
    source = bindings.origins.get(mismatch.name or "")
    mismatch.source = source if source != argument else None
    return mismatch


def _written(size: Size) -> str:
    """`size` as its author wrote it, unknowns by their names."""
    return str(size).replace(_UNKNOWN, "")


def _sizes(shape: tuple[Size, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
