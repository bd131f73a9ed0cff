"""Where the symbols of a graph get their values: each is read off the size of some axis of an input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netlang.dims import Dim, Size, Symbol, equal_for_multiples, substitute, symbols
from netlang.types import TensorType

from .ir import Value


@dataclass(frozen=True, slots=True)
class SymbolSource:
    """The axis that determines a symbol: `size of axis = scale * symbol + offset`."""

    value: Value
    axis: int
    scale: int = 1
    offset: int = 0

    @property
    def exact(self) -> bool:
        """Whether the axis is as long as the symbol says, without arithmetic."""
        return self.scale == 1 and self.offset == 0

    def solve(self, size: int) -> int | None:
        """The symbol's value where the axis is `size` long; None where that is no whole number from 0 on."""
        quotient, remainder = divmod(size - self.offset, self.scale)
        return quotient if remainder == 0 and quotient >= 0 else None


def where_multiples(sizes: Iterable[tuple[Size, Size]]) -> str | None:
    """A help text where a division that rounds down is all that keeps two open sizes apart."""
    found = (equal_for_multiples(a, b) for a, b in sizes if a != b)
    name, step = next((item for item in found if item is not None), (None, 0))
    return name and f"they are equal where {name} is a multiple of {step}, which an input declares as `{step} * {name}`"


def symbol_sources(values: Iterable[Value]) -> dict[str, SymbolSource]:
    """For each symbol that an axis of `values` determines, the best such axis: the first exact one, else the first."""
    sources: dict[str, SymbolSource] = {}
    for value in values:
        for axis, size in enumerate(value.type.shape):
            found = _affine(size)
            if found is None:
                continue
            name, scale, offset = found
            known = sources.get(name)
            source = SymbolSource(value, axis, scale, offset)
            if known is None or (source.exact and not known.exact):
                sources[name] = source
    return sources


def bind_symbols(values: Sequence[Value], shapes: Mapping[Value, tuple[int, ...]]) -> dict[str, int]:
    """The value of every symbol in the types of `values`, from their actual `shapes`.

    Raises ValueError where a shape does not fit its type or two of them disagree about a symbol.
    """
    bound: dict[str, int] = {}
    for value in values:
        if len(shapes[value]) != value.type.rank:
            raise ValueError(f"`{value.name}` must be {value.type}, found shape {list(shapes[value])}")
    for name, source in symbol_sources(values).items():
        solution = source.solve(shapes[source.value][source.axis])
        if solution is not None:
            bound[name] = solution
    for value in values:
        expected = tuple(substitute(size, bound) for size in value.type.shape)
        if expected != shapes[value]:
            known = ", ".join(f"{name} = {bound[name]}" for name in sorted(_names(value)) if name in bound)
            where = f" where {known}" if known else ""
            raise ValueError(f"`{value.name}` must be {value.type}{where}, found shape {list(shapes[value])}")
    return bound


def is_fresh(name: str) -> bool:
    """Whether a symbol is one that a node determines (`Builder.fresh`)."""
    return "#" in name


def static_shape(type_: TensorType) -> tuple[int, ...]:
    """The shape of a tensor none of whose sizes is open, as a variable must be. Raises ValueError."""
    shape = tuple(size for size in type_.shape if isinstance(size, int))
    if len(shape) != type_.rank:
        raise ValueError(f"a size of {type_} is open")
    return shape


def substitute_all(attribute: Any, values: Mapping[str, Size]) -> Any:
    """An attribute with the symbols in it replaced, tuples of sizes included."""
    if isinstance(attribute, Dim):
        return substitute(attribute, values)
    if isinstance(attribute, tuple):
        return tuple(substitute_all(item, values) for item in attribute)
    return attribute


def attribute_symbols(attribute: Any) -> frozenset[str]:
    """Names of the symbols in an attribute, tuples of sizes included."""
    if isinstance(attribute, Dim):
        return symbols(attribute)
    if isinstance(attribute, tuple):
        return frozenset().union(*(attribute_symbols(item) for item in attribute))
    return frozenset()


def _affine(size: Size) -> tuple[str, int, int] | None:
    """`(name, scale, offset)` where `size` is `scale * name + offset` with a positive scale."""
    if isinstance(size, int):
        return None
    terms = dict(size.terms)
    offset = terms.pop((), 0)
    if len(terms) != 1:
        return None
    ((monomial, scale),) = terms.items()
    if len(monomial) != 1 or scale <= 0:
        return None
    ((atom, power),) = monomial
    return (atom.name, scale, offset) if isinstance(atom, Symbol) and power == 1 else None


def _names(value: Value) -> set[str]:
    return {name for size in value.type.shape for name in symbols(size)}
