"""Operators of ONNX that passes put in place of others: kept as their node, for graphs that are not derived again."""

from __future__ import annotations

from typing import Any

from netlang.types import TensorType

from ..builder import Builder
from ..ir import Node, Value
from ..ops.foreign import ForeignNode


def native(b: Builder, op_type: str, inputs: tuple[Value, ...], result: TensorType, since: int, **attrs: Any) -> Value:
    """The one result, of type `result`, of an operator that means the same from operator set `since` on."""
    from onnx import defs, helper

    names = [f"x{i}" for i in range(len(inputs))]
    node = helper.make_node(op_type, names, ["y0"], **attrs)
    kept = ForeignNode.of(node, since, defs.onnx_opset_version(), (None,))
    found = b.foreign(
        *inputs, node=kept, dtypes=(result.dtype,), ranks=(result.rank,), sizes=result.shape, determined=()
    )
    return found[0] if isinstance(found, tuple) else found


def is_native(node: Node, op_type: str) -> bool:
    """Whether a node is such an operator, of this name."""
    return node.op == "foreign" and node.attributes["node"].node.op_type == op_type
