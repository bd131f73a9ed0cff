"""Operators that are defined by other operators: functions of the model and of ONNX itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx

from .call import Call
from .onnx_types import type_proto
from .schemas import find_schema


def definition(call: Call, opsets: Mapping[str, int]) -> onnx.FunctionProto | None:
    """How ONNX itself defines an operator by others, or None where it does not."""
    schema = find_schema(call.op_type, call.version, call.domain)
    if schema is None:
        return None
    function = onnx.FunctionProto()
    if schema.has_function:
        function.CopyFrom(schema.function_body)
    elif schema.has_context_dependent_function:
        types = [b"" if value is None else type_proto(value.type).SerializeToString() for value in call.inputs]
        version = opsets.get("", onnx.defs.onnx_opset_version())
        function.ParseFromString(
            schema.get_context_dependent_function_with_opset_version(version, call.node.SerializeToString(), types)
        )
    defaults = (attribute.default_value for attribute in schema.attributes.values())
    function.attribute_proto.extend(default for default in defaults if default.name)
    return function if function.node else None


def body_nodes(function: onnx.FunctionProto, call: Call) -> Iterator[onnx.NodeProto]:
    """The nodes of a function, with the attributes of the call in place of references to them.

    Inputs that the call leaves out are left out of the nodes too.
    """
    given = {attribute.name: attribute for attribute in function.attribute_proto}
    given |= {attribute.name: attribute for attribute in call.node.attribute}
    absent = {name for i, name in enumerate(function.input) if call.input(i) is None}
    for node in function.node:
        yield _instance(node, given, absent)


def _instance(node: onnx.NodeProto, given: Mapping[str, onnx.AttributeProto], absent: set[str]) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.attribute[:]
    for i, name in enumerate(copy.input):
        if name in absent:
            copy.input[i] = ""
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            copy.attribute.append(_within(attribute, given, absent))
        elif attribute.ref_attr_name in given:
            actual = onnx.AttributeProto()
            actual.CopyFrom(given[attribute.ref_attr_name])
            actual.name = attribute.name
            copy.attribute.append(actual)
    return copy


def _within(
    attribute: onnx.AttributeProto, given: Mapping[str, onnx.AttributeProto], absent: set[str]
) -> onnx.AttributeProto:
    """`attribute` with the references inside its graphs replaced."""
    copy = onnx.AttributeProto()
    copy.CopyFrom(attribute)
    for graph in (copy.g, *copy.graphs) if copy.type == onnx.AttributeProto.GRAPH else copy.graphs:
        nodes = [_instance(node, given, absent) for node in graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
    return copy
