"""Sizes known only at run time, as ONNX nodes: read off the shapes of the inputs, computed once, shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import reduce
from itertools import zip_longest
from typing import Any

import numpy as np

from netlang.dims import Atom, Dim, Monomial, Opaque, Size, Symbol, symbols

from .ir import Value
from .shapes import SymbolSource, symbol_sources


class SizeEmitter:
    """The part of an emitter that turns sizes into ONNX values. Every size is computed as an i64 vector of length 1."""

    def __init__(self, sources: Iterable[Value]) -> None:
        self._sources = symbol_sources(sources)
        self._levels = dict.fromkeys(self._sources, 0)
        self._vectors: dict[tuple[Size, ...], str] = {}
        self._label = ""
        self._line = ""

    def determine(self, value: Value, level: int) -> None:
        """The symbols that only the shape of `value`, in a body of this depth, tells are known from here on."""
        for name, source in symbol_sources([value]).items():
            if name not in self._sources:
                self._sources[name] = source
                self._levels[name] = level

    def forget(self, level: int) -> None:
        """The symbols found in a body of this depth are not known outside it."""
        names = {name for name, found in self._levels.items() if found == level}
        for name in names:
            del self._sources[name], self._levels[name]
        for sizes in [sizes for sizes in self._vectors if any(names & symbols(size) for size in sizes)]:
            del self._vectors[sizes]

    def name_of(self, value: Value) -> str:
        """What a value is called in the ONNX graph."""
        raise NotImplementedError

    def at_level(self, level: int) -> AbstractContextManager[None]:
        """Nodes added inside go to the body of this depth around the present one; 0 is the whole graph."""
        raise NotImplementedError

    def node(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; returns the name of its result, or a tuple of names."""
        raise NotImplementedError

    def constant(self, array: np.ndarray | np.generic) -> str:
        """The name of an initialiser with this content."""
        raise NotImplementedError

    def sizes(self, sizes: Sequence[Size]) -> str:
        """An i64 vector of these sizes: an initialiser where all are known, else computed from shapes of inputs."""
        sizes = tuple(sizes)
        if all(isinstance(size, int) for size in sizes):
            return self.constant(np.array(sizes, np.int64))
        name = self._vectors.get(sizes)
        if name is None:
            label, line = self._label, self._line
            self._label, self._line = "sizes", ""  # shared by later nodes, so they name no single one
            name = self._shared(sizes, lambda: self._vector(sizes))
            self._label, self._line = label, line
        return name

    def size(self, size: Size) -> str:
        """An i64 scalar of this size."""
        if isinstance(size, int):
            return self.constant(np.array(size, np.int64))
        return self.node("Squeeze", self.sizes([size]), self.constant(np.zeros(1, np.int64)))

    def reshape(self, name: str, from_shape: Sequence[Size], to_shape: Sequence[Size]) -> str:
        """`name`, of shape `from_shape`, with the shape `to_shape`; any open size may turn out to be 0.

        Sizes are computed only where ONNX finds them in none of three ways: a constant pattern (`_pattern`), dropping
        axes of size 1, or adding some.
        """
        if tuple(from_shape) == tuple(to_shape):
            return name
        pattern = _pattern(from_shape, to_shape)
        if pattern is not None:
            return self.node("Reshape", name, self.sizes(pattern))
        for op_type, longer, shorter in (("Squeeze", from_shape, to_shape), ("Unsqueeze", to_shape, from_shape)):
            if ones := _ones(longer, shorter):
                return self.node(op_type, name, self.constant(np.array(ones)))
        return self.node("Reshape", name, self.sizes(to_shape), allowzero=1)

    def _vector(self, sizes: tuple[Size, ...]) -> str:
        pieces = [self._piece(run) for run in self._runs(sizes)]
        return pieces[0] if len(pieces) == 1 else self.node("Concat", *pieces, axis=0)

    def _runs(self, sizes: tuple[Size, ...]) -> list[tuple[Size, ...]]:
        """`sizes` cut into stretches that one node gives: constants, or axes of an input that follow each other."""
        runs: list[list[Size]] = []
        for size in sizes:
            if runs and self._follows(runs[-1][-1], size):
                runs[-1].append(size)
            else:
                runs.append([size])
        return [tuple(run) for run in runs]

    def _follows(self, before: Size, size: Size) -> bool:
        if isinstance(before, int) or isinstance(size, int):
            return isinstance(before, int) and isinstance(size, int)
        first, second = self._axis(before), self._axis(size)
        return first is not None and second is not None and (first.value, first.axis + 1) == (second.value, second.axis)

    def _piece(self, run: tuple[Size, ...]) -> str:
        if isinstance(run[0], int):
            return self.constant(np.array(run, np.int64))
        source, first = self._axis(run[0]), run[0]
        if source is None:
            return self._shared(run, lambda: self._polynomial(first))
        ends = {"start": source.axis, "end": source.axis + len(run)}
        return self._shared(run, lambda: self.node("Shape", self.name_of(source.value), **ends))

    def _shared(self, sizes: tuple[Size, ...], compute: Callable[[], str]) -> str:
        """What `compute` gives for `sizes`, once, in the outermost graph that knows their symbols."""
        name = self._vectors.get(sizes)
        if name is None:
            with self.at_level(max((self._levels[name] for size in sizes for name in symbols(size)), default=0)):
                name = self._vectors[sizes] = compute()
        return name

    def _axis(self, size: Size) -> SymbolSource | None:
        """The axis of an input that is exactly `size` long, where it is one symbol."""
        if isinstance(size, int) or len(size.terms) != 1:
            return None
        ((monomial, coefficient),) = size.terms
        if coefficient != 1 or len(monomial) != 1 or monomial[0][1] != 1 or not isinstance(monomial[0][0], Symbol):
            return None
        source = self._sources[monomial[0][0].name]
        return source if source.exact else None

    def _polynomial(self, size: Dim) -> str:
        terms = [self._term(monomial, coefficient) for monomial, coefficient in size.terms]
        return reduce(lambda total, term: self.node("Add", total, term), terms)

    def _term(self, monomial: Monomial, coefficient: int) -> str:
        factors = [self._atom(atom) for atom, power in monomial for _ in range(power)]
        if coefficient != 1 or not factors:
            factors.append(self._number(coefficient))
        return reduce(lambda product, factor: self.node("Mul", product, factor), factors)

    def _atom(self, atom: Atom) -> str:
        if isinstance(atom, Symbol):
            return self._symbol(atom)
        return self._shared((Dim(((((atom, 1),), 1),)),), lambda: self._opaque(atom))

    def _symbol(self, symbol: Symbol) -> str:
        source = self._sources[symbol.name]
        size = source.scale * Dim(((((symbol, 1),), 1),)) + source.offset
        ends = {"start": source.axis, "end": source.axis + 1}
        name = self._shared((size,), lambda: self.node("Shape", self.name_of(source.value), **ends))
        if source.offset:
            name = self.node("Sub", name, self._number(source.offset))
        return name if source.scale == 1 else self.node("Div", name, self._number(source.scale))

    def _opaque(self, atom: Opaque) -> str:
        left, right = self._piece((atom.left,)), self._piece((atom.right,))
        if atom.operator == "//":  # ONNX divides towards zero; taking the (floored) remainder off first makes it exact
            return self.node("Div", self.node("Sub", left, self.node("Mod", left, right)), right)
        return self.node({"min": "Min", "max": "Max"}[atom.operator], left, right)

    def _number(self, value: int) -> str:
        return self.constant(np.array([value], np.int64))


def _pattern(from_shape: Sequence[Size], to_shape: Sequence[Size]) -> list[int] | None:
    """The second shape as Reshape reads it: 0 for a size that stays at its axis, -1 for one that the others tell.

    None where that says too little. Beside a copied size there is no -1: nothing can be divided by a batch of 0.
    """
    if 0 in to_shape:  # which would be read as a copy
        return None
    kept = [size == before for size, before in zip_longest(to_shape, from_shape[: len(to_shape)])]
    sizes = [0 if same and isinstance(size, Dim) else size for size, same in zip(to_shape, kept, strict=True)]
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) < len(sizes) - 1 or (len(known) < len(sizes) and 0 in known):
        return None
    return [size if isinstance(size, int) else -1 for size in sizes]


def _ones(from_shape: Sequence[Size], to_shape: Sequence[Size]) -> list[int]:
    """The axes of size 1 without which the first shape is the second; none where more is needed."""
    axes: list[int] = []
    left = list(to_shape)
    for axis, size in enumerate(from_shape):
        if left and size == left[0]:
            left.pop(0)
        else:
            axes.append(axis)
    return axes if not left and all(from_shape[axis] == 1 for axis in axes) else []
