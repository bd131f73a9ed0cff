"""Nodes of ONNX that the language does not have: `onnx.Name(x, y, attribute = 1)`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import onnx
from onnx import helper

from netlang.diagnostics import DiagnosticError, fail

from ..emit import BASELINE_OPSET
from ..ops.foreign import ForeignNode
from .expressions import Text, call, listed
from .numbers import value_text
from .steps import Step


def foreign_text(step: Step, operands: Sequence[str]) -> Text:
    """The application of a foreign node. Raises DiagnosticError (`onnx-unsupported`) where it cannot be written."""
    foreign: ForeignNode = step.settings["node"]
    node = foreign.node
    given = iter(operands)
    items = [next(given) if name else "none" for name in node.input]
    if next(given, None) is not None:
        raise _refused(node, "its bodies use values of the graph around them")
    items += [f"{attribute.name} = {_attribute_text(node, attribute)}" for attribute in node.attribute]
    if len(node.output) > 1:
        items.append(f"outputs = {len(node.output)}")
    if node.domain:
        items += [f"opset = {foreign.since}", f'domain = "{node.domain}"']
    elif not foreign.since <= BASELINE_OPSET <= foreign.until:
        items.append(f"opset = {foreign.since}")
    return call(f"onnx.{node.op_type}", items)


def foreign_name(step: Step) -> str:
    """What ONNX calls the operator of a foreign node."""
    node = step.settings["node"].node
    return f"{node.domain}:{node.op_type}" if node.domain else node.op_type


def _attribute_text(node: onnx.NodeProto, attribute: onnx.AttributeProto) -> str:
    if attribute.type == onnx.AttributeProto.TENSOR:
        return value_text(base64.b64encode(attribute.t.SerializeToString(deterministic=True)).decode())
    if attribute.type not in _PLAIN:
        raise _refused(node, f"its attribute `{attribute.name}` is none that the language can write")
    value = helper.get_attribute_value(attribute)
    if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS, onnx.AttributeProto.STRINGS):
        return listed([_item_text(item) for item in value])
    return _item_text(value)


def _item_text(value: Any) -> str:
    return value_text(value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value)


def _refused(node: onnx.NodeProto, why: str) -> DiagnosticError:
    return fail("onnx-unsupported", f"`{node.op_type}` cannot be written in the language: {why}")


_PLAIN = frozenset({
    onnx.AttributeProto.INT, onnx.AttributeProto.FLOAT, onnx.AttributeProto.STRING,
    onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS, onnx.AttributeProto.STRINGS,
})  # fmt: skip
