"""What a graph costs: parameters, floating-point operations and memory, as a whole and layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from netlang.dims import Size, substitute
from netlang.types import TensorType

from .builder import Builder
from .control import body_of
from .determined import determined
from .dtypes import numpy_dtype
from .ir import Graph, Node, Value
from .ops import OPS

Dims = Mapping[str, int]
"""Values of the open dimensions."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a graph. A multiplication and an addition are two operations.

    parameters: numbers trained or frozen; parameter_bytes: what they take.
    flops: operations of one run.
    activation_bytes: most memory that values between take at one time, where each is freed after its last use.
    """

    parameters: int
    parameter_bytes: int
    flops: int
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class ScopeCosts:
    """Of the nodes and parameters of one scope, without those of the scopes inside it.

    result: the type of the first result of its last node.
    """

    scope: str
    result: TensorType | None
    parameters: int
    flops: int


def count(graph: Graph, dims: Dims | None = None) -> Costs:
    """The costs of one run of `graph`, its open dimensions set by `dims`.

    Raises ValueError with the name of a dimension that stays open.
    """
    dims = _determined(graph) | dict(dims or {})
    types = [variable.value.type for variable in graph.params]
    return Costs(
        parameters=sum(elements(type_, dims) for type_ in types),
        parameter_bytes=sum(size_in_bytes(type_, dims) for type_ in types),
        flops=sum(node_flops(node, dims) for node in graph.nodes),
        activation_bytes=peak_activation_bytes(graph, dims),
    )


def count_by_scope(graph: Graph, dims: Dims | None = None) -> list[ScopeCosts]:
    """The costs of each scope, in the order in which the graph first computes in them.

    Raises ValueError with the name of a dimension that stays open.
    """
    dims = _determined(graph) | dict(dims or {})
    flops: dict[str, int] = {}
    results: dict[str, TensorType] = {}
    for node in graph.nodes:
        flops[node.scope] = flops.get(node.scope, 0) + node_flops(node, dims)
        results[node.scope] = node.outputs[0].type
    parameters: dict[str, int] = {}
    for variable in graph.params:
        scope = variable.name.rpartition(".")[0]
        parameters[scope] = parameters.get(scope, 0) + elements(variable.value.type, dims)
    return [
        ScopeCosts(scope, results.get(scope), parameters.get(scope, 0), flops.get(scope, 0))
        for scope in dict.fromkeys((*flops, *parameters))
    ]


def node_flops(node: Node, dims: Dims) -> int:
    """Floating-point operations of one node; 0 for those that only move elements.

    A body counts as often as it runs: a loop as often as its bound says, a choice as its dearer branch, a block
    without the gradient of its own. A composite costs what its definition does.
    """
    if node.bodies:
        bodies = node.bodies if node.op == "branch" else (node.attributes["body"],)
        return _rounds(node, dims) * max(_body_flops(body, dims) for body in bodies)
    rule = _FLOPS.get(node.op)
    if rule is not None:
        return rule(node, dims)
    return 0 if OPS[node.op].body is None else _body_flops(body_of(Builder(node.op), node), dims)


def _body_flops(body: Graph, dims: Dims) -> int:
    known = {**_determined(body), **dims}
    return sum(node_flops(node, known) for node in body.nodes)


def _determined(graph: Graph) -> dict[str, int]:
    """A stand-in for each size that only the run knows: the bound of a loop where it has one, else 1."""
    found: dict[str, int] = {}
    for node in graph.nodes:
        found |= dict.fromkeys(determined(node), node.attributes.get("bound") or 1)
        for body in node.bodies:
            found |= _determined(body)
    return found


def _rounds(node: Node, dims: Dims) -> int:
    """How often a body runs; once where only the run knows."""
    if node.op == "scan_over":
        return _number(node.inputs[node.attributes["carries"]].type.shape[0], dims)
    return node.attributes.get("bound") or 1


def peak_activation_bytes(graph: Graph, dims: Dims) -> int:
    """The most bytes alive at one time, in the order of the graph. Variables do not count, and views cost nothing."""
    owner: dict[Value, Value] = {}
    last_use: dict[Value, int] = {}
    for index, node in enumerate(graph.nodes):
        for value in node.outputs:
            owner[value] = owner.get(node.inputs[0], node.inputs[0]) if node.op in VIEWS else value
        for value in (*node.inputs, *node.outputs):
            last_use[owner.get(value, value)] = index
    for output in graph.outputs:
        last_use[owner.get(output.value, output.value)] = len(graph.nodes)
    persistent = {variable.value for variable in graph.variables}
    dying: dict[int, list[Value]] = {}
    for value, index in last_use.items():
        if value not in persistent:
            dying.setdefault(index, []).append(value)
    alive = sum(size_in_bytes(item.value.type, dims) for item in graph.inputs)
    peak = alive
    for index, node in enumerate(graph.nodes):
        alive += _total_bytes((value for value in node.outputs if owner[value] is value), dims)
        peak = max(peak, alive)
        alive -= _total_bytes(dying.get(index, ()), dims)
    return peak


def bytes_moved(graph: Graph, dims: Dims) -> int:
    """The bytes that the nodes of one run read and write, each result from and to memory. Views cost nothing.

    Bodies count as often as they run, as for `node_flops`.
    """
    dims = _determined(graph) | dict(dims)
    return sum(_node_bytes(node, dims) for node in graph.nodes)


def _node_bytes(node: Node, dims: Dims) -> int:
    if node.op in VIEWS:
        return 0
    if node.bodies:
        return _rounds(node, dims) * max(bytes_moved(body, dims) for body in node.bodies)
    return _total_bytes({*node.inputs, *node.outputs}, dims)


def elements(type_: TensorType, dims: Dims) -> int:
    """How many elements a tensor of this type has. Raises ValueError with the name of an open dimension."""
    return math.prod(_number(size, dims) for size in type_.shape)


def size_in_bytes(type_: TensorType, dims: Dims) -> int:
    """How many bytes they take. Raises ValueError with the name of an open dimension."""
    return elements(type_, dims) * numpy_dtype(type_.dtype).itemsize


def _total_bytes(values: Iterable[Value], dims: Dims) -> int:
    return sum(size_in_bytes(value.type, dims) for value in values)


def _number(size: Size, dims: Dims) -> int:
    number = substitute(size, dims)
    if not isinstance(number, int):
        raise ValueError(f"the dimension `{number}` is open")
    return number


def _of_results(per_element: int) -> Callable[[Node, Dims], int]:
    return lambda node, dims: per_element * elements(node.outputs[0].type, dims)


def _of_inputs(per_element: int) -> Callable[[Node, Dims], int]:
    return lambda node, dims: per_element * elements(node.inputs[0].type, dims)


def _matmul(node: Node, dims: Dims) -> int:
    return 2 * elements(node.outputs[0].type, dims) * _number(node.inputs[0].type.shape[-1], dims)


def _conv(node: Node, dims: Dims) -> int:
    """Each result is a product with one filter `[in / groups, *kernel]`."""
    return 2 * elements(node.outputs[0].type, dims) * _filter(node.inputs[1].type, dims)


def _conv_transpose(node: Node, dims: Dims) -> int:
    return 2 * elements(node.inputs[0].type, dims) * _filter(node.inputs[1].type, dims)


def _conv_weight_gradient(node: Node, dims: Dims) -> int:
    return 2 * elements(node.inputs[1].type, dims) * _filter(node.outputs[0].type, dims)


def _filter(weight: TensorType, dims: Dims) -> int:
    return math.prod(_number(size, dims) for size in weight.shape[1:])


def _pool(node: Node, dims: Dims) -> int:
    return elements(node.outputs[0].type, dims) * math.prod(node.attributes["kernel"])


def _resize(node: Node, dims: Dims) -> int:
    """Each result is a product with as many elements as the kernel has, which widens where it filters."""
    attrs = node.attributes
    size, result = (_number(x.type.shape[attrs["axis"]], dims) for x in (node.inputs[0], node.outputs[0]))
    if node.op == "resize_axis_transpose":
        size, result = result, size
    wider = max(1.0, size / max(result, 1)) if attrs["antialias"] else 1.0
    taps = math.ceil({"nearest": 0, "linear": 2, "cubic": 4}[attrs["mode"]] * wider)
    larger = node.outputs[0] if node.op == "resize_axis" else node.inputs[0]
    return 2 * taps * elements(larger.type, dims)


VIEWS = frozenset({"reshape", "stop_gradient"})
"""Operators that move nothing."""

_ELEMENTWISE = (
    *("abs", "add", "clip", "cos", "div", "erf", "exp", "gelu", "log", "maximum", "minimum", "mul", "neg", "pow"),
    *("relu", "sigmoid", "sign", "sin", "sqrt", "sub", "tanh", "elu", "hardsigmoid", "leaky_relu", "reciprocal"),
    *("silu", "softplus", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cosh", "sinh", "tan", "fmod", "mod"),
)
_REDUCTIONS = ("cumsum", "max", "mean", "min", "prod", "reduce_l2", "sum")

_FLOPS: dict[str, Callable[[Node, Dims], int]] = {
    **dict.fromkeys(_ELEMENTWISE, _of_results(1)),
    **dict.fromkeys(_REDUCTIONS, _of_inputs(1)),
    "avg_pool": _pool,
    "batch_normalize": _of_results(2),  # folded, a product and a sum
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "conv_weight_gradient": _conv_weight_gradient,
    "layer_normalize": _of_results(8),  # mean 1, variance 3, scaling 2, affine 2
    "log_softmax": _of_results(5),  # maximum, difference, exponential, sum, difference
    "matmul": _matmul,
    **dict.fromkeys(("max_pool", "max_pool_with_indices"), _pool),
    **dict.fromkeys(("resize_axis", "resize_axis_transpose"), _resize),
    "softmax": _of_results(5),
}
