"""Moves transpositions from the result of a matrix product to its operands, where kernels do them for nothing."""

from __future__ import annotations

from collections import Counter

from ..builder import Builder
from ..ir import Graph, Node, Value
from ..ops.common import swaps_last
from .rebuild import Results, rebuild


def transpose(graph: Graph) -> Graph:
    """Rewrites (aᵀ b)ᵀ to bᵀ a, and (a bᵀ)ᵀ to b aᵀ, where the inner product has no other use.

    The gradient of a weight that enters as `x @ w.T` is of this form. ONNX Runtime reads a transposed operand in
    place (FusedMatMul) but must move every element of a transposed result.
    """
    uses = Counter(value for node in graph.nodes for value in node.inputs)
    uses.update(output.value for output in graph.outputs)

    def swap(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node.op != "transpose" or uses[node.inputs[0]] > 1 or not swaps_last(node.attributes["perm"]):
            return None
        product = b.producer(inputs[0])
        if product is None or product.op != "matmul":
            return None
        left, right = product.inputs
        if left.type.rank != right.type.rank:  # one product of many rows would become a batch of products
            return None
        if not any(_is_transposed(b, operand) for operand in product.inputs):
            return None
        return b.matmul(_transposed(b, right), _transposed(b, left))

    return rebuild(graph, swap)


def _is_transposed(b: Builder, x: Value) -> bool:
    node = b.producer(x)
    return node is not None and node.op == "transpose" and swaps_last(node.attributes["perm"])


def _transposed(b: Builder, x: Value) -> Value:
    node = b.producer(x)
    return node.inputs[0] if node is not None and _is_transposed(b, x) else b.t(x)
