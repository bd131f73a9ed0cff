"""Nodes that are kept as they are: their types, and the operator sets in which they mean the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.version_converter
from onnx import numpy_helper

from netlang.diagnostics import DiagnosticError, fail
from netlang.dims import Size
from netlang.types import TensorType

from ..emit import LATEST_OPSET
from ..ir import Value
from ..ops.foreign import ForeignNode, OpaqueType, renamed
from ..ops.subgraphs import free_names, inner_nodes
from .call import normal_domain
from .onnx_types import size_names, tensor_type, type_proto
from .schemas import Schema, as_before, find_schema, is_random, last_version, similar_name

if TYPE_CHECKING:
    from .call import Call
    from .reader import Reader


def keep(reader: Reader, call: Call, ranks: Sequence[int] = ()) -> tuple[Value | None, ...]:
    """The results of a node kept as it is; see `Reader.foreign`."""
    since, until = _window(reader, call)
    if not call.domain and until < reader.model.target:
        return _upgraded(reader, call)
    schema = _schema(reader, call.op_type, call.version, call.domain)
    older = None if call.domain or since <= LATEST_OPSET else as_before(schema, LATEST_OPSET)
    if older is not None and _accepts(reader, call, older):  # the newer one, which no runtime has yet, only takes more
        schema, since = older, older.since_version
    types, fresh = _result_types(reader, call, schema, ranks)
    asked = [i for i, name in enumerate(call.outputs) if name]
    kept = [types[i] for i in asked]
    opaque = tuple(type_ if isinstance(type_, OpaqueType) else None for type_ in kept)
    site = len(reader.b.nodes) if is_random(schema) else 0
    node = ForeignNode.of(call.node, since, until, opaque, site)
    attributes = {
        "node": node,
        "dtypes": tuple(type_.dtype for type_ in kept),
        "ranks": tuple(type_.rank for type_ in kept),
        "sizes": tuple(size for type_ in kept for size in type_.shape),
        "determined": tuple(fresh),
    }
    inputs = [value for value in call.inputs if value is not None]
    captures = [reader.value(name) for name in free_names(call.node)]
    values = reader.b.apply("foreign", inputs + captures, attributes)
    assert isinstance(values, tuple)
    results: list[Value | None] = [None] * len(call.outputs)
    for i, value in zip(asked, values, strict=True):
        results[i] = value
    return tuple(results)


def _schema(reader: Reader, op_type: str, version: int, domain: str) -> Schema:
    """The definition of an operator. Raises DiagnosticError (`onnx-unsupported`) where ONNX has none."""
    schema = find_schema(op_type, version, domain)
    if schema is None:
        name = f"{domain}:{op_type}" if domain else op_type
        title = f"ONNX has no operator `{name}` in version {version} of its domain"
        raise fail("onnx-unsupported", title, reader.b.loc, help=similar_name(op_type, domain))
    return schema


def _window(reader: Reader, call: Call) -> tuple[int, int]:
    """The first and last version of its domain in which the node, with those inside it, means what it does here."""
    uses = {(call.op_type, call.version)}
    for node in inner_nodes(call.node):
        domain = normal_domain(node.domain)
        version = reader.opsets.get(domain, 0)
        _schema(reader, node.op_type, version, domain)
        if domain == call.domain:
            uses.add((node.op_type, version))
    first = max(_schema(reader, *use, call.domain).since_version for use in uses)
    return first, min(last_version(*use, call.domain) for use in uses)


def _accepts(reader: Reader, call: Call, schema: Schema) -> bool:
    """Whether the inputs are of types that `schema` takes."""
    try:
        _result_types(reader, call, schema, ())
    except DiagnosticError as error:
        return error.diagnostics[0].code != "onnx-malformed"
    return True


def _upgraded(reader: Reader, call: Call) -> tuple[Value | None, ...]:
    """The results of a node whose operator has changed since: of the nodes that ONNX's converter makes of it."""
    target = reader.model.target
    given = {f"x{i}": value for i, value in enumerate(call.inputs) if value is not None}
    constants = {name: proto for name, value in given.items() if (proto := _content(reader, value)) is not None}
    node = renamed(call.node)
    graph = onnx.helper.make_graph(
        [node],
        "upgraded",
        [onnx.helper.make_value_info(n, type_proto(v.type)) for n, v in given.items() if n not in constants],
        [onnx.ValueInfoProto(name=name) for name in node.output if name],
    )
    for name, proto in constants.items():
        graph.initializer.add().CopyFrom(proto)
        graph.initializer[-1].name = name
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", call.version)])
    try:
        converted = onnx.version_converter.convert_version(model, target)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        raise reader.refuse(call, f"it has no equal in operator set {target} ({error})") from None
    inner = reader.inner(reader.b, {"": target})
    for name, value in given.items():
        inner.bind(name, value)
    for tensor in converted.graph.initializer:
        if tensor.name not in given:
            inner.bind(tensor.name, inner.literal(tensor))
    inner.nodes(converted.graph.node)
    return tuple(inner.value(name) if name else None for name in node.output)


def _result_types(
    reader: Reader, call: Call, schema: Schema, ranks: Sequence[int]
) -> tuple[list[TensorType], list[Size]]:
    """The type of each result, and the sizes in them that only the run tells."""
    given = {name: value for name, value in zip(call.node.input, call.inputs, strict=True) if value is not None}
    fresh: list[Size] = []

    def unknown() -> Size:
        fresh.append(reader.b.fresh(call.op_type))
        return fresh[-1]

    for name in free_names(call.node):
        given[name] = reader.value(name)
    known = size_names(*(value.type for value in given.values()))
    try:
        found = onnx.shape_inference.infer_node_outputs(
            schema,
            call.node,
            {name: type_proto(value.type) for name, value in given.items()},
            {name: proto for name, value in given.items() if (proto := _content(reader, value)) is not None},
            opset_imports=[onnx.helper.make_opsetid(domain, version) for domain, version in reader.opsets.items()],
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError) as error:
        raise reader.malformed(f"{call} does not accept its inputs: {error}") from None
    types: list[TensorType] = []
    for i, name in enumerate(call.outputs):
        if not name:
            types.append(TensorType("bool"))  # of no result
            continue
        proto = _merged(found.get(name), reader.declared.get(name))
        if i < len(ranks) and not proto.tensor_type.HasField("shape"):
            for _ in range(ranks[i]):
                proto.tensor_type.shape.dim.add()
        type_ = tensor_type(proto, known, unknown)
        if type_ is None:
            raise fail("onnx-dynamic", f"the rank of `{name}`, a result of {call}, cannot be told", reader.b.loc)
        types.append(type_)
    return types, fresh


def _merged(found: onnx.TypeProto | None, declared: onnx.TypeProto | None) -> onnx.TypeProto:
    """The type that ONNX infers, with what only the model states of it."""
    merged = onnx.TypeProto()
    if found is None or declared is None:
        merged.CopyFrom(found or declared or merged)
        return merged
    merged.CopyFrom(found)
    if found.WhichOneof("value") != "tensor_type" or declared.WhichOneof("value") != "tensor_type":
        return merged
    if not found.tensor_type.HasField("shape"):
        merged.tensor_type.shape.CopyFrom(declared.tensor_type.shape)
    dims, stated = merged.tensor_type.shape.dim, declared.tensor_type.shape.dim
    if len(dims) == len(stated):
        for dim, known in zip(dims, stated, strict=True):
            if dim.WhichOneof("value") is None:
                dim.CopyFrom(known)
    return merged


def _content(reader: Reader, value: Value) -> onnx.TensorProto | None:
    """What is known of an input's content: inference of shapes asks for it."""
    array = reader.constant(value)
    return None if array is None or array.size > 1024 or array.dtype == np.object_ else numpy_helper.from_array(array)
