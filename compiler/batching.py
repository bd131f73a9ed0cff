"""Decides whether a batch may be computed in parts: whether the loss is a mean over independent rows.

Where it is, the gradient of a batch is the mean of the gradients of its parts, and the parts can run on several cores,
each in its own session, in pieces that fit the cache. Batch normalisation, for example, mixes rows, and forbids it.

The proof is an abstract interpretation of the graph with an open batch size: wherever that size shows in a shape, the
tensor has rows; operators must keep rows apart until a mean over all of them ends them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto

from netlang.dims import Size, floor_divide, substitute, symbol, symbols

from .builder import Builder, size_of
from .control import body_of
from .dtypes import numpy_dtype
from .ir import Graph, Node, Value
from .ops import OPS


class Rows(Enum):
    """What a value has to do with the rows of the batch."""

    NONE = auto()  # nothing: a parameter, a constant
    SEPARATE = auto()  # one block of it belongs to each row
    MEAN = auto()  # the mean over the rows of something that each row gives
    SUM = auto()  # the sum over the rows
    COUNT = auto()  # a multiple of the number of rows


class Mixed(Exception):
    """The rows mix; the message says where."""


def batch_symbol(graph: Graph) -> str | None:
    """The open size that is the first dimension of every data input, if there is one."""
    firsts = {str(i.value.type.shape[0]) if i.value.type.shape else "" for i in graph.inputs if i.role == "data"}
    if len(firsts) != 1:
        return None
    (name,) = firsts
    return name if name.isidentifier() else None


def why_mixed(graph: Graph) -> str | None:
    """None where loss and reports are means over independent rows, else what stands against it."""
    batch = batch_symbol(graph)
    if batch is None:
        return "the inputs do not share an open first dimension"
    if any(output.role == "next" for output in graph.outputs):
        return "the step updates states"
    kinds = dict.fromkeys(graph.sources(), Rows.NONE)
    for item in graph.inputs:
        if item.role == "data":
            if any(batch in symbols(size) for size in item.value.type.shape[1:]):
                return f"`{batch}` is more than the first dimension of `{item.name}`"
            kinds[item.value] = Rows.SEPARATE
    try:
        _judge_all(graph, kinds, batch)
    except Mixed as mixed:
        return str(mixed)
    for output in graph.outputs:
        if kinds[output.value] not in (Rows.MEAN, Rows.NONE):
            return f"`{output.name}` is not a mean over the rows"
    return None


def _judge_all(graph: Graph, kinds: dict[Value, Rows], batch: str) -> None:
    """Adds what each node of `graph` computes to `kinds`."""
    for node in graph.nodes:
        given = [kinds[x] for x in node.inputs]
        if node.bodies:
            kinds.update(zip(node.outputs, _BODIES[node.op](node, given, batch), strict=True))
        elif OPS[node.op].body is not None and node.op not in _RULES:
            kinds.update(zip(node.outputs, _judge_composite(node, given, batch), strict=True))
        else:
            kinds.update(dict.fromkeys(node.outputs, _judge(node, given, batch)))


def _judge_composite(node: Node, kinds: Sequence[Rows], batch: str) -> list[Rows]:
    """A composite does with the rows what its definition does."""
    body = body_of(Builder(node.op), node)
    known = dict(zip(body.sources(), kinds, strict=True))
    try:
        _judge_all(body, known, batch)
    except Mixed as mixed:
        raise Mixed(f"in `{node.op}`, {mixed}") from mixed
    return [known[output.value] for output in body.outputs]


def _judge_body(node: Node, body: Graph, kinds: Sequence[Rows], batch: str) -> list[Rows]:
    """The kinds of the outputs of a body: rows, or nothing to do with them."""
    known = dict(zip(body.sources(), kinds, strict=True))
    _judge_all(body, known, batch)
    found = [known[output.value] for output in body.outputs]
    if any(kind not in (Rows.NONE, Rows.SEPARATE) for kind in found):
        raise _mixed(node, "sums rows up")
    return found


def _judge_rounds(node: Node, body: Graph, carries: list[Rows], others: list[Rows], batch: str) -> list[Rows]:
    """Of an iteration, whose inputs end with `carries` and `others`: carries have rows as soon as one round says so."""
    start = len(body.inputs) - len(carries) - len(others)
    first = len(body.outputs) - (len(node.outputs) - len(carries)) - len(carries)
    while True:
        found = _judge_body(node, body, [Rows.NONE] * start + carries + others, batch)
        if any(kind is not Rows.NONE for kind in found[:first]):
            raise _mixed(node, "ends when the rows say so")
        after = [b if a is Rows.NONE else a for a, b in zip(carries, found[first:], strict=False)]
        if after == carries:
            return found[first:]
        carries = after


def _judge_scan(node: Node, kinds: list[Rows], batch: str) -> list[Rows]:
    carries = node.attributes["carries"]
    for sequence in node.inputs[carries : carries + node.attributes["sequences"]]:
        if 0 in _row_axes(sequence, batch):
            raise _mixed(node, "runs along the rows")
    return _judge_rounds(node, node.attributes["body"], kinds[:carries], kinds[carries:], batch)


def _judge_loop(node: Node, kinds: list[Rows], batch: str) -> list[Rows]:
    if any(kind is not Rows.NONE for kind in kinds[:2]):
        raise _mixed(node, "runs as often as the rows say")
    carries = node.attributes["carries"]
    return _judge_rounds(node, node.attributes["body"], kinds[2 : carries + 2], kinds[carries + 2 :], batch)


def _judge_branch(node: Node, kinds: list[Rows], batch: str) -> list[Rows]:
    if kinds[0] is not Rows.NONE:
        raise _mixed(node, "decides for all rows together")
    then, otherwise = (_judge_body(node, node.attributes[n], kinds[1:], batch) for n in ("then", "otherwise"))
    return [b if a is Rows.NONE else a for a, b in zip(then, otherwise, strict=True)]


def _judge_block(node: Node, kinds: list[Rows], batch: str) -> list[Rows]:
    return _judge_body(node, node.attributes["body"], kinds, batch)


_BODIES: Mapping[str, Callable[[Node, list[Rows], str], list[Rows]]] = {
    "scan_over": _judge_scan,
    "loop_while": _judge_loop,
    "branch": _judge_branch,
    "block": _judge_block,
}
"""What operators on graphs compute, by the kinds of their inputs."""


def _judge(node: Node, kinds: list[Rows], batch: str) -> Rows:
    result = node.outputs[0]
    if node.op == "dim":
        return _judge_count(node, batch)
    if all(kind is Rows.NONE for kind in kinds):
        if not _row_axes(result, batch):
            return Rows.NONE
        same = node.op in ("full", "expand") and _has_rows(result, batch)
        if same or _draws_rows(node, batch):  # the same for every row, or its own
            return Rows.SEPARATE
        raise _mixed(node, "computes something for all rows together")
    if Rows.SEPARATE in kinds:
        return _separate(node, kinds, batch)
    return _combine(node, kinds, batch)


def _judge_count(node: Node, batch: str) -> Rows:
    """The number of rows times something; `n - 1` or `n * n` would not be the sum of what its parts give."""
    size = node.attributes["size"]
    if batch not in symbols(size):
        return Rows.NONE
    if not _is_multiple(size, batch):
        raise _mixed(node, f"is `{size}`, not a multiple of the number of rows")
    return Rows.COUNT


def _draws_rows(node: Node, batch: str) -> bool:
    """Whether a node draws random numbers for each row: samples are counted along the first axis."""
    return node.op == "random_bits" and node.attributes["shape"][:1] == (symbol(batch),)


def row_sites(graph: Graph, batch: str) -> frozenset[int]:
    """The places that draw random numbers for each row of the batch."""
    own = frozenset(node.attributes["site"] for node in graph.nodes if _draws_rows(node, batch))
    return own.union(*(row_sites(body, batch) for node in graph.nodes for body in node.bodies))


def _separate(node: Node, kinds: list[Rows], batch: str) -> Rows:
    """An operator with a tensor of rows among its inputs."""
    if any(kind in (Rows.MEAN, Rows.SUM, Rows.COUNT) for kind in kinds):
        raise _mixed(node, "uses a mean over the rows within a row")
    if node.op in ("mean", "sum"):
        axes = _reduced_axes(node)
        if set(_row_axes(node.inputs[0], batch)) & axes:
            return Rows.MEAN if node.op == "mean" else Rows.SUM
    rule = _RULES.get(node.op)
    if rule is None:
        raise _mixed(node, "is not known to keep rows apart")
    if not rule(node, kinds, batch):
        raise _mixed(node, "mixes rows")
    for output in node.outputs:
        if len(_row_axes(output, batch)) != 1:
            raise _mixed(node, "mixes rows")
    return Rows.SEPARATE


def _combine(node: Node, kinds: list[Rows], batch: str) -> Rows:
    """Arithmetic on what is left after the rows have been summed up: only what commutes with taking a mean."""
    present = [kind for kind in kinds if kind is not Rows.NONE]
    if _row_axes(node.outputs[0], batch):
        raise _mixed(node, "uses a mean over the rows within a row")
    if node.op in ("add", "sub"):
        if present[0] is Rows.MEAN or (len(present) == len(kinds)):
            return _same(node, present)
    elif node.op == "div" and len(kinds) == 2:
        if kinds[0] is Rows.SUM and kinds[1] is Rows.COUNT:
            return Rows.MEAN
        if kinds[1] is Rows.NONE:
            return kinds[0]
    elif (node.op == "mul" and len(present) == 1) or node.op in _LINEAR:
        return present[0]
    elif node.op == "cast" and (kinds[0] is Rows.COUNT or node.outputs[0].type == node.inputs[0].type):
        return kinds[0]
    raise _mixed(node, "computes with a mean over the rows")


_LINEAR = ("neg", "sum", "mean", "reshape", "transpose", "expand")


def _same(node: Node, kinds: list[Rows]) -> Rows:
    if len(set(kinds)) == 1:
        return kinds[0]
    raise _mixed(node, "adds a mean and a sum over the rows")


def _mixed(node: Node, why: str) -> Mixed:
    return Mixed(f"`{node.op}` {why} ({node.loc})")


def _row_axes(value: Value, batch: str) -> list[int]:
    return [axis for axis, size in enumerate(value.type.shape) if batch in symbols(size)]


def _has_rows(value: Value, batch: str) -> bool:
    """Whether one axis is as long as the number of rows times something, and no other depends on it."""
    axes = _row_axes(value, batch)
    return len(axes) == 1 and _is_multiple(value.type.shape[axes[0]], batch)


def _is_multiple(size: Size, batch: str) -> bool:
    """Whether `size` is the number of rows times something that does not depend on it."""
    return _leads(size, batch) and batch not in symbols(floor_divide(size, symbol(batch)))


def _reduced_axes(node: Node) -> set[int]:
    rank = node.inputs[0].type.rank
    axes = node.attributes["axis"]
    return set(range(rank)) if axes is None else {axis % rank for axis in axes}


# --- Rules: whether an operator keeps the rows of its inputs apart -------------------------------------------------


def _elementwise(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Broadcasting must bring the row axes of all inputs to the same place."""
    places = {
        tuple(axis - x.type.rank for axis in _row_axes(x, batch))
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
    return all(not touched & set(_row_axes(x, batch)) for x in node.inputs)


def _matmul(node: Node, kinds: list[Rows], batch: str) -> bool:
    left, right = node.inputs
    inner = batch in symbols(left.type.shape[-1])
    both = kinds[0] is Rows.SEPARATE and kinds[1] is Rows.SEPARATE
    aligned = [a - left.type.rank for a in _row_axes(left, batch)] == [
        a - right.type.rank for a in _row_axes(right, batch)
    ]
    return not inner and (not both or aligned)


def _reshape(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Rows stay contiguous blocks, in the same order, where as much stands before the row axis as did."""
    (before,), (after,) = _row_axes(node.inputs[0], batch), _row_axes(node.outputs[0], batch)
    old, new = node.inputs[0].type.shape, node.outputs[0].type.shape
    return size_of(old[:before]) == size_of(new[:after]) and _leads(old[before], batch) and _leads(new[after], batch)


def _leads(size: Size, batch: str) -> bool:
    """Whether `size` is the number of rows times something."""
    rows = symbol(batch)
    return floor_divide(size, rows) * rows == size


def _keeps(node: Node, kinds: list[Rows], batch: str) -> bool:
    return True


def _sliced(node: Node, kinds: list[Rows], batch: str) -> bool:
    return not set(node.attributes["axes"]) & set(_row_axes(node.inputs[0], batch))


def _gather(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Rows of places in one tensor, or the same places of each row."""
    x = node.inputs[0]
    axis = node.attributes["axis"] % x.type.rank
    return kinds[0] is Rows.NONE or (kinds[1] is Rows.NONE and axis not in _row_axes(x, batch))


def _gather_nd(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Rows of places in one tensor, or places of each row in that row."""
    x, index = node.inputs
    (axis,) = _row_axes(index, batch) or (index.type.rank - 1,)
    if axis == index.type.rank - 1:
        return False
    return kinds[0] is Rows.NONE or (axis < node.attributes["batch_dims"] and _row_axes(x, batch) == [axis])


def _in_places(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Picks or puts elements along an axis, at places that each row has for itself."""
    axis = node.attributes["axis"] % node.inputs[0].type.rank
    rows = [_row_axes(x, batch) for x in node.inputs]
    return rows[0] not in ([], [axis]) and all(other == rows[0] for other in rows)


def _tile(node: Node, kinds: list[Rows], batch: str) -> bool:
    return all(node.attributes["repeats"][axis] == 1 for axis in _row_axes(node.inputs[0], batch))


def _reverse_sequence(node: Node, kinds: list[Rows], batch: str) -> bool:
    attrs = node.attributes
    return attrs["time_axis"] % node.inputs[0].type.rank not in _row_axes(node.inputs[0], batch)


def _last_two_axes(node: Node, kinds: list[Rows], batch: str) -> bool:
    rank = node.inputs[0].type.rank
    return not {rank - 1, rank - 2} & set(_row_axes(node.inputs[0], batch))


def _rowwise(node: Node, kinds: list[Rows], batch: str) -> bool:
    """The first input has its rows first; the others, such as weights, have none."""
    return _row_axes(node.inputs[0], batch) == [0] and all(kind is Rows.NONE for kind in kinds[1:])


def _samplewise(node: Node, kinds: list[Rows], batch: str) -> bool:
    """What has rows has them first, and each row of the result is made of these."""
    return all(_row_axes(x, batch) == [0] for x, kind in zip(node.inputs, kinds, strict=True) if kind is Rows.SEPARATE)


def _pad(node: Node, kinds: list[Rows], batch: str) -> bool:
    (axis,) = _row_axes(node.inputs[0], batch)
    return node.attributes["before"][axis] == 0 and node.attributes["after"][axis] == 0


def _take_along(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Picks along the last axis: one index for each row of the other axes."""
    last = node.inputs[0].type.rank - 1
    return last not in _row_axes(node.inputs[0], batch) and (
        kinds[0] is Rows.NONE or _row_axes(node.inputs[0], batch) == _row_axes(node.inputs[1], batch)
    )


def _last_axis(node: Node, kinds: list[Rows], batch: str) -> bool:
    """Works along the last axis alone; scale and shift have no rows."""
    return node.inputs[0].type.rank - 1 not in _row_axes(node.inputs[0], batch) and all(
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


def row_bytes(graph: Graph, batch: str, dims: Mapping[str, int]) -> int:
    """Bytes that the largest node reads and writes for each row: what should fit a core's cache, times rows."""
    largest = 0
    for node in graph.nodes:
        largest = max((largest, *(row_bytes(body, batch, dims) for body in node.bodies)))
        if node.bodies:
            continue
        touched = {x for x in (*node.inputs, *node.outputs) if _row_axes(x, batch)}
        largest = max(largest, sum(_bytes(x, {**dims, batch: 1}) for x in touched))
    return largest


def _bytes(value: Value, dims: Mapping[str, int]) -> int:
    count = substitute(size_of(value.type.shape), dims)
    return count * numpy_dtype(value.type.dtype).itemsize if isinstance(count, int) else 0
