"""The graphs of what `barriers` cuts: one for each segment and size of a part, and one for what comes after the last.

A segment reads and writes, besides what the whole graph does:

- inputs and outputs of the role "kept": what a part has of a value and hands to its own later segments;
- outputs of the role "sum": the share that a part has of a sum;
- inputs of the role "sum": the shares of all parts side by side, `[parts, *shape]`. Each part adds them up for itself,
  in the same order, and computes of the sums what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netlang.types import TensorType

from .barriers import VIEW, Cut
from .builder import Builder
from .ir import Graph, Input, Node, Value, Variable
from .passes import Pipeline, run
from .passes.algebra import algebra
from .passes.dead import dead
from .shapes import substitute_all

_PASSES: Pipeline = (("algebra", algebra), ("dead", dead))


def segment_graph(cut: Cut, index: int, rows: int, parts: int) -> Graph:
    """A segment for a part of so many rows, one of so many parts. Gradients that are its shares are outputs."""
    writer = _Writer(cut, f"segment.{index}", rows, parts)
    for node in cut.segments[index]:
        writer.compute(node)
    for value in (value for node in cut.segments[index] for value in node.outputs):
        if value in cut.kept:
            writer.output(f"kept/{value.name}", value, "kept")
        if value in cut.sums:
            writer.output(f"sum/{value.name}", value, "sum")
        for output in cut.graph.outputs:
            if output.value is value and cut.is_share(output.role, value):
                writer.output(output.name, value, output.role)
    return run(writer.builder.graph(), pipeline=_PASSES)


def closing_graph(cut: Cut, parts: int) -> Graph:
    """What is left when all parts are done: loss, reports, states, and gradients that no part has a share of."""
    writer = _Writer(cut, "closing", 0, parts)
    for output in cut.graph.outputs:
        if not cut.is_share(output.role, output.value):
            writer.builder.output(output.name, writer.whole(output.value), output.role)
    return run(writer.builder.graph(), pipeline=_PASSES)


class _Writer:
    """Repeats nodes of the whole graph for one part. What it has of a value, and the same value of all parts together,
    are two things: `_shares` and `_wholes` have them by the value in the whole graph."""

    def __init__(self, cut: Cut, name: str, rows: int, parts: int) -> None:
        self.builder = Builder(name)
        self._cut = cut
        self._sizes = {cut.batch: rows}
        self._parts = parts
        self._sources = {source.value: source for source in (*cut.graph.inputs, *cut.graph.variables)}
        self._producers = {value: node for node in cut.graph.nodes for value in node.outputs}
        self._shares: dict[Value, Value] = {}
        self._wholes: dict[Value, Value] = {}

    def compute(self, node: Node) -> None:
        """A node of this segment."""
        shares = [self._cut.takes_share(node, x) for x in node.inputs]
        own = [self.share(x) if mine else self.whole(x) for x, mine in zip(node.inputs, shares, strict=True)]
        self._repeat(node, own, self._shares)

    def output(self, name: str, value: Value, role: str) -> None:
        """Gives what this part has of a value."""
        self.builder.output(name, self._shares[value], role)

    def share(self, value: Value) -> Value:
        """What this part has of a value: computed in this segment, or read."""
        if value not in self._shares:
            node = self._producers.get(value)
            if node is None:
                self._shares[value] = self._source(value)
            elif node.op == VIEW:
                self._repeat(node, [self.share(node.inputs[0])], self._shares)
            else:
                self._shares[value] = self._input(f"kept/{value.name}", value, "kept")
        return self._shares[value]

    def whole(self, value: Value) -> Value:
        """What is the same in all parts: a sum of shares, or computed of such sums."""
        if value not in self._wholes:
            if value in self._cut.sums:
                type_ = TensorType(value.type.dtype, (self._parts, *value.type.shape))
                stacked = self.builder.input(f"sum/{value.name}", type_, "sum")
                self._wholes[value] = self.builder.sum(stacked, axis=(0,))
            elif value in self._producers:
                node = self._producers[value]
                self._repeat(node, [self.whole(x) for x in node.inputs], self._wholes)
            else:
                self._wholes[value] = self._source(value)
        return self._wholes[value]

    def _repeat(self, node: Node, inputs: Sequence[Value], results: dict[Value, Value]) -> None:
        attributes = {name: substitute_all(value, self._sizes) for name, value in node.attrs}
        with self.builder.at(node.loc, node.scope):
            found = self.builder.apply(node.op, inputs, attributes)
        results.update(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True))

    def _input(self, name: str, value: Value, role: str) -> Value:
        return self.builder.input(name, replace(value.type, shape=substitute_all(value.type.shape, self._sizes)), role)

    def _source(self, value: Value) -> Value:
        source = self._sources[value]
        if isinstance(source, Variable):
            self.builder.variables.append(source)
            return value
        assert isinstance(source, Input)
        return self._input(source.name, value, source.role)
