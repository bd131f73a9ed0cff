"""Operators that are none of the table's: kept as their ONNX node, forward only.

The ONNX package is imported where it is used: it takes longer to import than most programs take to check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from netlang.diagnostics import fail
from netlang.dims import Size
from netlang.types import TensorType

from ..op import Op
from .subgraphs import free_names, graphs_of, rename_values

if TYPE_CHECKING:
    import onnx

    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node


@dataclass(frozen=True, slots=True)
class OpaqueType(TensorType):
    """The type of a sequence, an optional value or a map: only foreign operators take and give such values."""

    content: bytes = b""

    @classmethod
    def of(cls, proto: onnx.TypeProto) -> OpaqueType:
        return cls("opaque", (), proto.SerializeToString(deterministic=True))

    @property
    def proto(self) -> onnx.TypeProto:
        from onnx import TypeProto

        return TypeProto.FromString(self.content)

    def __str__(self) -> str:
        return f"opaque({self.proto.WhichOneof('value')})"


@dataclass(frozen=True, slots=True)
class ForeignNode:
    """An ONNX node without its place in a graph, for operator sets `since` to `until` of its domain.

    `content` is the serialised node: inputs are called x0, x1, … or "" where left out, results y0, y1, … or "", and
    what the graphs inside it use of the graph around c0, c1, …; these captures are further inputs. `types`: of each
    result that is asked for, its type where that is opaque. `site` tells apart nodes whose results differ in spite of
    equal inputs.
    """

    content: bytes
    since: int
    until: int
    types: tuple[OpaqueType | None, ...]
    site: int = 0

    @classmethod
    def of(
        cls, node: onnx.NodeProto, since: int, until: int, types: Sequence[OpaqueType | None], site: int = 0
    ) -> ForeignNode:
        return cls(renamed(node).SerializeToString(deterministic=True), since, until, tuple(types), site)

    @property
    def node(self) -> onnx.NodeProto:
        from onnx import NodeProto

        return NodeProto.FromString(self.content)

    @property
    def baseline(self) -> int:
        """The lowest operator set of ONNX's own domain that the node needs."""
        return self.since if self.node.domain == "" else 0

    @property
    def ceiling(self) -> int:
        """The highest operator set of ONNX's own domain in which the node means the same."""
        from onnx import defs

        return self.until if self.node.domain == "" else defs.onnx_opset_version()

    def __str__(self) -> str:
        from onnx import helper

        node = self.node
        attributes = ", ".join(str(helper.printable_attribute(attribute)) for attribute in node.attribute)
        return f"{node.domain}:{node.op_type}({attributes})" if node.domain else f"{node.op_type}({attributes})"


def renamed(node: onnx.NodeProto) -> onnx.NodeProto:
    """`node` without its name, its inputs, results and captures called as in `ForeignNode`."""
    from onnx import NodeProto

    kept = NodeProto(op_type=node.op_type, domain=node.domain)
    kept.input.extend(f"x{i}" if name else "" for i, name in enumerate(node.input))
    kept.output.extend(f"y{i}" if name else "" for i, name in enumerate(node.output))
    kept.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
    captures = {name: f"c{i}" for i, name in enumerate(free_names(kept))}
    if captures:
        rename_values(kept, lambda name: captures.get(name, f"_{name}"))
    return kept


def _types(types: Sequence[TensorType], attrs: dict[str, Any]) -> tuple[TensorType, ...]:
    """`sizes` are those of all results, one after the other; `ranks` says how many belong to each."""
    node: ForeignNode = attrs["node"]
    results: list[TensorType] = []
    at = 0
    for dtype, rank, opaque in zip(attrs["dtypes"], attrs["ranks"], node.types, strict=True):
        shape: tuple[Size, ...] = attrs["sizes"][at : at + rank]
        results.append(opaque or TensorType(dtype, shape))
        at += rank
    return tuple(results)


def _numpy(*inputs: Any, node: ForeignNode, **_: Any) -> tuple[Any, ...]:
    """By the ONNX package's reference implementation."""
    from onnx import TypeProto, helper
    from onnx.reference import ReferenceEvaluator

    proto = node.node
    names = [*(name for name in proto.input if name), *free_names(proto)]
    results = [name for name in proto.output if name]
    untyped = TypeProto()
    graph = helper.make_graph(
        [proto],
        "foreign",
        [helper.make_value_info(name, untyped) for name in names],
        [helper.make_value_info(name, untyped) for name in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(proto.domain, node.since)])
    return tuple(ReferenceEvaluator(model).run(results, dict(zip(names, inputs, strict=True))))


def _no_gradient(b: Builder, node: Node, *_: Any) -> NoReturn:
    """Raises DiagnosticError (`no-gradient`): to pass by what a loss depends on would be a wrong gradient."""
    name = node.attributes["node"].node.op_type
    raise fail(
        "no-gradient",
        f"`{name}` of ONNX has no gradient: it is kept as the model has it",
        node.loc,
        "the loss depends on this",
        help="`stop_gradient` around it treats the result as a constant",
    )


def _onnx(e: Emitter, node: Node, *inputs: str) -> tuple[str, ...]:
    from onnx import helper

    foreign: ForeignNode = node.attributes["node"]
    proto = foreign.node
    if proto.domain:
        e.imports[proto.domain] = foreign.since
    given = iter(inputs)
    names = [next(given) if name else "" for name in proto.input]
    actual = dict(zip(free_names(proto), given, strict=True))
    label = e.unique("foreign") if any(graphs_of(proto)) else ""
    rename_values(proto, lambda name: actual.get(name, f"{label}/{name}"))
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in proto.attribute}
    results = e.node(proto.op_type, *names, outputs=len(proto.output), domain=proto.domain, **attributes)
    results = results if isinstance(results, tuple) else (results,)
    return tuple(result for result, name in zip(results, proto.output, strict=True) if name)


OPERATORS: tuple[Op, ...] = (
    Op(
        "foreign(x: t[*s], node: constant, dtypes: ints, ranks: ints, sizes: sizes, determined: sizes = none) -> t",
        doc="A node of an ONNX model, kept as it is. Of types that the model's own operator set says.",
        numpy=_numpy,
        node_vjp=_no_gradient,
        types=_types,
        variadic=True,
        splits=True,
        foldable=False,
        determines=("determined",),
        onnx=_onnx,
    ),
)
