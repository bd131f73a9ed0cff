"""What passes that change nodes share: replaying a graph, node by node, into a fresh builder."""

from __future__ import annotations

from collections.abc import Callable

from ..builder import Builder
from ..ir import Graph, Node, Output, Value

Results = Value | tuple[Value, ...]
Rewrite = Callable[[Builder, Node, tuple[Value, ...]], Results | None]
"""`rewrite(b, node, inputs)`: what to put in place of `node`, whose inputs have become `inputs`; None keeps it."""


def rebuild(graph: Graph, rewrite: Rewrite | None = None, builder: Builder | None = None) -> Graph:
    """`graph` replayed through `builder`, so that constants fold, equal nodes are shared, and types are inferred anew.

    Inputs, variables, outputs, places and scopes stay as they are.
    """
    b = builder or Builder(graph.name)
    b.differentiated = graph.differentiated
    b.demands.extend(graph.demands)
    b.reserve(graph)
    b.inputs.extend(graph.inputs)
    b.variables.extend(graph.variables)
    values = {value: value for value in graph.sources()}
    for node in graph.nodes:
        inputs = tuple(values[x] for x in node.inputs)
        with b.at(node.loc, node.scope):
            results = rewrite(b, node, inputs) if rewrite else None
            if results is None:
                results = b.apply(node.op, inputs, node.attributes)
        results = results if isinstance(results, tuple) else (results,)
        values.update(zip(node.outputs, results, strict=True))
    b.outputs.extend(Output(output.name, values[output.value], output.role) for output in graph.outputs)
    return b.graph(**graph.metadata)
