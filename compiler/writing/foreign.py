"""Nodes of ONNX that the language does not have: `onnx.Name(x, y, attribute = 1)`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import helper

from netlang.diagnostics import DiagnosticError, fail
from netlang.dims import Dim, Size
from netlang.types import TensorType

from ..builder import Builder
from ..elaborate.foreign import add_node
from ..emit import BASELINE_OPSET
from ..ir import Node, Value
from ..ops.foreign import ForeignNode
from .expressions import Text, call, listed
from .numbers import value_text
from .steps import Step, is_uniform


def foreign_settings(node: Node, constants: Mapping[Value, np.ndarray]) -> dict[str, Any]:
    """What has to be written of a foreign node: the sizes of its results only where ONNX cannot infer them."""
    settings = node.attributes
    fresh = settings["determined"] or ()
    settings["sizes"] = tuple(None if size in fresh else size for size in settings["sizes"])
    if _is_inferred(node, constants):
        del settings["sizes"]
    return settings


def _is_inferred(node: Node, constants: Mapping[Value, np.ndarray]) -> bool:
    """Whether ONNX says the types of a node's results from those of its inputs."""
    foreign: ForeignNode = node.attributes["node"]
    b = Builder()
    known = {x: b.constant(constants[x]) for x in node.inputs if x in constants and is_uniform(constants[x])}
    given = iter([known.get(x) or b.input("x", x.type) for x in node.inputs])
    inputs = [next(given) if name else None for name in foreign.node.input]
    try:
        found = add_node(b, foreign.node, foreign.since, inputs)
    except DiagnosticError:
        return False
    fresh = node.attributes["determined"] or ()
    types = [value.type for value in found if value is not None]
    return len(types) == len(node.outputs) and all(map(partial(_agree, fresh), types, (x.type for x in node.outputs)))


def _agree(fresh: Sequence[Size], found: TensorType, wanted: TensorType) -> bool:
    """Whether types agree but for sizes that only the run tells."""
    if found.dtype != wanted.dtype or found.rank != wanted.rank:
        return False
    pairs = zip(found.shape, wanted.shape, strict=True)
    return all(one == other or (other in fresh and isinstance(one, Dim)) for one, other in pairs)


def foreign_text(step: Step, operands: Sequence[str], size_text: Callable[[int, Any], str]) -> Text:
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
    if "sizes" in step.settings:
        items.append(f"types = {_types_text(step, size_text)}")
    if node.domain:
        items += [f"opset = {foreign.since}", f'domain = "{node.domain}"']
    elif not foreign.since <= BASELINE_OPSET <= foreign.until:
        items.append(f"opset = {foreign.since}")
    return call(f"onnx.{node.op_type}", items)


def _types_text(step: Step, size_text: Callable[[int, Any], str]) -> str:
    """`[[f32, n, 4]]`: the element type and sizes of each result; `none` for a size that only the run tells."""
    types: list[str] = []
    place = 0
    for dtype, rank in zip(step.settings["dtypes"], step.settings["ranks"], strict=True):
        sizes = [size_text(i, step.settings["sizes"][i]) for i in range(place, place + rank)]
        types.append(listed([dtype, *sizes]))
        place += rank
    return listed(types)


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
