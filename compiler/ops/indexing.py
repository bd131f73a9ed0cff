"""Reading at positions that other tensors name."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Size, decide_less
from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import bad_value, listed, normal_axis, product, shape_mismatch
from .reference import torch
from .source import check_sizes

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

Ints = tuple[int, ...]

_ROWS = np.array([2, 0, 2, -1])
_PAIRS = np.array([[0, 1, 2], [3, 3, -4]])
_PLACES = np.array([[[0, 1], [1, -1]], [[0, 1], [-2, 0]]])


def as_i64(e: Emitter, node: Node, index: str, position: int = 1) -> str:
    """The name of the input at `position`, in 64 bits."""
    dtype = node.inputs[position].type.dtype
    return index if dtype == "i64" else e.node("Cast", index, to=e.onnx_dtype("i64"))


def as_index(e: Emitter, node: Node, index: str, position: int = 1) -> str:
    """The name of the input at `position`, in one of the two widths that ONNX's operators on positions read."""
    dtype = node.inputs[position].type.dtype
    return index if dtype == "i32" else as_i64(e, node, index, position)


def from_start(b: Builder, index: Value, size: Size) -> Value:
    """Positions counted from the start, where negative ones count from the end."""
    dtype = index.type.dtype
    length = size if isinstance(size, int) else b.cast(b.dim(size=size), dtype=dtype)
    return b.select(b.less(index, 0), b.add(index, length), index)


def zeros_like(b: Builder, x: Value) -> Value:
    """Zeros of the type of x."""
    return b.full(shape=x.type.shape, value=0.0, dtype=x.type.dtype)


def check_beside(x: TensorType, index: TensorType, axis: int) -> None:
    """Raises DiagnosticError unless `index` has the rank of x, and no axis but `axis` longer than that of x."""
    at = normal_axis(axis, x.rank)
    longer = (i != at and decide_less(x.shape[i], index.shape[i]) for i in range(min(x.rank, index.rank)))
    if x.rank != index.rank or any(longer):
        title = f"positions along axis {axis} have the axes of x, none of the others longer"
        raise shape_mismatch(title, f"like {listed(x.shape)}", listed(index.shape))


def beside(index: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """The index of NumPy that replaces the position along `axis` by `index`, and keeps all others."""
    along: list[np.ndarray] = list(np.indices(index.shape, sparse=True))
    along[axis] = index
    return tuple(along)


def at_positions(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """The meaning of an operator where a position outside is an error (`bad-index`), as it is at run time."""

    @wraps(function)
    def checked(*arrays: np.ndarray, **attributes: Any) -> np.ndarray:
        try:
            return function(*arrays, **attributes)
        except IndexError as error:
            raise fail("bad-index", f"a position lies outside the tensor: {error}") from None

    return checked


# --- gather: whole slices ------------------------------------------------------------------------------------------


def _gather_shape(x: TensorType, index: TensorType, axis: int) -> TensorType:
    at = normal_axis(axis, x.rank)
    return TensorType(x.dtype, (*x.shape[:at], *index.shape, *x.shape[at + 1 :]))


def _gather_vjp(b: Builder, g: Value, y: Value, x: Value, index: Value, axis: int) -> tuple[Value, None]:
    at, rank, taken = normal_axis(axis, x.type.rank), g.type.rank, index.type.rank
    rows = x.type.shape[at]
    if at == 0:
        return b.scatter_rows(g, index, rows=rows), None
    first = (*range(at, at + taken), *range(at), *range(at + taken, rank))
    total = b.scatter_rows(b.transpose(g, perm=first), index, rows=rows)
    back = (*range(1, at + 1), 0, *range(at + 1, x.type.rank))
    return b.transpose(total, perm=back), None


def _gather_onnx(e: Emitter, node: Node, x: str, index: str) -> str:
    return e.node("Gather", x, as_index(e, node, index), axis=node.attributes["axis"])


# --- elements ------------------------------------------------------------------------------------------------------


def _take_along_numpy(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(x, index[..., None], -1)[..., 0]


def _take_along_vjp(b: Builder, g: Value, y: Value, x: Value, index: Value) -> tuple[Value, None]:
    classes = x.type.shape[-1]
    taken = b.one_hot(from_start(b, index, classes), classes=classes)
    column = b.reshape(g, shape=(*g.type.shape, 1))
    return b.mul(column, b.cast(taken, dtype=g.type.dtype)), None


def _take_along_onnx(e: Emitter, node: Node, x: str, index: str) -> str:
    last = e.constant(np.array([-1]))
    column = e.node("Unsqueeze", as_index(e, node, index), last)
    return e.node("Squeeze", e.node("GatherElements", x, column, axis=-1), last)


def _gather_elements_shape(x: TensorType, index: TensorType, axis: int) -> TensorType:
    check_beside(x, index, axis)
    return TensorType(x.dtype, index.shape)


def _gather_elements_vjp(b: Builder, g: Value, y: Value, x: Value, index: Value, axis: int) -> tuple[Value, None]:
    return b.scatter_elements(zeros_like(b, x), index, g, axis=axis, reduction="add"), None


def _gather_elements_onnx(e: Emitter, node: Node, x: str, index: str) -> str:
    return e.node("GatherElements", x, as_index(e, node, index), axis=node.attributes["axis"])


# --- gather_nd -----------------------------------------------------------------------------------------------------


def depth(index: TensorType) -> int:
    """How many coordinates a position has. Raises DiagnosticError where that is not known while compiling."""
    count = index.shape[-1] if index.rank else 0
    if not isinstance(count, int) or count < 1:
        title = "the last axis of `index` holds the coordinates of a position, so its size is known and above 0"
        raise shape_mismatch(title, "[…, coordinates]", listed(index.shape))
    return count


def places(index: np.ndarray, batch_dims: int = 0) -> tuple[np.ndarray, ...]:
    """The index of NumPy that `index[…, coordinates]` means, the first `batch_dims` axes going along with x."""
    outer = index.shape[:-1]
    along = np.indices(outer, sparse=True)[:batch_dims]
    return (*along, *np.moveaxis(index, -1, 0))


def _gather_nd_shape(x: TensorType, index: TensorType, batch_dims: int) -> TensorType:
    leading = batch_dims + depth(index)
    if not 0 <= batch_dims < index.rank:
        raise bad_value("`batch_dims` counts axes of `index` before the last", f"0 to {index.rank - 1}", batch_dims)
    if leading > x.rank or x.shape[:batch_dims] != index.shape[:batch_dims]:
        title = f"positions of {depth(index)} coordinates after {batch_dims} common axes do not fit {listed(x.shape)}"
        raise shape_mismatch(title, f"at most {x.rank} axes, the first {batch_dims} alike", listed(index.shape))
    return TensorType(x.dtype, (*index.shape[:-1], *x.shape[leading:]))


def row_numbers(b: Builder, shape: tuple[Size, ...], index: Value, batch_dims: int = 0) -> Value:
    """The number of each position among all places of `shape`, counted row by row."""
    numbers = b.reshape(b.iota(count=product(shape)), shape=shape)
    return b.gather_nd(numbers, index, batch_dims=batch_dims)


def _gather_nd_vjp(b: Builder, g: Value, y: Value, x: Value, index: Value, batch_dims: int) -> tuple[Value, None]:
    leading = x.type.shape[: batch_dims + depth(index.type)]
    rows = row_numbers(b, leading, index, batch_dims)
    return b.reshape(b.scatter_rows(g, rows, rows=product(leading)), shape=x.type.shape), None


def _gather_nd_onnx(e: Emitter, node: Node, x: str, index: str) -> str:
    return e.node("GatherND", x, as_i64(e, node, index), batch_dims=node.attributes["batch_dims"])


# --- one_hot -------------------------------------------------------------------------------------------------------


def _one_hot_numpy(index: np.ndarray, classes: int) -> np.ndarray:
    return (index[..., None] == np.arange(classes)).astype(np.float32)


def _one_hot_shape(index: TensorType, classes: Size) -> TensorType:
    check_sizes(classes)
    return TensorType("f32", (*index.shape, classes))


def _one_hot_onnx(e: Emitter, node: Node, index: str) -> str:
    # A comparison costs a fifth of ONNX's OneHot, which also counts negative positions from the end.
    column = e.node("Unsqueeze", as_i64(e, node, index, 0), e.constant(np.array([-1])))
    classes: Size = node.attributes["classes"]
    if isinstance(classes, int):
        positions = e.constant(np.arange(classes))
    else:
        positions = e.node("Range", e.constant(np.array(0)), e.size(classes), e.constant(np.array(1)))
    return e.node("Cast", e.node("Equal", column, positions), to=e.onnx_dtype("f32"))


# --- topk ----------------------------------------------------------------------------------------------------------


def _topk_shape(x: TensorType, k: Size, axis: int, largest: bool, sorted: bool) -> tuple[TensorType, TensorType]:
    at = normal_axis(axis, x.rank)
    if decide_less(k, 0) or decide_less(x.shape[at], k):
        raise bad_value(f"an axis of size {x.shape[at]} has no {k} elements", f"0 to {x.shape[at]}", k)
    shape = (*x.shape[:at], k, *x.shape[at + 1 :])
    return TensorType(x.dtype, shape), TensorType("i64", shape)


def _topk_numpy(x: np.ndarray, k: int, axis: int, largest: bool, sorted: bool) -> tuple[np.ndarray, np.ndarray]:
    size = x.shape[axis]
    order = np.argsort(np.flip(x, axis) if largest else x, axis, kind="stable")
    if largest:  # turned around before and after, so that the first of equal elements comes first
        order = np.flip(size - 1 - order, axis)
    index = np.take(order, np.arange(k), axis)
    return np.take_along_axis(x, index, axis), index


def _topk_vjp(
    b: Builder, g: tuple[Value | None, Value | None], y: tuple[Value, Value], x: Value, axis: int, **_: Any
) -> tuple[Value | None]:
    if g[0] is None:
        return (None,)
    return (b.scatter_elements(zeros_like(b, x), y[1], g[0], axis=axis),)


def _topk_onnx(e: Emitter, node: Node, x: str) -> tuple[str, str]:
    attributes = node.attributes
    flags = {name: int(attributes[name]) for name in ("largest", "sorted")}
    return e.node("TopK", x, e.sizes([attributes["k"]]), outputs=2, axis=attributes["axis"], **flags)


def _sort_shape(x: TensorType, axis: int, descending: bool) -> tuple[TensorType, TensorType]:
    normal_axis(axis, x.rank)
    return x, TensorType("i64", x.shape)


def _sort_body(b: Builder, x: Value, axis: int, descending: bool) -> tuple[Value, Value]:
    size = x.type.shape[normal_axis(axis, x.type.rank)]
    return b.topk(x, k=size, axis=axis, largest=descending)


def _torch_topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> Any:
    return torch.topk(x, k, axis, largest)[0]  # positions of equal elements may differ


OPERATORS: tuple[Op, ...] = (
    Op(
        "gather(x: t[*s], index: i[*k], axis: int = 0) -> t",
        doc="The slices of x at the given positions along an axis, which is replaced by the axes of `index`. "
        "Positions in an axis of size n lie in -n … n - 1; negative ones count from the end.",
        numpy=at_positions(np.take),
        vjp=_gather_vjp,
        shape=_gather_shape,
        onnx=_gather_onnx,
        samples=(
            S((3, 4), _ROWS, torch=lambda x, index: x[index]),
            S((4, 2, 3), _PAIRS, torch=lambda x, index: x[index]),
            S((5,), np.array(2), torch=lambda x, index: x[index]),
            S((300, 4), np.array([299, 7, 7, 0], np.int32), torch=lambda x, index: x[index]),
            S(np.arange(6).reshape(3, 2), _ROWS, torch=lambda x, index: x[index]),
            S((2, 4, 3), _PAIRS, axis=1, torch=lambda x, index, axis: x[:, index]),
            S((2, 2, 3), _ROWS, axis=-1, torch=lambda x, index, axis: x[..., index]),
            S((4, 3, 2), np.array(-2), axis=1, torch=lambda x, index, axis: x[:, index]),
            S((3, 1), np.zeros((0, 2), np.int64), torch=lambda x, index: x[index]),
            Bad((3, 4), (2,), code="type-mismatch"),
            Bad((), _ROWS, code="bad-axis"),
            Bad((3, 4), _ROWS, axis=2, code="bad-axis"),
        ),
    ),
    Op(
        "take_along(x: t[*s, c], index: i[*s]) -> t[*s]",
        doc="From each last axis of x the element at its position, which lies in -c … c - 1.",
        numpy=at_positions(_take_along_numpy),
        vjp=_take_along_vjp,
        onnx=_take_along_onnx,
        samples=(
            S((4, 3), _ROWS, torch=lambda x, index: x.gather(-1, index[..., None] % 3)[..., 0]),
            S((2, 3, 4), _PAIRS, torch=lambda x, index: x.gather(-1, index[..., None] % 4)[..., 0]),
            S((4, 3), _ROWS.astype(np.int32)),
            Bad((2, 4), _ROWS, code="shape-mismatch"),
        ),
    ),
    Op(
        "gather_elements(x: t[*s], index: i[*k], axis: int = 0) -> t[*k]",
        doc="For each element of `index`, the element of x at the same place in all axes but one, and at this position "
        "in that one. Negative positions count from the end. PyTorch calls this `gather`.",
        numpy=at_positions(lambda x, index, axis: x[beside(index, axis)]),
        vjp=_gather_elements_vjp,
        shape=_gather_elements_shape,
        onnx=_gather_elements_onnx,
        samples=(
            S((4, 3), _PAIRS, torch=lambda x, index: x.gather(0, index % 4)),
            S((2, 5), _PAIRS, axis=-1, torch=lambda x, index, axis: x.gather(1, index % 5)),
            S((3, 4, 2), _PAIRS[:, :2, None].astype(np.int32), axis=1),
            S((4, 3), np.zeros((0, 3), np.int64), torch=lambda x, index: x.gather(0, index)),
            S(np.array([True, False, False]), np.array([2, 0])),
            Bad((4, 2), _PAIRS, code="shape-mismatch"),
            Bad((4, 3), _ROWS, code="shape-mismatch"),
            Bad((4, 3), _PAIRS, axis=2, code="bad-axis"),
        ),
    ),
    Op(
        "gather_nd(x: t[*s], index: i[*k], batch_dims: int = 0) -> t",
        doc="The slices of x at positions of several coordinates, which the last axis of `index` holds, for the first "
        "axes of x after the `batch_dims` axes that x and `index` share. Negative coordinates count from the end.",
        numpy=at_positions(lambda x, index, batch_dims: x[places(index, batch_dims)]),
        vjp=_gather_nd_vjp,
        shape=_gather_nd_shape,
        onnx=_gather_nd_onnx,
        samples=(
            S((2, 3), _PLACES, torch=lambda x, index: x[index[..., 0], index[..., 1]]),
            S((2, 2, 3), _PLACES.astype(np.int32)[0], torch=lambda x, index: x[index[:, 0], index[:, 1]]),
            S((2, 2, 3), _PLACES[..., :1], batch_dims=1),
            S((2, 2, 3, 2), _PLACES, batch_dims=1),
            S((3, 2), np.zeros((0, 1), np.int64)),
            Bad((2, 3), np.zeros((4, 3), np.int64), code="shape-mismatch"),
            Bad((2, 3), np.array(1), code="shape-mismatch"),
            Bad((2, 3, 4), np.zeros((3, 1), np.int64), batch_dims=1, code="shape-mismatch"),
            Bad((2, 3), _PLACES, batch_dims=-1, code="bad-value"),
        ),
    ),
    Op(
        "one_hot(index: i[*s], classes: size) -> f32[*s, classes]",
        doc="1 at each position and 0 elsewhere; a position outside 0 … classes - 1 gives zeros.",
        numpy=_one_hot_numpy,
        nondiff="its argument is a position",
        shape=_one_hot_shape,
        onnx=_one_hot_onnx,
        samples=(
            S(
                np.array([2, 0, 1]),
                classes=3,
                torch=lambda index, classes: torch.nn.functional.one_hot(index, classes).float(),
            ),
            S(np.array([[5, -1], [3, 0]], np.int32), classes=4),
            S(np.array(1), classes=2),
            Bad(np.array(1), classes=-1, code="bad-value"),
        ),
    ),
    Op(
        "topk(x: n[*s], k: size, axis: int = -1, largest: bool = true, sorted: bool = true) -> (n, i64)",
        doc="The k largest (or smallest) elements along an axis, the first of them first, and their positions; of "
        "equal elements the first. Without `sorted` their order is not said. The gradient goes to the elements chosen.",
        numpy=_topk_numpy,
        vjp=_topk_vjp,
        shape=_topk_shape,
        onnx=_topk_onnx,
        samples=(
            S((3, 5), k=2, torch=_torch_topk),
            S((4, 3, 2), k=4, axis=0, largest=False, torch=_torch_topk),
            S((2, 3, 2), k=2, axis=-2, torch=_torch_topk),
            S(np.array([[3, 1, 3, 3, 1]]), k=3),
            S(np.array([[3, 1, 3, 3, 1]]), k=3, largest=False),
            S((2, 4), k=1, sorted=False),
            S((2, 3), k=0),
            Bad((2, 3), k=4, code="bad-value"),
            Bad((2, 3), k=1, axis=2, code="bad-axis"),
            Bad(np.array([True]), k=1, code="type-mismatch"),
        ),
    ),
    Op(
        "sort(x: n[*s], axis: int = -1, descending: bool = false) -> (n[*s], i64[*s])",
        doc="The elements along an axis in ascending (or descending) order, and where they were; of equal elements the "
        "first comes first.",
        body=_sort_body,
        shape=_sort_shape,
        samples=(
            S((3, 5), torch=lambda x: torch.sort(x)[0]),
            S((4, 3), axis=0, descending=True, torch=lambda x, axis, descending: torch.sort(x, axis, descending)[0]),
            S(np.array([3, 1, 3, 2]), torch=lambda x: torch.sort(x, stable=True)),
            Bad((3, 5), axis=2, code="bad-axis"),
        ),
    ),
)
