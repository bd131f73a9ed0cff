"""`onnx`: the operators of ONNX by name, for programs made from its models.

`onnx.NonMaxSuppression(boxes, scores, none, center_point_box = 1)` applies an operator of ONNX as it is, forward only:
tensors in its order (`none` where one is left out), then attributes by their names. Beside these, `outputs` asks for so
many results, `opset` says in which version of the operator set it is meant, `domain` where it is not ONNX's own, and
`types` of which types the results are where ONNX cannot tell.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import helper

from netlang.diagnostics import DiagnosticError, did_you_mean, fail
from netlang.source import Span

from ..builder import Builder
from ..emit import BASELINE_OPSET, ONNX_DTYPES
from ..ir import Value
from .arguments import Arguments
from .context import Context
from .values import DType, Intrinsic, Namespace, describe, is_size

Kind = onnx.defs.OpSchema.AttrType


class _Operators(dict[str, Intrinsic]):
    """The operators of ONNX by name, each made when it is first asked for."""

    def __contains__(self, name: object) -> bool:
        return any(schema.name == name for schema in onnx.defs.get_all_schemas())

    def __getitem__(self, name: str) -> Intrinsic:
        return Intrinsic(name, partial(_apply, name))

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({schema.name for schema in onnx.defs.get_all_schemas()}))


def _apply(op_type: str, context: Context, arguments: Arguments) -> Any:
    """Adds a node of ONNX; its type is what ONNX infers."""
    given = dict(arguments.keywords)
    count, domain = _option(given, "outputs", 1), _option(given, "domain", "")
    version = _option(given, "opset", BASELINE_OPSET)
    declared = _types(given)
    schema = _schema(op_type, version, domain, arguments.span)
    inputs = [_input(op_type, value, span) for value, span in arguments.positional]
    node = helper.make_node(
        op_type,
        [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)],
        [f"y{i}" for i in range(count)],
        domain=domain,
    )
    for name, (value, span) in given.items():
        node.attribute.append(_attribute(schema, name, value, span))
    with context.builder.at(arguments.span):
        results = add_node(context.builder, node, version, inputs, declared)
    return results[0] if count == 1 else results


def add_node(
    b: Builder,
    node: onnx.NodeProto,
    version: int,
    inputs: Sequence[Value | None],
    declared: Mapping[str, onnx.TypeProto] | None = None,
) -> tuple[Value | None, ...]:
    """Adds a node of ONNX as it is, of this version of its operator set: its results, of the types that ONNX infers.

    `declared` are those of results that it cannot infer. Raises DiagnosticError.
    """
    from ..reading.call import Call
    from ..reading.foreign import keep
    from ..reading.model import CONSTANT_LIMIT
    from ..reading.reader import Model, Reader
    from ..reading.weights import no_external

    model = Model(BASELINE_OPSET if node.domain else version, no_external, {}, CONSTANT_LIMIT)
    reader = Reader(b, model, {"": version, node.domain: version}, declared=declared)
    return keep(reader, Call(node, version, tuple(inputs)))


def _types(given: dict[str, tuple[Any, Span]]) -> dict[str, onnx.TypeProto]:
    """Takes `types = [[f32, n, 4]]`: what ONNX cannot infer of the results, `none` for a size that is not known."""
    stated, span = given.pop("types", ((), None))
    found: dict[str, onnx.TypeProto] = {}
    for i, item in enumerate(stated if isinstance(stated, tuple) else (stated,)):
        dtype, *shape = item if isinstance(item, tuple) and item else (None,)
        if not isinstance(dtype, DType) or not all(size is None or is_size(size) for size in shape):
            raise fail("type-mismatch", "`types` lists for each result its element type and its sizes", span,
                       describe(item), help="write `types = [[f32, n, 4]]`")  # fmt: skip
        sizes = [size if size is None or isinstance(size, int) else str(size) for size in shape]
        found[f"y{i}"] = helper.make_tensor_type_proto(ONNX_DTYPES[dtype.name], sizes)
    return found


def _option(given: dict[str, tuple[Any, Span]], name: str, default: Any) -> Any:
    """Takes an argument that is none of the operator's own."""
    value, span = given.pop(name, (default, None))
    if type(value) is not type(default):
        raise fail("type-mismatch", f"`{name}` must be {describe(default)} or the like", span, describe(value))
    return value


def _schema(op_type: str, version: int, domain: str, span: Span) -> onnx.defs.OpSchema:
    latest = onnx.defs.onnx_opset_version()
    try:
        if not domain and not 1 <= version <= latest:
            raise onnx.defs.SchemaError
        return onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        raise fail("onnx-unsupported", f"ONNX has no `{op_type}` in operator set {version} of its domain", span,
                   help=f"`opset`, up to {latest}, and `domain` say which one is meant") from None  # fmt: skip


def _input(op_type: str, value: Any, span: Span) -> Value | None:
    if value is None or isinstance(value, Value):
        return value
    raise fail("not-a-tensor", f"`onnx.{op_type}` takes tensors, and attributes by their names", span, describe(value))


def _attribute(schema: onnx.defs.OpSchema, name: str, value: Any, span: Span) -> onnx.AttributeProto:
    """An attribute of the type that the operator says; a tensor is text, its bytes in base 64."""
    if name not in schema.attributes:
        raise fail("unknown-argument", f"`onnx.{schema.name}` has no attribute `{name}`", span,
                   help=did_you_mean(name, schema.attributes))  # fmt: skip
    kind = schema.attributes[name].type
    try:
        content = _CONTENT[kind](value) if kind in _CONTENT else value
        return helper.make_attribute(name, content, attr_type=onnx.AttributeProto.AttributeType.Value(_word(kind)))
    except (TypeError, ValueError, DecodeError, binascii.Error):
        raise _wrong(schema, name, value, span) from None


def _wrong(schema: onnx.defs.OpSchema, name: str, value: Any, span: Span) -> DiagnosticError:
    kind = _word(schema.attributes[name].type).lower()
    return fail("type-mismatch", f"`{name}` of `onnx.{schema.name}` is of another type", span, describe(value),
                expected=kind, found=describe(value))  # fmt: skip


def _word(kind: Any) -> str:
    """The name of a type of attributes: `INTS`."""
    return kind.name


def _tensor(value: Any) -> onnx.TensorProto:
    return onnx.TensorProto.FromString(base64.b64decode(value, validate=True))


_CONTENT: dict[Any, Any] = {
    Kind.FLOAT: float,
    Kind.FLOATS: lambda value: [float(item) for item in value],
    Kind.INT: int,
    Kind.INTS: lambda value: [int(item) for item in value],
    Kind.STRINGS: list,
    Kind.TENSOR: _tensor,
}

OPERATORS = Namespace("onnx", _Operators())
"""What the name `onnx` stands for."""
