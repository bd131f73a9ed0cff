"""Builds graphs: infers types, shares equal nodes, folds constants, and remembers where each node came from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np

from netlang.dims import Dim, Size, symbol, symbols
from netlang.source import BUILTIN, Span
from netlang.types import TensorType

from .demands import Demand
from .dtypes import dtype_name, numpy_dtype
from .ir import Constant, Graph, Init, Input, Node, Output, Value, Variable
from .op import REQUIRED, Op
from .ops import OPS
from .shapes import is_fresh

FOLD_LIMIT = 1 << 16
"""Largest number of elements that folding may put into a graph as a constant; larger ones are computed at run time."""

INTERNAL = frozenset(name for name, op in OPS.items() if re.search(r": (?:graph|constant)\b", op.text))
"""Operators that take what only the compiler can give them: a graph, or a constant, which may be large.

Seen in the text: to parse every signature would take longer than to parse a short program.
"""

Operand = Value | int | float | bool | np.ndarray


class Builder:
    """Appends nodes to a growing graph. Every operator is a method: `b.matmul(x, w)`, `b.sum(x, axis=(0,))`.

    Numbers among the operands become constants of the dtype of the first tensor operand. `b.at(loc, scope)` sets what
    new nodes remember. Equal applications give the same value: operators are pure.

    `b.inner(name)` begins a body for a node on graphs (`compiler.control`). Values of the graph around it may be
    operands in it; parameters made in it belong to the outermost graph.
    """

    def __init__(self, name: str = "graph", outer: Builder | None = None) -> None:
        self.name = name
        self.outer = outer
        self.nodes: list[Node] = []
        self.inputs: list[Input] = []
        self.variables: list[Variable] = []
        self.outputs: list[Output] = []
        self.loc: Span = outer.loc if outer else BUILTIN
        self.scope = outer.scope if outer else ""
        self.differentiated = False
        self.demands: list[Demand] = []
        self.bodies: dict[tuple[Any, ...], Graph] = {}
        self._fresh = 0
        self._shared: dict[tuple[Any, ...], tuple[Value, ...]] = {}
        self._constants: dict[Value, np.ndarray] = {}
        self._producers: dict[Value, Node] = {}

    def inner(self, name: str) -> Builder:
        """A builder for a body of a node of this graph."""
        return Builder(name, self)

    @contextmanager
    def unshared(self) -> Iterator[None]:
        """Applications inside give new values even where equal ones are there."""
        before, self._shared = self._shared, {}
        try:
            yield
        finally:
            self._shared = before

    @property
    def root(self) -> Builder:
        """The builder of the outermost graph."""
        return self if self.outer is None else self.outer.root

    def adopt(self, graph: Graph) -> None:
        """Goes on where `graph` ends: takes over its inputs, variables and nodes as they are."""
        self.reserve(graph)
        self.inputs.extend(graph.inputs)
        self.variables.extend(graph.variables)
        for node in graph.nodes:
            self.nodes.append(node)
            self._producers.update(dict.fromkeys(node.outputs, node))
            self._shared.setdefault(_key(node.op, node.inputs, node.attrs), node.outputs)
            if node.op == "constant":
                self._constants[node.outputs[0]] = node.attributes["value"].array

    def replace(self, node: Node, wider: Node) -> None:
        """Puts `wider`, whose first results are those of `node`, in its place."""
        assert wider.outputs[: len(node.outputs)] == node.outputs
        self.nodes[self.nodes.index(node)] = wider
        self._producers.update(dict.fromkeys(wider.outputs, wider))

    def reserve(self, graph: Graph) -> None:
        """Keeps the symbols that nodes of `graph` determine from being made again."""
        self.root._fresh = max(self.root._fresh, last_fresh(graph))

    def fresh(self, stem: str) -> Dim:
        """A symbol of its own, for a size that a node determines."""
        root = self.root
        root._fresh += 1
        return symbol(f"{stem}#{root._fresh}")

    @contextmanager
    def at(self, loc: Span, scope: str | None = None) -> Iterator[None]:
        """Nodes made inside remember `loc` and, where given, `scope`."""
        before = self.loc, self.scope
        self.loc, self.scope = loc, self.scope if scope is None else scope
        try:
            yield
        finally:
            self.loc, self.scope = before

    def input(self, name: str, type_: TensorType, role: str = "data", **about: Any) -> Value:
        """A new graph input; `about` are further fields of `Input`."""
        value = Value(type_, name)
        self.inputs.append(Input(value, role, **about))
        return value

    def variable(self, name: str, type_: TensorType, kind: str, init: Init, **flags: Any) -> Value:
        """A new parameter, state or optimizer state."""
        if self.outer is not None:
            return self.outer.variable(name, type_, kind, init, **flags)
        value = Value(type_, name)
        self.variables.append(Variable(value, kind, init, **flags))
        return value

    def output(self, name: str, value: Value, role: str = "result") -> None:
        """Makes `value` an output of the graph."""
        self.outputs.append(Output(name, value, role))

    def graph(self, **metadata: str) -> Graph:
        """The graph built so far."""
        return Graph(
            self.name,
            tuple(self.inputs),
            tuple(self.variables),
            tuple(self.nodes),
            tuple(self.outputs),
            metadata,
            self.differentiated,
            tuple(self.demands),
        )

    def constant(self, value: Any, dtype: str | None = None) -> Value:
        """A constant tensor; Python numbers default to f32, i64 and bool."""
        with np.errstate(over="ignore"):  # beyond the floats of that width is infinity
            array = np.asarray(value, numpy_dtype(dtype) if dtype else _default_dtype(value))
        return self._emit("constant", (), {"value": Constant(array)}, OPS["constant"])[0]

    def constant_value(self, value: Value) -> np.ndarray | None:
        """The array of a constant, or None for what is known only at run time."""
        array = self._constants.get(value)
        return array if array is not None or self.outer is None else self.outer.constant_value(value)

    def producer(self, value: Value) -> Node | None:
        """The node that computes `value`, or None for inputs and variables."""
        node = self._producers.get(value)
        return node if node is not None or self.outer is None else self.outer.producer(value)

    def t(self, x: Value) -> Value:
        """`x` with its last two axes swapped."""
        rank = x.type.rank
        return self.transpose(x, perm=(*range(rank - 2), rank - 1, rank - 2))

    def apply(self, name: str, operands: Sequence[Operand], attrs: dict[str, Any]) -> Value | tuple[Value, ...]:
        """Applies the operator called `name`; a tuple where it has several results.

        Raises netlang.types.Mismatch (note: the argument's name) or DiagnosticError where types do not fit.
        """
        op = OPS[name]
        inputs = self._lift(operands)
        if self.outer is not None:
            inputs = tuple(map(self._own_constant, inputs))
        outputs = self._emit(name, inputs, self._complete(op, attrs), op)
        return outputs[0] if len(outputs) == 1 and not op.multiple else outputs

    def __getattr__(self, name: str) -> Any:
        if name not in OPS:
            raise AttributeError(name)
        return partial(self._call, name)

    def _call(self, name: str, *operands: Operand, **attrs: Any) -> Any:
        return self.apply(name, operands, attrs)

    def _own_constant(self, value: Value) -> Value:
        """A constant of the graph around becomes one of this graph, so that it folds and is no capture."""
        if self.outer is None or value in self._producers:
            return value
        array = self.outer.constant_value(value)
        return value if array is None else self.constant(array, value.type.dtype)

    def _lift(self, operands: Sequence[Operand]) -> tuple[Value, ...]:
        dtype: str | None = None
        for operand in operands:
            if isinstance(operand, Value) and operand.type.dtype != "bool":
                dtype = operand.type.dtype  # which numbers get
                break
        return tuple([x if isinstance(x, Value) else self._lifted(x, dtype) for x in operands])

    def _lifted(self, operand: int | float | bool | np.ndarray, dtype: str | None) -> Value:
        return self.constant(operand, dtype_name(operand.dtype) if isinstance(operand, np.ndarray) else dtype)

    def _complete(self, op: Op, attrs: dict[str, Any]) -> dict[str, Any]:
        full: dict[str, Any] = {}
        for attribute in op.signature.attributes:
            value = attrs.get(attribute.name, attribute.default)
            if value is REQUIRED and attribute.name in op.determines:
                value = self.fresh(op.name)
            if value is REQUIRED:
                raise TypeError(f"{op.name} needs `{attribute.name}`")
            if attribute.type in ("ints", "sizes") and value is not None:
                value = tuple(value) if isinstance(value, list | tuple) else (value,)
            full[attribute.name] = value
        if not attrs.keys() <= full.keys():
            raise TypeError(f"{op.name} has no {sorted(attrs.keys() - full.keys())}")
        return full

    def _emit(self, name: str, inputs: tuple[Value, ...], attrs: dict[str, Any], op: Op) -> tuple[Value, ...]:
        items = tuple(sorted(attrs.items()))
        key = _key(name, inputs, items)
        shared = self._shared.get(key)
        if shared is not None:
            return shared
        given = [x.type for x in inputs]
        types = op.infer(given, attrs) if name in INTERNAL else _inferred(name, tuple(given), items)
        outputs = self._folded(op, inputs, attrs, types) or self._append(name, inputs, items, types)
        self._shared[key] = outputs
        if name == "constant":
            self._constants[outputs[0]] = attrs["value"].array
        return outputs

    def _append(
        self, name: str, inputs: tuple[Value, ...], items: tuple[tuple[str, Any], ...], types: Sequence[TensorType]
    ) -> tuple[Value, ...]:
        stem = f"{name}_{len(self.nodes)}"
        outputs = tuple([Value(type_, stem if not i else f"{stem}.{i}") for i, type_ in enumerate(types)])
        node = Node(name, inputs, items, outputs, self.loc, self.scope)
        self.nodes.append(node)
        for output in outputs:
            self._producers[output] = node
        return outputs

    def _folded(
        self, op: Op, inputs: tuple[Value, ...], attrs: dict[str, Any], types: Sequence[TensorType]
    ) -> tuple[Value, ...] | None:
        """The constants that this application is worth, where its inputs are constants and the result is small."""
        if (
            op.name == "constant"
            or not op.foldable
            or op.numpy is None
            or any(x not in self._constants for x in inputs)
        ):
            return None
        if any(_is_symbolic(value) for value in attrs.values()):
            return None
        if any(_elements(type_) > FOLD_LIMIT for type_ in types):
            return None
        if any(0 in x.type.shape for x in inputs):  # NumPy has no maximum of nothing; that fault belongs to the run
            return None
        with np.errstate(all="ignore"):  # infinities and NaNs are results here, as they are at run time
            results = op.numpy(*(self._constants[x] for x in inputs), **attrs)
        results = results if isinstance(results, tuple) else (results,)
        return tuple(self.constant(r, type_.dtype) for r, type_ in zip(results, types, strict=True))


@lru_cache(maxsize=1 << 13)
def _inferred(name: str, types: tuple[TensorType, ...], attrs: tuple[tuple[str, Any], ...]) -> tuple[TensorType, ...]:
    """The types of the results; remembered, since most nodes repeat those of another layer or of another graph."""
    return OPS[name].infer(list(types), dict(attrs))


def _key(name: str, inputs: tuple[Value, ...], attrs: tuple[tuple[str, Any], ...]) -> tuple[Any, ...]:
    """Equal for equal applications; the types keep 1, 1.0 and True apart."""
    return (name, inputs, attrs, tuple(type(value) for _, value in attrs))


def last_fresh(graph: Graph) -> int:
    """The highest number of a symbol made by `Builder.fresh`."""
    last = 0
    for node in graph.nodes:
        given = (node.attributes[name] for name in OPS[node.op].determines)
        for size in (size for value in given for size in (value if isinstance(value, tuple) else (value,))):
            for symbol_name in symbols(size):
                last = max(last, int(symbol_name.rpartition("#")[2]) if is_fresh(symbol_name) else 0)
        last = max((last, *map(last_fresh, node.bodies)))
    return last


def _elements(type_: TensorType) -> int:
    count = 1
    for size in type_.shape:
        count *= size if isinstance(size, int) else FOLD_LIMIT + 1
    return count


def _is_symbolic(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(_is_symbolic(item) for item in value)
    return isinstance(value, Dim) and bool(symbols(value))


def _default_dtype(value: Any) -> np.dtype[Any]:
    array = np.asarray(value)
    if isinstance(value, np.ndarray | np.generic):
        return array.dtype
    return np.dtype(np.float32) if array.dtype.kind == "f" else array.dtype


def size_of(shape: Sequence[Size]) -> Size:
    """The number of elements of a shape."""
    product: Size = 1
    for size in shape:
        product = product * size
    return product
