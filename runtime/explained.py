"""What stops ONNX Runtime in the middle of a run, told as a fault of the program or its data, with line and value."""

from __future__ import annotations

import re
from collections.abc import Iterator

import onnx

from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.source import BUILTIN, Span

from ..compiler.emit import emit
from ..compiler.ir import Graph, Node

_STOPPED = re.compile(r".*while running \w+ node\. Name:'([^']*)' Status Message: (.*)", re.DOTALL)  # the innermost
_MEMORY = re.compile(r"failed to allocate|bad_alloc|out of memory|bad allocation", re.IGNORECASE)
_INDEX = re.compile(r"idx=(-?\d+) must be within the inclusive range \[-?\d+,(-?\d+)\]|index found, index = (-?\d+)")
_RESHAPE = re.compile(r"Input shape:\{([\d,]*)\}, requested shape:\{([-\d,]*)\}")
_BROADCAST = re.compile(r"broadcast an axis by a dimension other than 1\. (\d+) by (\d+)")


class explained:
    """A context that makes diagnostics of what a user can cause inside ONNX Runtime while it runs `graph`.

    Raises DiagnosticError (`out-of-memory`, `index-out-of-range`, `shape-mismatch`, `run-failed`). A class of its own
    costs a fifth of what a generator does around every call, and can be used again.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, Exception):
            return
        text = str(error)
        if _MEMORY.search(text):
            raise fail("out-of-memory", "there is not enough memory for this", help="use a smaller batch") from None
        stopped = _STOPPED.match(text)
        if stopped is not None:
            raise _fault(_place(self._graph, stopped[1]), stopped[2]) from None


def _fault(place: Label | None, message: str) -> DiagnosticError:
    span, label = (place.span, place.text) if place else (None, "")
    if found := _INDEX.search(message):
        expected = f"0 to {found[2]}" if found[2] else None
        return fail("index-out-of-range", f"an index is {found[1] or found[3]}", span, label, expected=expected)
    if found := _RESHAPE.search(message):
        title = f"a tensor of shape [{_listed(found[1])}] cannot get the shape [{_listed(found[2])}]"
        return fail("shape-mismatch", title, span, label, help=_SIZES)
    if found := _BROADCAST.search(message):
        return fail("shape-mismatch", f"two tensors have {found[1]} and {found[2]} where they must agree", span, label,
                    help=_SIZES)  # fmt: skip
    reason = re.sub(r"\S*onnxruntime\S*\s*", "", message).strip().partition("\n")[0][:200]
    return fail("run-failed", "the network could not compute this", span, label, notes=[reason] if reason else [])


_SIZES = "sizes that are open while compiling do not go together in this input; `where` can state what they must be"


def _listed(sizes: str) -> str:
    return ", ".join(sizes.split(","))


def _place(graph: Graph, name: str) -> Label | None:
    """Where in the program the ONNX node of this name comes from, and in which of its layers it stands."""
    line = next((proto.doc_string for proto in _protos(emit(graph).graph) if proto.name == name), "")
    on_line = [node for node in _nodes(graph) if node.loc is not BUILTIN and _line(node.loc) == line]
    found = next((node for node in on_line if node.op in name), on_line[0] if on_line else None)
    return None if found is None else Label(found.loc, f"in `{found.scope}`" if found.scope else "")


def _line(span: Span) -> str:
    return f"{span.source.name}:{span.line}"


def _protos(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for proto in graph.node:
        yield proto
        for attribute in proto.attribute:
            yield from _protos(attribute.g)


def _nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        yield node
        for value in node.attributes.values():
            if isinstance(value, Graph):
                yield from _nodes(value)
