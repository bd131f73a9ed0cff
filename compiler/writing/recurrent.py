"""Finds the recurrent layers of the library: LSTM and GRU over the second axis, that begin with zeros."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir import Node, Value
from ..ops import OPS
from .steps import Stored

if TYPE_CHECKING:
    from .layers import Finder

GATES = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}
"""For each gate of the library's layer (i, f, g, o; r, z, n), which of ONNX's operator it is (i, o, f, c; z, r, h)."""
MAX_MOVES = 10
"""Nodes one after the other on the way from stored weights to those of a layer."""
_MOVES = frozenset({"slice", "concat", "reshape", "transpose"})
_TIME_AND_BATCH = (1, 0, 2)

Lookup = Callable[[Value], np.ndarray]


@dataclass
class Moved:
    """A weight whose elements were only moved since it was stored: the nodes that did it, and the variables."""

    value: Value
    nodes: list[Node] = field(default_factory=list)
    variables: list[Value] = field(default_factory=list)

    def array(self, lookup: Lookup) -> np.ndarray:
        """The elements as they arrive."""
        known = {variable: lookup(variable) for variable in self.variables}
        for node in self.nodes:
            numpy = OPS[node.op].numpy
            assert numpy is not None
            known[node.outputs[0]] = np.asarray(numpy(*(known[x] for x in node.inputs), **node.attributes))
        return known[self.value]


def recurrent(finder: Finder, node: Node) -> None:
    """Notes the layer that `node`, an application of `lstm` or `gru`, is a part of."""
    x, w, r, bias, *initial = node.inputs
    turned = finder.producer(x, "transpose")
    weights = [_moved(finder, value) for value in (w, r, bias)]
    after = _batch_first(finder, node)
    plain = node.attributes["direction"] in ("forward", "reverse") and node.attributes.get("reset_after", True)
    if turned is None or after is None or not plain or not all(map(finder.is_zero, initial)):
        return
    known = [weight for weight in weights if weight is not None]
    if turned.attributes["perm"] != _TIME_AND_BATCH or len(known) < len(weights) or finder.uses_more(node):
        return
    settings: dict[str, Any] = {"n": r.type.shape[-1]}
    settings |= {"reverse": True} if node.attributes["direction"] == "reverse" else {}
    nodes = [node, turned, *(move for weight in known for move in weight.nodes), *after]
    finder.found(nodes, node.op, turned.inputs[0], settings, _owned(node.op, *known))


def _moved(finder: Finder, value: Value) -> Moved | None:
    """The weight that `value` is, where all that uses its variables is on the way there."""
    found = Moved(value)
    if not _trace(finder, value, found):
        return None
    inside = {id(node) for node in found.nodes}
    sizes = [int(np.prod(variable.type.shape)) for variable in found.variables]  # type: ignore[arg-type]
    alone = all(finder.used_within(variable, inside, value) for variable in found.variables)
    return found if alone and sum(sizes) == int(np.prod(value.type.shape)) else None  # type: ignore[arg-type]


def _trace(finder: Finder, value: Value, found: Moved, depth: int = 0) -> bool:
    """Collects the nodes and variables that `value` is made of; False where there is more to it than moves."""
    if value in finder.variables:
        if value not in found.variables:
            found.variables.append(value)
        return value.type.dtype == "f32"
    node = finder.made_by(value)
    if node is None or node.op not in _MOVES or depth > MAX_MOVES:
        return False
    if not all(_trace(finder, x, found, depth + 1) for x in node.inputs):
        return False
    if node not in found.nodes:
        found.nodes.append(node)
    return True


def _batch_first(finder: Finder, node: Node) -> list[Node] | None:
    """The nodes that bring the results of all steps, [t, 1, b, n], to [b, t, n]."""
    value = node.outputs[0]
    nodes: list[Node] = []
    steps, _, batch, width = value.type.shape
    while finder.alone(value) and len(nodes) < 3:
        (user,) = finder.users(value)
        nodes.append(user)
        value = user.outputs[0]
        if user.op == "transpose" and user.attributes["perm"] == _TIME_AND_BATCH:
            return nodes
        squeezed = user.op == "reshape" and value.type.shape == (steps, batch, width)
        if not squeezed and not (user.op == "transpose" and user.attributes["perm"] == (0, 2, 1, 3)):
            return None
    return None


def _owned(op: str, w: Moved, r: Moved, bias: Moved) -> dict[str, Stored]:
    """The weights of the library's layer: its gates in their order, the two biases apart."""
    order = GATES[op]

    def gates(array: np.ndarray) -> np.ndarray:
        return np.concatenate([np.split(array, len(order))[gate] for gate in order])

    return {
        "weight_ih": Stored(w.variables[0], compute=lambda lookup: gates(w.array(lookup)[0])),
        "weight_hh": Stored(r.variables[0], compute=lambda lookup: gates(r.array(lookup)[0])),
        "bias_ih": Stored(bias.variables[0], compute=lambda lookup: gates(np.split(bias.array(lookup)[0], 2)[0])),
        "bias_hh": Stored(bias.variables[-1], compute=lambda lookup: gates(np.split(bias.array(lookup)[0], 2)[1])),
    }
