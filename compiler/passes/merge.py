"""Runs scans that go through the same rounds once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

from ..builder import Builder
from ..ir import Graph, Node, Output, Value
from .rebuild import Results, rebuild


def merge(graph: Graph) -> Graph:
    """Merges scans over the same values whose carries are computed alike: one of them emits what each of them emits.

    The gradient of a composite such as `lstm` repeats its scan, and emits there what it needs besides. This comes after
    `expand`, and before any pass that rewrites bodies.
    """
    merged = _merged(graph)
    if not merged:
        return graph
    results: dict[Node, tuple[Value, ...]] = {}

    def together(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node not in merged:
            return None
        scan = merged[node]
        if scan.widest not in results:
            found = b.apply("scan_over", inputs, scan.attributes)
            assert isinstance(found, tuple)
            results[scan.widest] = found
        return tuple(results[scan.widest][i] for i in scan.places[node])

    return rebuild(graph, together)


@dataclass(frozen=True)
class _Merged:
    """One scan in place of several: where in its results those of each are."""

    widest: Node
    attributes: dict[str, Any]
    places: dict[Node, tuple[int, ...]]


class _Numbering:
    """Numbers for the values of bodies; those that are computed alike from inputs at the same places have the same."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def of(self, body: Graph) -> dict[Value, int]:
        found = {value: self._number(index) for index, value in enumerate(body.sources())}
        for node in body.nodes:
            key = (node.op, node.attrs, tuple(found[x] for x in node.inputs))
            found |= {value: self._number((key, index)) for index, value in enumerate(node.outputs)}
        return found

    def _number(self, key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


def _merged(graph: Graph) -> dict[Node, _Merged]:
    """For each scan that has another like it, the one that takes the place of all of them."""
    numbering = _Numbering()
    numbers: dict[Node, dict[Value, int]] = {}
    alike: dict[Hashable, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.op == "scan_over":
            attrs, body = node.attributes, node.attributes["body"]
            numbers[node] = numbering.of(body)
            carries = tuple(numbers[node][output.value] for output in body.outputs[: attrs["carries"]])
            alike[node.inputs, attrs["carries"], attrs["sequences"], attrs["reverse"], carries].append(node)
    groups = (_together(nodes, numbers) for nodes in alike.values() if len(nodes) > 1)
    return {node: scan for scan in groups for node in scan.places}


def _together(nodes: list[Node], numbers: dict[Node, dict[Value, int]]) -> _Merged:
    """The scan with the most results, and what others emit of its values; not those that emit anything else."""
    widest = max(nodes, key=lambda node: len(node.outputs))
    body: Graph = widest.attributes["body"]
    known = {number: value for value, number in numbers[widest].items()}
    carries = widest.attributes["carries"]
    emitted = [numbers[widest][output.value] for output in body.outputs[carries:]]
    places: dict[Node, tuple[int, ...]] = {}
    for node in nodes:
        wanted = [numbers[node][output.value] for output in node.attributes["body"].outputs[carries:]]
        if all(number in known for number in wanted):
            emitted.extend(number for number in dict.fromkeys(wanted) if number not in emitted)
            places[node] = (*range(carries), *(carries + emitted.index(number) for number in wanted))
    more = emitted[len(body.outputs) - carries :]
    outputs = (*body.outputs, *(Output(f"also_{number}", known[number]) for number in more))
    return _Merged(widest, widest.attributes | {"body": replace(body, outputs=outputs)}, places)
