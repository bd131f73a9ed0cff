"""One node of an ONNX model, as the rules see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import onnx
from onnx import numpy_helper

from ..ir import Value


@dataclass(frozen=True)
class Call:
    """A node with its inputs read. `version` is the version of its operator set that is in effect."""

    node: onnx.NodeProto
    version: int
    inputs: tuple[Value | None, ...]

    @property
    def op_type(self) -> str:
        return self.node.op_type

    @property
    def domain(self) -> str:
        """The operator's domain; "" for that of ONNX itself."""
        return normal_domain(self.node.domain)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the results; "" for one that is not asked for."""
        return tuple(self.node.output)

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The attributes that the node states: numbers, text, lists of them, arrays for tensors, GraphProto."""
        return {attribute.name: attribute_value(attribute) for attribute in self.node.attribute}

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute called `name`, or `default` where the node does not state it."""
        return self.attributes.get(name, default)

    def input(self, index: int) -> Value | None:
        """The input at `index`, or None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def asks(self, index: int) -> bool:
        """Whether the node gives its result at `index` a name."""
        return index < len(self.node.output) and bool(self.node.output[index])

    def __str__(self) -> str:
        """How the call is named in messages."""
        name = f"{self.domain}:{self.op_type}" if self.domain else self.op_type
        return f"`{name}` (node `{self.node.name}`)" if self.node.name else f"`{name}`"


def attribute_value(attribute: onnx.AttributeProto) -> Any:
    """The value of an attribute: text decoded, tensors as arrays."""
    match attribute.type:
        case onnx.AttributeProto.STRING:
            return _text(attribute.s)
        case onnx.AttributeProto.STRINGS:
            return [_text(item) for item in attribute.strings]
        case onnx.AttributeProto.TENSOR:
            return numpy_helper.to_array(attribute.t)
        case onnx.AttributeProto.TENSORS:
            return [numpy_helper.to_array(tensor) for tensor in attribute.tensors]
    value = onnx.helper.get_attribute_value(attribute)
    return list(value) if isinstance(value, list | tuple) or hasattr(value, "__iter__") else value


def normal_domain(domain: str) -> str:
    """ONNX's own domain has two names."""
    return "" if domain == "ai.onnx" else domain


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
