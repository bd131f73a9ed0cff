"""`netlang summary`: layers, shapes, parameters, operations and memory of a model, without making a single weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from .click_classes import Command
from .options import (
    POSITIVE,
    dims_option,
    entry_option,
    file_argument,
    json_option,
    model_argument,
    set_option,
    settings,
    sizes,
)
from .terminal import console, print_json, quantity

if TYPE_CHECKING:
    from netlang.types import TensorType

    from ...compiler.cost import ScopeCosts
    from ...compiler.ir import Graph
    from ...compiler.network import Network

EXAMPLES = """\
  netlang summary lenet5.net
  netlang summary std:ResNet18 --json
  netlang summary std:GPT2 --dims t=256 --depth 1"""

BATCH, SIDE, OTHER = 1, 224, 64
"""Sizes of the open dimensions that nobody gave: of the first axis of an input, of an image, and of anything else."""


@click.command(cls=Command, examples=EXAMPLES)
@file_argument
@model_argument
@set_option
@dims_option
@entry_option
@click.option("--depth", type=POSITIVE, metavar="N", help="Add up layers deeper than this.")
@json_option
def command(
    file: str,
    model: str | None,
    set: tuple[str, ...],
    dims: tuple[str, ...],
    entry: str | None,
    depth: int | None,
    json: bool,
) -> None:
    """Show layers, shapes, parameters, operations and memory. No weight is made for it."""
    from ..bound_network import known_entry, main_entry
    from ..job import open_network

    network = open_network(file, model, settings(set))
    graph = network.graph(known_entry(network, entry or main_entry(network)), sizes(dims))
    open_sizes = assumed_sizes(graph)
    facts = totals(network, graph, {**open_sizes, **sizes(dims)})
    if json:
        print_json(facts)
    else:
        _print_summary(network, graph, open_sizes, facts, depth)


def assumed_sizes(graph: Graph) -> dict[str, int]:
    """A size for each dimension that the inputs leave open."""
    from netlang.dims import symbols

    found: dict[str, int] = {}
    for item in graph.inputs:
        type_ = item.value.type
        for axis, size in enumerate(type_.shape):
            for name in sorted(symbols(size)):
                found.setdefault(name, BATCH if axis == 0 else SIDE if type_.rank == 4 else OTHER)
    return found


def totals(network: Network, graph: Graph, dims: Mapping[str, int]) -> dict[str, Any]:
    """Parameters; operations of one run of the entry; bytes for inference and, where the model trains, a step."""
    from ...compiler.cost import count

    costs = count(graph, dims)
    memory = {"inference": _variable_bytes(graph) + costs.activation_bytes, "training": None}
    if network.trains:
        memory["training"] = _training_bytes(network.train_graph(dims), dims)
    return {
        "model": network.name,
        "parameters": network.parameter_count,
        "flops": costs.flops,
        "memory": memory,
        "dims": dict(dims),
    }


def _training_bytes(step: Graph, dims: Mapping[str, int]) -> int:
    """Bytes for a step: every variable twice, as a step reads one set and writes the other, and what lies between."""
    from ...compiler.cost import count

    between = replace(step, outputs=tuple(output for output in step.outputs if output.role != "next"))
    return 2 * _variable_bytes(step) + count(between, {**assumed_sizes(step), **dims}).activation_bytes


def _variable_bytes(graph: Graph) -> int:
    from ...compiler.cost import size_in_bytes

    return sum(size_in_bytes(variable.value.type, {}) for variable in graph.variables)


def _print_summary(
    network: Network, graph: Graph, dims: Mapping[str, int], facts: Mapping[str, Any], depth: int | None
) -> None:
    from rich.table import Table

    from ...compiler.cost import count_by_scope

    table = Table("layer", "output", box=None, pad_edge=False, header_style="bold")
    table.add_column("parameters", justify="right")
    table.add_column("FLOPs", justify="right")
    rows = merged(count_by_scope(graph, dims), depth)
    for row in sorted(rows, key=lambda row: not row.scope):  # what stands in no layer comes last
        output = str(shown_type(row.result, dims)) if row.result and row.scope else ""
        table.add_row(row.scope or f"{network.name} itself", output, f"{row.parameters:,}", f"{row.flops:,}")
    console().print(table)
    print()
    memory = facts["memory"]
    lines = {
        "parameters": f"{facts['parameters']:,}",
        "FLOPs": f"{facts['flops']:,} for one run of `{graph.name}`",
        "memory": f"{quantity(memory['inference'])}B for inference",
    }
    if memory["training"] is not None:
        lines["memory"] += f", {quantity(memory['training'])}B for a training step"
    if dims:
        lines["with"] = ", ".join(f"{name} = {size}" for name, size in dims.items()) + "  (--dims sets others)"
    for name, text in lines.items():
        print(f"{name:12}{text}")


def shown_type(type_: TensorType, dims: Mapping[str, int]) -> TensorType:
    """The type with its dimensions by name where they have one, and as numbers where they are calculated."""
    from netlang.dims import substitute
    from netlang.types import TensorType

    shape = (size if str(size).isidentifier() else substitute(size, dims) for size in type_.shape)
    return TensorType(type_.dtype, tuple(shape))


def merged(rows: list[ScopeCosts], depth: int | None) -> list[ScopeCosts]:
    """The rows with those whose scope is deeper than `depth` added to the one above them."""
    from ...compiler.cost import ScopeCosts

    found: dict[str, ScopeCosts] = {}
    for row in rows:
        scope = ".".join(row.scope.split(".")[:depth])
        before = found.get(scope, ScopeCosts(scope, None, 0, 0))
        result = row.result or before.result
        found[scope] = ScopeCosts(scope, result, before.parameters + row.parameters, before.flops + row.flops)
    return list(found.values())
