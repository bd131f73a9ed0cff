"""Writes what belongs to one class of each row, instead of multiplying with a row of ones and zeros."""

from __future__ import annotations

from netlang.dims import Size

from ..builder import Builder
from ..ir import Graph, Node, Value
from ..ops.indexing import from_start
from .algebra_common import made_by
from .dead import dead
from .rebuild import Results, rebuild


def targets(graph: Graph) -> Graph:
    """Rewrites sums and differences with `column · one_hot(index)` to an addition at the positions of `index`.

    The gradient of a cross entropy, `column · one_hot(target) - exp(log_p) · sum(column · one_hot(target))`, so takes
    three passes over the logits instead of seven. Only for positions that the loss reads: one outside, for which
    `one_hot` gives zeros, is an error there.
    """
    return dead(rebuild(graph, _Targets().rewritten))


class _Targets:
    """What is known while a graph is rebuilt: positions, counted from the start, read among so many classes."""

    def __init__(self) -> None:
        self._read: set[tuple[Value, Size]] = set()

    def rewritten(self, b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        """What stands for a node whose inputs have become `inputs`."""
        match node.op:
            case "take_along":
                classes = inputs[0].type.shape[-1]
                self._read.add((from_start(b, inputs[1], classes), classes))
            case "sum" if _is_last(node):
                return self._row_sums(b, *inputs)
            case "sub":
                return self._difference(b, *inputs)
        return None

    def _row_sums(self, b: Builder, x: Value) -> Value | None:
        """The sum over the classes of ones at the targets, with or without a column, and with another column added."""
        shape = (*x.type.shape[:-1], 1)
        if self._index_of(b, x):
            return b.full(shape=shape, value=1.0, dtype=x.type.dtype)
        if hits := self._column_at(b, x):
            return _as_column(b, hits[0], shape)
        added = made_by(b, x, "add")
        for column, other in (added.inputs, added.inputs[::-1]) if added else ():
            if column.type.shape == shape and (hits := self._column_at(b, other)):
                classes = x.type.shape[-1]
                count = float(classes) if isinstance(classes, int) else b.cast(b.dim(size=classes), dtype="f32")
                return b.add(b.mul(column, count), _as_column(b, hits[0], shape))
        return None

    def _difference(self, b: Builder, x: Value, y: Value) -> Value | None:
        """(column · one_hot) - y, and (u + column · one_hot) - y."""
        if x.type.shape != y.type.shape:
            return None
        if hits := self._column_at(b, x):
            return _written(b, b.neg(y), *hits)
        added = made_by(b, x, "add")
        for u, other in (added.inputs, added.inputs[::-1]) if added else ():
            if other.type.shape == y.type.shape and (hits := self._column_at(b, other)):
                return _written(b, b.sub(u, y), *hits)
        return None

    def _column_at(self, b: Builder, x: Value) -> tuple[Value, Value] | None:
        """`(column, index)` where x is column · one_hot(index); the column has an element for each row, or is a
        number."""
        product = made_by(b, x, "mul")
        for column, ones in (product.inputs, product.inputs[::-1]) if product else ():
            index = self._index_of(b, ones)
            if index and x.type.shape == ones.type.shape and column.type.shape in ((), (*x.type.shape[:-1], 1)):
                return column, index
        return None

    def _index_of(self, b: Builder, x: Value) -> Value | None:
        """The positions of which x is one_hot, where they are read."""
        hit = made_by(b, x, "one_hot")
        return hit.inputs[0] if hit and (hit.inputs[0], x.type.shape[-1]) in self._read else None


def _is_last(node: Node) -> bool:
    axis, rank = node.attributes["axis"], node.inputs[0].type.rank
    return axis in ((-1,), (rank - 1,)) and node.attributes["keepdims"]


def _written(b: Builder, x: Value, column: Value, index: Value) -> Value:
    shape = (*x.type.shape[:-1], 1)
    places = b.reshape(index, shape=shape)
    return b.scatter_elements(x, places, _as_column(b, column, shape), axis=-1, reduction="add")


def _as_column(b: Builder, column: Value, shape: tuple) -> Value:
    return column if column.type.shape == shape else b.expand(column, shape=shape)
