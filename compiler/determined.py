"""Sizes that nodes determine: symbols whose values are known only from the shape of a result."""

from __future__ import annotations

from .ir import Node
from .ops import OPS
from .shapes import attribute_symbols

NOTHING: frozenset[str] = frozenset()


def determined(node: Node) -> frozenset[str]:
    """The symbols whose values the result of `node` tells."""
    names = OPS[node.op].determines
    return attribute_symbols(tuple(node.attributes[name] for name in names)) if names else NOTHING


def sizes_of(node: Node) -> frozenset[str]:
    """The symbols that `node` tells or needs: those of its attributes and types, and of the nodes inside it."""
    found = attribute_symbols(tuple(value for _, value in node.attrs))
    for body in node.bodies:
        found = found.union(*map(sizes_of, body.nodes))
    return found.union(*(attribute_symbols(value.type.shape) for value in (*node.inputs, *node.outputs)))
