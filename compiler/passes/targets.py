"""Writes what belongs to one class of each row, instead of multiplying with a row of ones and zeros."""

from __future__ import annotations

from ..builder import Builder
from ..ir import Graph, Node, Value
from .algebra_common import made_by
from .dead import dead
from .rebuild import Results, rebuild


def targets(graph: Graph) -> Graph:
    """Rewrites sums and differences with `column · one_hot(index)` to an addition at the positions of `index`.

    The gradient of a cross entropy, `column · one_hot(target) - exp(log_p) · sum(column · one_hot(target))`, so takes
    three passes over the logits instead of seven. Positions outside count as an error, as they do in the loss.
    """

    def rewritten(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        match node.op:
            case "sum" if _is_last(node):
                return _row_sums(b, *inputs)
            case "sub":
                return _difference(b, *inputs)
        return None

    return dead(rebuild(graph, rewritten))


def _is_last(node: Node) -> bool:
    axis, rank = node.attributes["axis"], node.inputs[0].type.rank
    return axis in ((-1,), (rank - 1,)) and node.attributes["keepdims"]


def _row_sums(b: Builder, x: Value) -> Value | None:
    """The sum over the classes of ones at the targets, with or without a column, and with another column added."""
    shape = (*x.type.shape[:-1], 1)
    if made_by(b, x, "one_hot"):
        return b.full(shape=shape, value=1.0, dtype="f32")
    if hits := _column_at(b, x):
        return _as_column(b, hits[0], shape)
    added = made_by(b, x, "add")
    for column, other in (added.inputs, added.inputs[::-1]) if added else ():
        if column.type.shape == shape and (hits := _column_at(b, other)):
            classes = x.type.shape[-1]
            count = float(classes) if isinstance(classes, int) else b.cast(b.dim(size=classes), dtype="f32")
            return b.add(b.mul(column, count), _as_column(b, hits[0], shape))
    return None


def _difference(b: Builder, x: Value, y: Value) -> Value | None:
    """(column · one_hot) - y, and (u + column · one_hot) - y."""
    if x.type.shape != y.type.shape:
        return None
    if hits := _column_at(b, x):
        return _written(b, b.neg(y), *hits)
    added = made_by(b, x, "add")
    for u, other in (added.inputs, added.inputs[::-1]) if added else ():
        if other.type.shape == y.type.shape and (hits := _column_at(b, other)):
            return _written(b, b.sub(u, y), *hits)
    return None


def _column_at(b: Builder, x: Value) -> tuple[Value, Value] | None:
    """`(column, index)` where x is column · one_hot(index); the column has an element for each row, or is a number."""
    product = made_by(b, x, "mul")
    for column, ones in (product.inputs, product.inputs[::-1]) if product else ():
        hit = made_by(b, ones, "one_hot")
        if hit and x.type.shape == ones.type.shape and column.type.shape in ((), (*x.type.shape[:-1], 1)):
            return column, hit.inputs[0]
    return None


def _written(b: Builder, x: Value, column: Value, index: Value) -> Value:
    shape = (*x.type.shape[:-1], 1)
    places = b.reshape(index, shape=shape)
    return b.scatter_elements(x, places, _as_column(b, column, shape), axis=-1, reduction="add")


def _as_column(b: Builder, column: Value, shape: tuple) -> Value:
    return column if column.type.shape == shape else b.expand(column, shape=shape)
