"""Refuses broken and hostile models before anything of the size that they claim is allocated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod

import onnx

from netlang.diagnostics import DiagnosticError, fail

from ..ops.subgraphs import graphs_of
from .call import normal_domain
from .onnx_types import DTYPES
from .schemas import Schema, find_schema

OLDEST_OPSET = 7
"""The first operator set in which operators broadcast as they do today."""

DEPTH_LIMIT = 24
"""How deep sub-graphs and functions may nest."""

RANK_LIMIT = 32
"""How many dimensions a tensor may have."""

_BITS = {"i4": 4, "u4": 4, "f4e2m1": 4, "i2": 2, "u2": 2, "f6e2m3": 6, "f6e3m2": 6}
_WIDTHS = {"f64": 8, "i64": 8, "u64": 8, "c64": 8, "c128": 16, "f32": 4, "i32": 4, "u32": 4, "f16": 2, "bf16": 2,
           "i16": 2, "u16": 2}  # fmt: skip

_FIELDS = {
    **dict.fromkeys(("f32", "c64"), "float_data"),
    **dict.fromkeys(("f64", "c128"), "double_data"),
    **dict.fromkeys(("u32", "u64"), "uint64_data"),
    "i64": "int64_data",
    "string": "string_data",
}
"""Where a tensor keeps its elements when not as bytes; all others are in `int32_data`."""


FunctionKey = tuple[str, str, str]
"""Domain, name and overload of a function."""


def function_key(function: onnx.FunctionProto) -> FunctionKey:
    """What calls of a function say."""
    return (normal_domain(function.domain), function.name, function.overload)


def called_function(node: onnx.NodeProto) -> FunctionKey:
    """The function that a node calls, if the model has it."""
    return (normal_domain(node.domain), node.op_type, node.overload)


def parse(content: bytes) -> onnx.ModelProto:
    """The model that `content` is. Raises DiagnosticError (`onnx-malformed`) where it is none."""
    from google.protobuf.message import DecodeError

    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except (DecodeError, RuntimeError, ValueError) as error:
        raise malformed(f"this is no ONNX model: {error}") from None
    return proto


def check_model(proto: onnx.ModelProto) -> None:
    """Raises DiagnosticError where a model breaks a rule of ONNX that reading relies on.

    `onnx-malformed`: parts are missing, tensors and their data disagree, an operator is called as it cannot be.
    `onnx-unsupported`: an operator set that is too old or too new. `onnx-too-large`: graphs nest too deeply.
    """
    if not proto.HasField("graph"):
        raise malformed("the model has no graph")
    check_opsets(proto.opset_import)
    for graph, opsets in _graphs(proto):
        _check_text(graph)
        for tensor in graph.initializer:
            check_tensor(tensor)
        for node in graph.node:
            check_node(node, opsets)
    for function in proto.functions:
        check_opsets(function.opset_import)
    _check_calls(proto.functions)


def check_opsets(imports: Sequence[onnx.OperatorSetIdProto]) -> None:
    """Raises DiagnosticError where the version of ONNX's own operators is missing, too old or too new."""
    if not imports:
        raise malformed("no operator set is imported")
    for imported in imports:
        if normal_domain(imported.domain) == "":
            latest = onnx.defs.onnx_opset_version()
            if not 1 <= imported.version <= latest:
                title = f"operator set {imported.version} is not known"
                raise fail("onnx-unsupported", title, expected=f"{OLDEST_OPSET} to {latest}", found=imported.version)


def opset_versions(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """The version of each operator domain that is imported."""
    return {normal_domain(imported.domain): imported.version for imported in imports}


def check_tensor(tensor: onnx.TensorProto) -> None:
    """Raises DiagnosticError (`onnx-malformed`) where a tensor holds more or less than its shape says."""
    name = f"the tensor `{tensor.name}`"
    if tensor.data_type not in DTYPES:
        raise malformed(f"{name} has the unknown element type {tensor.data_type}")
    if len(tensor.dims) > RANK_LIMIT:
        raise malformed(f"{name} has too many dimensions", expected=f"at most {RANK_LIMIT}", found=len(tensor.dims))
    if any(size < 0 for size in tensor.dims):
        raise malformed(f"{name} has a negative dimension", expected="sizes from 0 on", found=list(tensor.dims))
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        if DTYPES[tensor.data_type] == "string":
            raise malformed(f"{name} is of text, which cannot be external")
    else:
        expected, found = _lengths(tensor)
        if expected != found:
            raise malformed(f"{name} has too much or too little data", expected=expected, found=found)


def check_node(node: onnx.NodeProto, opsets: dict[str, int]) -> None:
    """Raises DiagnosticError (`onnx-malformed`) where an operator of ONNX is called as it cannot be."""
    for attribute in node.attribute:
        for tensor in _tensors(attribute):
            check_tensor(tensor)
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise fail("onnx-unsupported", f"an attribute of `{node.op_type}` has external data")
    domain = normal_domain(node.domain)
    schema = find_schema(node.op_type, opsets.get(domain, 0), domain)
    if schema is None:
        return
    if not schema.domain and opsets[""] < OLDEST_OPSET:
        _check_age(node, schema, opsets[""])
    where = f"`{node.op_type}`" + (f" (node `{node.name}`)" if node.name else "")
    if not schema.min_input <= len(node.input) <= schema.max_input:
        expected = f"{schema.min_input} to {schema.max_input}"
        raise malformed(f"{where} has a wrong number of inputs", expected=expected, found=len(node.input))
    if not schema.min_output <= len(node.output) <= schema.max_output:
        expected = f"{schema.min_output} to {schema.max_output}"
        raise malformed(f"{where} has a wrong number of results", expected=expected, found=len(node.output))
    _check_attributes(node, schema, where)


def malformed(title: str, expected: object = None, found: object = None) -> DiagnosticError:
    """The error about a model that breaks the rules of ONNX."""
    return fail("onnx-malformed", title, expected=expected, found=found)


def _check_text(graph: onnx.GraphProto) -> None:
    """Raises DiagnosticError (`onnx-malformed`) where a name is no text: protobuf then gives its bytes."""
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    names = [graph.name, *(item.name for item in values)]
    names += [dim.dim_param for info in (*graph.input, *graph.output) for dim in info.type.tensor_type.shape.dim]
    for node in graph.node:
        names += [node.op_type, node.domain, node.name, *node.input, *node.output]
        names += [text for prop in node.metadata_props for text in (prop.key, prop.value)]
        names += [text for attribute in node.attribute for text in (attribute.name, attribute.ref_attr_name)]
    wrong = next((name for name in names if not isinstance(name, str)), None)
    if wrong is not None:
        raise malformed("a name is not in UTF-8", found=wrong)


def _check_age(node: onnx.NodeProto, schema: Schema, version: int) -> None:
    """Raises DiagnosticError (`onnx-unsupported`) where an operator has changed since a very old operator set."""
    later = find_schema(node.op_type, OLDEST_OPSET, "")
    if later is None or later.since_version != schema.since_version:
        raise fail(
            "onnx-unsupported",
            f"`{node.op_type}` of operator set {version} is too old",
            expected=f"{OLDEST_OPSET} or later",
            found=version,
            help="onnx.version_converter brings older models to a later operator set",
        )


def _check_attributes(node: onnx.NodeProto, schema: Schema, where: str) -> None:
    given = {attribute.name: attribute for attribute in node.attribute}
    if len(given) < len(node.attribute):
        raise malformed(f"{where} states an attribute twice")
    for name, attribute in given.items():
        known = schema.attributes.get(name)
        if known is None:
            raise malformed(f"{where} has an unknown attribute `{name}`", sorted(schema.attributes) or "none", name)
        if known.type.value != attribute.type and not attribute.ref_attr_name:
            expected, found = map(_kind, (known.type.value, attribute.type))
            raise malformed(f"the attribute `{name}` of {where} is of a wrong type", expected, found)
    for name, known in schema.attributes.items():
        if known.required and name not in given:
            raise malformed(f"{where} lacks the attribute `{name}`")


def _kind(number: int) -> str:
    """The name of a type of attributes."""
    kinds = onnx.AttributeProto.AttributeType
    return kinds.Name(number).lower() if number in kinds.values() else str(number)


def data_length(tensor: onnx.TensorProto) -> int:
    """How many bytes the elements of a tensor take."""
    dtype = DTYPES[tensor.data_type]
    return (prod(tensor.dims) * _BITS.get(dtype, 8 * _WIDTHS.get(dtype, 1)) + 7) // 8


def _lengths(tensor: onnx.TensorProto) -> tuple[int, int]:
    """How much data the shape asks for and how much there is: in bytes, or in items where they are stored so."""
    if tensor.HasField("raw_data"):
        return data_length(tensor), len(tensor.raw_data)
    count = prod(tensor.dims)
    dtype = DTYPES[tensor.data_type]
    if dtype in ("c64", "c128"):
        count *= 2
    elif dtype in _BITS:  # packed into items of 8 bits
        count = data_length(tensor)
    return count, len(getattr(tensor, _FIELDS.get(dtype, "int32_data")))


def _graphs(proto: onnx.ModelProto) -> Iterator[tuple[onnx.GraphProto, dict[str, int]]]:
    """Every graph of a model, those inside others included, with the operator sets in effect."""
    for graph in nested(proto.graph):
        yield graph, opset_versions(proto.opset_import)
    for function in proto.functions:
        for graph in nested(onnx.GraphProto(node=function.node)):
            yield graph, opset_versions(function.opset_import)


def nested(graph: onnx.GraphProto, depth: int = 0) -> Iterator[onnx.GraphProto]:
    """`graph` and those inside its nodes. Raises DiagnosticError (`onnx-too-large`) where they nest too deeply."""
    if depth > DEPTH_LIMIT:
        raise too_deep()
    yield graph
    for node in graph.node:
        for inner in graphs_of(node):
            yield from nested(inner, depth + 1)


def too_deep() -> DiagnosticError:
    """The error about graphs within graphs within graphs."""
    return fail("onnx-too-large", f"sub-graphs or functions nest more than {DEPTH_LIMIT} deep")


def _tensors(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    if attribute.type == onnx.AttributeProto.TENSOR:
        yield attribute.t
    yield from attribute.tensors


def _check_calls(functions: Sequence[onnx.FunctionProto]) -> None:
    """Raises DiagnosticError (`onnx-malformed`) where a function is defined by itself."""
    by_name = {function_key(function): function for function in functions}
    if len(by_name) < len(functions):
        raise malformed("two functions have the same name")
    calls = {key: {called_function(node) for node in body.node} & by_name.keys() for key, body in by_name.items()}
    while calls:
        leaves = [key for key, called in calls.items() if not called & calls.keys()]
        if not leaves:
            names = ", ".join(f"`{name}`" for _, name, _ in sorted(calls))
            raise malformed(f"functions are defined by themselves: {names}")
        for key in leaves:
            del calls[key]
