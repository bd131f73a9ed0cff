"""Checks that a graph is well formed: what every pass may rely on and must keep."""

from __future__ import annotations

from netlang.diagnostics import DiagnosticError
from netlang.dims import symbols
from netlang.types import Mismatch

from .determined import NOTHING, determined
from .emit import output_name
from .ir import Graph, Node, Value
from .ops import OPS
from .printer import print_node
from .shapes import attribute_symbols, symbol_sources


class InternalError(AssertionError):
    """A graph that the compiler itself made wrong: never the user's fault."""


def verify(graph: Graph) -> None:
    """Raises InternalError, with the node printed, where `graph` breaks a rule of the representation.

    Every value is defined once in a graph, before its uses; the types of results are what the operator infers;
    attributes are hashable, sorted and complete; every symbol is determined by an axis of an input or by a node before;
    inputs, variables and outputs have names of their own. Bodies of nodes are graphs too.
    """
    _names(graph, list(graph.sources()))
    _body(graph, set())
    _next(graph)


def _body(graph: Graph, around: set[str]) -> None:
    """`around` are the symbols of the graphs that this one is inside of."""
    sources = list(graph.sources())
    known = around | set(symbol_sources(sources))
    for value in sources:
        _symbols(value, known, f"{value!r}")
    defined = set(sources)
    for node in graph.nodes:
        known |= determined(node) if node.op in OPS else NOTHING
        _node(node, defined, known)
        defined.update(node.outputs)
    for output in graph.outputs:
        if output.value not in defined:
            raise InternalError(f"output `{output.name}` is {output.value!r}, which nothing computes")


def _node(node: Node, defined: set[Value], known: set[str]) -> None:
    where = print_node(node)
    if node.op not in OPS:
        raise InternalError(f"there is no operator `{node.op}`: {where}")
    for value in node.inputs:
        if value not in defined:
            raise InternalError(f"{value!r} is used before it is computed: {where}")
    if len(set(node.outputs)) != len(node.outputs) or any(value in defined for value in node.outputs):
        raise InternalError(f"a result is computed twice: {where}")
    _attributes(node, known, where)
    try:
        inferred = OPS[node.op].infer([value.type for value in node.inputs], node.attributes)
    except (Mismatch, DiagnosticError, KeyError) as error:
        raise InternalError(f"the types do not fit ({error}): {where}") from error
    found = tuple(value.type for value in node.outputs)
    if tuple(inferred) != found:
        expected = ", ".join(map(str, inferred))
        raise InternalError(f"the types of the results must be {expected}: {where}")
    for value in node.outputs:
        _symbols(value, known, where)
    for body in node.bodies:
        if body.variables:
            raise InternalError(f"a body has variables: {where}")
        _body(body, known)


def _attributes(node: Node, known: set[str], where: str) -> None:
    names = [name for name, _ in node.attrs]
    declared = sorted(attribute.name for attribute in OPS[node.op].signature.attributes)
    if names != declared:
        raise InternalError(f"the attributes must be {declared}, found {names}: {where}")
    for name, value in node.attrs:
        try:
            hash(value)
        except TypeError as error:
            raise InternalError(f"attribute `{name}` cannot be hashed: {where}") from error
        open_symbols = sorted(attribute_symbols(value) - known)
        if open_symbols:
            raise InternalError(f"no input determines {open_symbols} in `{name}`: {where}")


def _symbols(value: Value, known: set[str], where: str) -> None:
    open_symbols = sorted({name for size in value.type.shape for name in symbols(size)} - known)
    if open_symbols:
        raise InternalError(f"no input determines {open_symbols}: {where}")


def _next(graph: Graph) -> None:
    """A new value has the type of the variable that it replaces."""
    types = {variable.name: variable.value.type for variable in graph.variables}
    for output in graph.outputs:
        if output.role == "next" and types.get(output.name) != output.value.type:
            raise InternalError(f"the next `{output.name}` is {output.value!r}, the variable {types.get(output.name)}")


def _names(graph: Graph, sources: list[Value]) -> None:
    """What goes in and what comes out have names of their own: an ONNX model has one namespace for both."""
    taken: set[str] = set()
    for value in sources:
        if value.name in taken:
            raise InternalError(f"two inputs or variables are called `{value.name}`")
        taken.add(value.name)
    given: set[str] = set()
    for output in graph.outputs:
        name = output_name(output.name, output.role)
        if name in taken:
            raise InternalError(f"an output is called `{name}`, as an input is")
        if name in given:
            raise InternalError(f"two outputs are called `{name}`")
        given.add(name)
