"""Graphs as text, for people: `--dump-after`, error reports and tests of whole graphs."""

from __future__ import annotations

from typing import Any

from netlang.source import BUILTIN

from .ir import Graph, Node, Output, Variable


def print_graph(graph: Graph) -> str:
    """A line for each input, variable, node and output, in order, bodies below their nodes; equal for equal graphs."""
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> list[str]:
    lines = [f"graph {graph.name}"]
    lines += [f"  input {item.value!r}{_suffix('' if item.role == 'data' else item.role)}" for item in graph.inputs]
    lines += [f"  {_variable(variable)}" for variable in graph.variables]
    for node in graph.nodes:
        lines.append(f"  {print_node(node)}")
        lines += [f"    {line}" for body in node.bodies for line in _lines(body)]
    lines += [f"  {_output(output)}" for output in graph.outputs]
    return lines


def print_node(node: Node) -> str:
    """`%y: f32[b, 84] = matmul(%x, %w)  # net:12 linear_2`: results, application, line and scope."""
    arguments = [f"%{value.name}" for value in node.inputs]
    arguments += [f"{key} = {_attribute(value)}" for key, value in node.attrs]
    results = ", ".join(map(repr, node.outputs))
    place = "" if node.loc is BUILTIN else f"{node.loc.source.name.removesuffix('.net')}:{node.loc.line}"
    return f"{results} = {node.op}({', '.join(arguments)}){_suffix(place, node.scope)}"


def _variable(variable: Variable) -> str:
    flags = [] if variable.trainable else ["frozen"]
    flags += [] if variable.decay else ["no decay"]
    return f"{variable.kind} {variable.value!r} ~ {variable.init}{_suffix(', '.join(flags))}"


def _output(output: Output) -> str:
    return f"{output.role} {output.name} = %{output.value.name}"


def _attribute(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_attribute(item) for item in value)}]"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, Graph):
        return f"graph {value.name}"
    return str(value)


def _suffix(*parts: str) -> str:
    """The comment at the end of a line; nothing where there is nothing to say."""
    text = " ".join(part for part in parts if part)
    return f"  # {text}" if text else ""
