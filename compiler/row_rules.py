"""Which operators keep the rows of a batch apart: what each row of a result is made of.

An axis is one of rows where the open size of the batch shows in its length. A rule looks at one node, at which of its
inputs have rows, and where; what no rule knows is taken to mix them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto

from netlang.dims import Size, floor_divide, symbol, symbols

from .builder import size_of
from .ir import Node, Value


class Rows(Enum):
    """What a value has to do with the rows of the batch."""

    NONE = auto()  # nothing: a parameter, a constant
    SEPARATE = auto()  # one block of it belongs to each row
    MEAN = auto()  # the mean over the rows of something that each row gives
    SUM = auto()  # the sum over the rows
    COUNT = auto()  # a multiple of the number of rows


class Mixed(Exception):
    """The rows mix; the message says where."""


def keep_apart(node: Node, kinds: list[Rows], batch: str) -> None:
    """Raises Mixed unless each row of the results is made of the same row of the inputs, and of what has no rows."""
    rule = _RULES.get(node.op)
    if rule is None:
        raise mixed(node, "is not known to keep rows apart")
    if not rule(node, kinds, batch) or any(len(row_axes(output, batch)) != 1 for output in node.outputs):
        raise mixed(node, "mixes rows")


def has_rule(name: str) -> bool:
    """Whether something is known of the operator itself, so that its definition need not be looked at."""
    return name in _RULES


def draws_rows(node: Node, batch: str) -> bool:
    """Whether a node draws random numbers for each row: samples are counted along the first axis."""
    return node.op == "random_bits" and node.attributes["shape"][:1] == (symbol(batch),)


def mixed(node: Node, why: str) -> Mixed:
    """The fault that this node mixes rows."""
    return Mixed(f"`{node.op}` {why} ({node.loc})")


def row_axes(value: Value, batch: str) -> list[int]:
    """The axes whose length depends on the number of rows."""
    return [axis for axis, size in enumerate(value.type.shape) if batch in symbols(size)]


def has_rows(value: Value, batch: str) -> bool:
    """Whether one axis is as long as the number of rows times something, and no other depends on it."""
    axes = row_axes(value, batch)
    return len(axes) == 1 and is_multiple(value.type.shape[axes[0]], batch)


def is_multiple(size: Size, batch: str) -> bool:
    """Whether `size` is the number of rows times something that does not depend on it."""
    return _leads(size, batch) and batch not in symbols(floor_divide(size, symbol(batch)))


def reduced_axes(node: Node) -> set[int]:
    """The axes that a reduction takes away."""
    rank = node.inputs[0].type.rank
    axes = node.attributes["axis"]
    return set(range(rank)) if axes is None else {axis % rank for axis in axes}


# --- Rules: whether an operator keeps the rows of its inputs apart -------------------------------------------------


def _elementwise(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Broadcasting must bring the row axes of all inputs to the same place."""
    places = {
        tuple(axis - x.type.rank for axis in row_axes(x, batch))
        for x, kind in zip(node.inputs, kinds, strict=True)
        if kind is Rows.SEPARATE
    }
    return len(places) == 1


def _along(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Operators along axes: none of them may be the row axis."""
    axes = node.attributes["axis"]
    rank = node.inputs[0].type.rank
    listed = range(rank) if axes is None else (axes,) if isinstance(axes, int) else axes
    touched = {axis % rank for axis in listed}
    return all(not touched & set(row_axes(x, batch)) for x in node.inputs)


def _matmul(node: Node, kinds: list[Rows], batch: str) -> bool:
    left, right = node.inputs
    inner = batch in symbols(left.type.shape[-1])
    both = kinds[0] is Rows.SEPARATE and kinds[1] is Rows.SEPARATE
    aligned = [a - left.type.rank for a in row_axes(left, batch)] == [
        a - right.type.rank for a in row_axes(right, batch)
    ]
    return not inner and (not both or aligned)


def _reshape(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Rows stay contiguous blocks, in the same order, where as much stands before the row axis as did."""
    (before,), (after,) = row_axes(node.inputs[0], batch), row_axes(node.outputs[0], batch)
    old, new = node.inputs[0].type.shape, node.outputs[0].type.shape
    return size_of(old[:before]) == size_of(new[:after]) and _leads(old[before], batch) and _leads(new[after], batch)


def _leads(size: Size, batch: str) -> bool:
    """Whether `size` is the number of rows times something."""
    rows = symbol(batch)
    return floor_divide(size, rows) * rows == size


def _keeps(node: Node, kinds: list[Rows], batch: str) -> bool:
    return True


def _sliced(node: Node, kinds: list[Rows], batch: str) -> bool:
    return not set(node.attributes["axes"]) & set(row_axes(node.inputs[0], batch))


def _gather(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Rows of places in one tensor, or the same places of each row."""
    x = node.inputs[0]
    axis = node.attributes["axis"] % x.type.rank
    return kinds[0] is Rows.NONE or (kinds[1] is Rows.NONE and axis not in row_axes(x, batch))


def _gather_nd(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Rows of places in one tensor, or places of each row in that row."""
    x, index = node.inputs
    (axis,) = row_axes(index, batch) or (index.type.rank - 1,)
    if axis == index.type.rank - 1:
        return False
    return kinds[0] is Rows.NONE or (axis < node.attributes["batch_dims"] and row_axes(x, batch) == [axis])


def _in_places(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Picks or puts elements along an axis, at places that each row has for itself."""
    axis = node.attributes["axis"] % node.inputs[0].type.rank
    rows = [row_axes(x, batch) for x in node.inputs]
    return rows[0] not in ([], [axis]) and all(other == rows[0] for other in rows)


def _tile(node: Node, kinds: list[Rows], batch: str) -> bool:
    return all(node.attributes["repeats"][axis] == 1 for axis in row_axes(node.inputs[0], batch))


def _reverse_sequence(node: Node, kinds: list[Rows], batch: str) -> bool:
    attrs = node.attributes
    return attrs["time_axis"] % node.inputs[0].type.rank not in row_axes(node.inputs[0], batch)


def _last_two_axes(node: Node, kinds: list[Rows], batch: str) -> bool:
    rank = node.inputs[0].type.rank
    return not {rank - 1, rank - 2} & set(row_axes(node.inputs[0], batch))


def _rowwise(node: Node, kinds: list[Rows], batch: str) -> bool:
    """The first input has its rows first; the others, such as weights, have none."""
    return row_axes(node.inputs[0], batch) == [0] and all(kind is Rows.NONE for kind in kinds[1:])


def _samplewise(node: Node, kinds: list[Rows], batch: str) -> bool:
    """What has rows has them first, and each row of the result is made of these."""
    return all(row_axes(x, batch) == [0] for x, kind in zip(node.inputs, kinds, strict=True) if kind is Rows.SEPARATE)


def _pad(node: Node, kinds: list[Rows], batch: str) -> bool:
    (axis,) = row_axes(node.inputs[0], batch)
    return node.attributes["before"][axis] == 0 and node.attributes["after"][axis] == 0


def _take_along(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Picks along the last axis: one index for each row of the other axes."""
    last = node.inputs[0].type.rank - 1
    return last not in row_axes(node.inputs[0], batch) and (
        kinds[0] is Rows.NONE or row_axes(node.inputs[0], batch) == row_axes(node.inputs[1], batch)
    )


def _last_axis(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Works along the last axis alone; scale and shift have no rows."""
    return node.inputs[0].type.rank - 1 not in row_axes(node.inputs[0], batch) and all(
        k is Rows.NONE for k in kinds[1:]
    )


Rule = Callable[[Node, list[Rows], str], bool]

# fmt: off
ELEMENTWISE = (
    "neg", "abs", "sign", "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "erf", "relu", "gelu", "floor", "ceil",
    "round", "logical_not", "is_nan", "add", "sub", "mul", "div", "pow", "maximum", "minimum", "mod", "floor_divide",
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "select",
    "cast", "clip", "stop_gradient", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cosh", "sinh", "tan",
    "reciprocal", "is_inf", "bit_cast", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "logical_xor", "clamp", "fmod", "truncated_divide", "celu", "elu",
    "gelu_tanh", "hardsigmoid", "hardswish", "leaky_relu", "mish", "prelu", "selu", "shrink", "silu", "softplus",
    "softsign", "swiglu", "thresholded_relu",
)
"""Operators that work element by element, with broadcasting."""

_ALONG = (
    "sum", "mean", "max", "min", "prod", "argmax", "argmin", "cumsum", "softmax", "log_softmax", "concat", "split",
    "hardmax", "reduce_l2", "resize_axis", "resize_axis_transpose", "split_with_sizes", "topk",
)
# fmt: on

_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(_ALONG, _along),
    "matmul": _matmul,
    "reshape": _reshape,
    "transpose": _keeps,
    "expand": _elementwise,
    "slice": _sliced,
    "pad": _pad,
    "gather": _gather,
    "gather_elements": _in_places,
    "gather_nd": _gather_nd,
    "scatter_elements": _in_places,
    "take_along": _take_along,
    "tile": _tile,
    "reverse_sequence": _reverse_sequence,
    **dict.fromkeys(("tril", "triu", "det"), _last_two_axes),
    "one_hot": _keeps,
    "layer_normalize": _last_axis,
    **dict.fromkeys(("conv", "conv_transpose", "max_pool", "avg_pool", "avg_pool_transpose"), _rowwise),
    **dict.fromkeys(("upsample_nearest", "unfold", "fold", "batch_normalize"), _rowwise),
    **dict.fromkeys(("grid_sample", "deform_conv"), _samplewise),
}
