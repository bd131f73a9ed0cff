"""Finds the layers of the library among the nodes of a graph: products with weights, convolutions, normalisations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..ir import Graph, Node, Value
from ..ops import OPS
from .control import keep_constants, own_inputs, substitute
from .foreign import foreign_settings
from .recurrent import recurrent
from .scopes import path_of
from .steps import FUNCTION, LAYER, OPERATOR, Body, Facts, Step, Stored, tells, told

MODULES = {
    **dict.fromkeys(
        (
            "linear", "conv1d", "conv2d", "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "batch_norm",
            "layer_norm", "embedding", "global_avg_pool",
        ),
        "std.layers",
    ),
    **dict.fromkeys(("lstm", "gru"), "std.recurrent"),
}  # fmt: skip
"""Layers of the library that are found, and the modules they are in."""
FUNCTIONS = frozenset({"global_avg_pool"})
"""Those that are functions: they are not created."""


def steps_of(graph: Graph) -> tuple[list[Step], Facts]:
    """The steps of a graph in its order, constants left out, and the facts about it."""
    finder = Finder(graph)
    steps = _needed([step for node in graph.nodes for step in finder.step(node)], graph)
    for order, step in enumerate(steps):
        step.order = order
    outputs = frozenset(output.value for output in graph.outputs)
    facts = Facts(finder.constants, finder.variables, outputs, Counter())
    for step in steps:
        keep_constants(step, facts)
    facts.uses.update(value for step in steps for value in step.inputs)
    facts.uses.update(output.value for output in graph.outputs)
    return steps, facts


def _needed(steps: list[Step], graph: Graph) -> list[Step]:
    """Steps without those that only what a layer has taken over needed."""
    needed: set[Value | str] = {output.value for output in graph.outputs}
    kept: list[Step] = []
    for step in reversed(steps):
        if any(x in needed for x in (*step.outputs, *tells(step))):
            needed.update(step.inputs, told(step))
            kept.append(step)
    return kept[::-1]


class Finder:
    """Looks at one node after another; a layer takes the place of the last of its nodes."""

    def __init__(self, graph: Graph, recognises: bool = True) -> None:
        self.constants = {n.outputs[0]: n.attributes["value"].array for n in graph.nodes if n.op == "constant"}
        self.variables = {variable.value: variable.kind for variable in graph.variables}
        self._producers = {value: node for node in graph.nodes for value in node.outputs}
        self._users: dict[Value, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            for value in node.inputs:
                self._users[value].append(node)
        self._outputs = Counter(output.value for output in graph.outputs)
        self._taken: set[Node] = set()
        self._layers: dict[Node, Step] = {}
        for node in graph.nodes:
            if recognises and node.op in _RECOGNISERS and node not in self._taken:
                _RECOGNISERS[node.op](self, node)

    def step(self, node: Node) -> Iterable[Step]:
        """The step that ends with a node: a layer, the node itself, or nothing where a layer has taken it."""
        if node in self._layers:
            yield self._layers[node]
        elif node.op != "constant" and node not in self._taken:
            settings = settings_of(node, ()) if node.op != "foreign" else foreign_settings(node, self.constants)
            step = Step(OPERATOR, node.op, node.inputs, node.outputs, path_of(node.scope), settings=settings)
            step.bodies = {key: self._inner(node, value) for key, value in node.attrs if isinstance(value, Graph)}
            yield step

    def _inner(self, node: Node, graph: Graph) -> Body:
        """The body of an operator on graphs; what it takes of the graph around stands in it as itself."""
        finder = Finder(graph, recognises=False)
        steps = [step for inner in graph.nodes for step in finder.step(inner)]
        self.constants |= finder.constants
        inputs = [item.value for item in graph.inputs]
        own = own_inputs(node.op, node.attributes)
        captures = dict(zip(inputs[own:], node.inputs[len(node.inputs) - len(inputs) + own :], strict=True))
        body = Body((), steps, tuple(inputs[:own]), tuple(output.value for output in graph.outputs))
        substitute(body, captures)
        return body

    # --- What the recognisers ask ------------------------------------------------------------------------------------

    def alone(self, value: Value) -> bool:
        """Whether a value is used once, and is no output."""
        return len(self._users[value]) == 1 and not self._outputs[value]

    def users(self, value: Value) -> list[Node]:
        """The nodes that use a value, once for each use."""
        return self._users[value]

    def made_by(self, value: Value) -> Node | None:
        """The node that computes a value."""
        return self._producers.get(value)

    def used_within(self, variable: Value, nodes: set[int], result: Value) -> bool:
        """Whether only nodes among these use a variable and what they make of it, `result` excepted."""
        waiting = [variable]
        while waiting:
            value = waiting.pop()
            if self._outputs[value] or (value is result and len(self._users[value]) > 1):
                return False
            if value is not result:
                if any(id(user) not in nodes for user in self._users[value]):
                    return False
                waiting.extend(output for user in self._users[value] for output in user.outputs)
        return True

    def is_zero(self, value: Value) -> bool:
        """Whether a value is zero everywhere."""
        array, node = self.constants.get(value), self._producers.get(value)
        filled = node is not None and node.op == "full" and node.attributes["value"] == 0
        return filled or (array is not None and not np.any(array))

    def uses_more(self, node: Node) -> bool:
        """Whether anything uses other results of a node than the first."""
        return any(self._users[value] or self._outputs[value] for value in node.outputs[1:])

    def own(self, value: Value) -> bool:
        """Whether a value is a variable in float32 that nothing else uses."""
        return value in self.variables and self.alone(value) and value.type.dtype == "f32"

    def next_sum(self, value: Value) -> tuple[Node, Value] | None:
        """The addition that alone uses a value, and what it adds."""
        if not self.alone(value) or (node := self._users[value][0]).op != "add":
            return None
        left, right = node.inputs
        return None if left is right else (node, right if left is value else left)

    def producer(self, value: Value, op: str) -> Node | None:
        """The node that computes a value, where it is an application of `op` and the value is used once."""
        node = self._producers.get(value)
        return node if node is not None and node.op == op and self.alone(value) else None

    def found(self, nodes: list[Node], name: str, x: Value, settings: dict[str, Any], owned: dict[str, Stored]) -> None:
        """Notes a layer; the first of its `nodes` says where it comes from, the last gives its result."""
        self._taken.update(nodes)
        kind = FUNCTION if name in FUNCTIONS else LAYER
        step = Step(kind, name, (x,), nodes[-1].outputs[:1], path_of(nodes[0].scope), settings=settings, owned=owned)
        self._layers[nodes[-1]] = step


def settings_of(node: Node, left_out: Iterable[str]) -> dict[str, Any]:
    """The attributes of a node that differ from their defaults, in the order of the signature."""
    given = node.attributes
    settings: dict[str, Any] = {}
    for attribute in OPS[node.op].signature.attributes:
        value = _plain(given[attribute.name], attribute.type)
        if attribute.name not in left_out and not _same(value, attribute.default):
            settings[attribute.name] = value
    return settings


def _plain(value: Any, type_: str) -> Any:
    """An attribute as the language writes its type: rules of the reader may leave 1 for `true`."""
    wanted = {"bool": bool, "float": float}.get(type_)
    return value if wanted is None or value is None else wanted(value)


def _same(value: Any, default: Any) -> bool:
    if isinstance(value, tuple) and isinstance(default, int) and not isinstance(default, bool):
        return value == (default,)
    return type(value) is type(default) and value == default


def _linear(finder: Finder, node: Node) -> None:
    x, w = node.inputs
    turned = finder.producer(w, "transpose") or _turned_vector(finder, w)
    weight = turned.inputs[0] if turned is not None else w
    if not finder.own(weight) or weight.type.rank != 2 or x in finder.variables:
        return
    nodes = [node] if turned is None else [node, turned]
    owned = {"weight": Stored(weight, transposed=turned is None)}
    settings: dict[str, Any] = {"out": node.outputs[0].type.shape[-1]}
    addition = finder.next_sum(node.outputs[0])
    if addition is not None and finder.own(addition[1]) and addition[1].type.shape == (settings["out"],):
        nodes.append(addition[0])
        owned["bias"] = Stored(addition[1])
    else:
        settings["bias"] = False
        nodes.append(nodes.pop(0))
    finder.found(nodes, "linear", x, settings, owned)


def _turned_vector(finder: Finder, w: Value) -> Node | None:
    """A reshape that transposes a matrix of one row or one column."""
    node = finder.producer(w, "reshape")
    is_turned = node is not None and node.inputs[0].type.shape == w.type.shape[::-1] and 1 in w.type.shape
    return node if is_turned else None


def _conv(finder: Finder, node: Node) -> None:
    x, weight = node.inputs
    attrs = node.attributes
    axes = weight.type.rank - 2
    windows = [weight.type.shape[2:], attrs["stride"], attrs["padding"], attrs["dilation"]]
    if axes not in (1, 2) or not finder.own(weight) or any(len(set(window)) > 1 for window in windows):
        return
    kernel, stride, pad, dilation = (window[0] for window in windows)
    settings: dict[str, Any] = {"out": weight.type.shape[0], "kernel": kernel}
    given = {"stride": (stride, 1), "pad": (pad, 0), "dilation": (dilation, 1), "groups": (attrs["groups"], 1)}
    settings |= {key: value for key, (value, default) in given.items() if value != default}
    nodes, owned = [node], {"weight": Stored(weight)}
    bias = _conv_bias(finder, node)
    if bias is None:
        settings["bias"] = False
    else:
        nodes += bias
        owned["bias"] = Stored(bias[0].inputs[0])
    finder.found(nodes, f"conv{axes}d", x, settings, owned)


def _conv_bias(finder: Finder, node: Node) -> list[Node] | None:
    """The nodes that add a bias to a convolution: a vector laid along the channels, and the sum."""
    addition = finder.next_sum(node.outputs[0])
    laid = finder.producer(addition[1], "reshape") if addition is not None else None
    if addition is None or laid is None or not finder.own(laid.inputs[0]):
        return None
    channels, rank = node.outputs[0].type.shape[1], node.outputs[0].type.rank
    column = (channels, *(1,) * (rank - 2))
    fits = laid.outputs[0].type.shape in (column, (1, *column)) and laid.inputs[0].type.shape == (channels,)
    return [laid, addition[0]] if fits else None


def _pool(finder: Finder, node: Node) -> None:
    attrs = node.attributes
    windows = [attrs["kernel"], attrs["stride"], attrs["padding"]]
    rest = settings_of(node, ("kernel", "stride", "padding"))
    x = node.inputs[0]
    plain = x.type.dtype == "f32" and len(node.inputs) == len(node.outputs) == 1 and not rest
    if not plain or x.type.rank not in (3, 4) or any(len(set(window)) > 1 for window in windows):
        return
    kernel, stride, pad = (window[0] for window in windows)
    settings = {"kernel": kernel}
    settings |= {"stride": stride} if stride != kernel else {}
    settings |= {"pad": pad} if pad else {}
    finder.found([node], f"{node.op}{x.type.rank - 2}d", x, settings, {})


def _layer_norm(finder: Finder, node: Node) -> None:
    x, scale, shift = node.inputs
    zeros = finder.constants.get(shift)
    bias = finder.own(shift)
    if not finder.own(scale) or not (bias or (zeros is not None and not np.any(zeros))):
        return
    if finder.uses_more(node):
        return
    owned = {"scale": Stored(scale), **({"shift": Stored(shift)} if bias else {})}
    settings = _eps(node) | ({} if bias else {"bias": False})
    finder.found([node], "layer_norm", x, settings, owned)


def _batch_norm(finder: Finder, node: Node) -> None:
    x, *weights = node.inputs
    if not all(finder.own(weight) for weight in weights):
        return
    names = ("scale", "shift", "running_mean", "running_variance")
    owned = {name: Stored(weight) for name, weight in zip(names, weights, strict=True)}
    finder.found([node], "batch_norm", x, _eps(node), owned)


def _eps(node: Node) -> dict[str, Any]:
    eps = node.attributes["eps"]
    return {} if np.float32(eps) == np.float32(1e-5) else {"eps": eps}


def _embedding(finder: Finder, node: Node) -> None:
    table, index = node.inputs
    first, chosen = not node.attributes.get("axis"), index not in finder.constants
    if first and chosen and finder.own(table) and table.type.rank == 2 and index.type.dtype == "i64":
        rows, width = table.type.shape
        finder.found([node], "embedding", index, {"rows": rows, "d": width}, {"weight": Stored(table)})


def _global_average(finder: Finder, node: Node) -> None:
    """The mean of each channel over all positions, which a reshape has brought onto one axis."""
    joined = finder.producer(node.inputs[0], "reshape")
    if joined is None or node.attributes["axis"] not in ((-1,), (2,)) or node.attributes["keepdims"]:
        return
    x = joined.inputs[0]
    shape = node.inputs[0].type.shape
    if x.type.rank > 3 and x.type.dtype == "f32" and len(shape) == 3 and x.type.shape[:2] == shape[:2]:
        finder.found([joined, node], "global_avg_pool", x, {}, {})


_RECOGNISERS: dict[str, Callable[[Finder, Node], None]] = {
    "matmul": _linear,
    "conv": _conv,
    "max_pool": _pool,
    "avg_pool": _pool,
    "layer_normalize": _layer_norm,
    "batch_normalize": _batch_norm,
    "gather": _embedding,
    "mean": _global_average,
    "lstm": recurrent,
    "gru": recurrent,
}
