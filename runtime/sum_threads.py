"""Whether one thread computes a graph with sums at positions faster than several.

One thread adds with ScatterND, where several would race and leave the sums to ScatterElements, of which one thread does
the work as well. GAT on a graph of Cora's size takes 7.6 ms with one thread, and 9.5 ms with two.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..compiler.cost import bytes_moved, elements, node_flops
from ..compiler.ir import Graph
from ..compiler.passes.serial import combines_rows

ALONE_NS, SHARED_NS = 1.3, 5.8
"""Nanoseconds for each number that is added: by one thread alone, and among several. Measured as above."""

OPERATION_NS, BYTE_NS = 1 / 120, 1 / 10
"""Nanoseconds of one thread for an operation of a matrix product, and for a byte read or written."""


def alone(graph: Graph, sizes: Mapping[str, int], threads: int) -> bool:
    """Whether one thread takes less time than so many, for a batch of these sizes."""
    sums = [node for node in graph.nodes if combines_rows(node)]
    if threads == 1 or not sums:
        return False
    try:
        added = sum(elements(node.inputs[-1 if node.op == "scatter_nd" else 0].type, sizes) for node in sums)
        rest = sum(node_flops(node, sizes) for node in graph.nodes) * OPERATION_NS + bytes_moved(graph, sizes) * BYTE_NS
    except ValueError:  # a size that only the run knows
        return False
    return rest + added * ALONE_NS < rest / threads + added * SHARED_NS
