"""A loss that is infinite or no number: where such a number came up first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.source import BUILTIN
from netlang.types import FLOATS

from ..compiler import Network
from ..compiler.emit import emit
from ..compiler.ir import Graph, Node, Output, Value
from .explained import explained
from .inputs import scalar_inputs
from .session import Device

Arrays = Mapping[str, np.ndarray]


HELP = (
    "lower the learning rate, warm it up, or clip the gradients (`clip 1.0`); look for log or division by zero in the "
    "loss, and for such values in the data"
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Where it comes from: a line of the program, or what a note says; and what helps."""

    label: Label | None = None
    notes: tuple[str, ...] = ()
    help: str = HELP


def not_finite(metrics: Mapping[str, float], step: int, cause: Cause) -> DiagnosticError:
    """The error for a loss that is infinite or no number, at a step counted from 0."""
    reports = ", ".join(f"{name} = {value:g}" for name, value in metrics.items() if name != "loss")
    return fail(
        "not-finite",
        f"the loss is {metrics['loss']:g} at step {step}",
        cause.label.span if cause.label else None,
        cause.label.text if cause.label else "",
        notes=[*cause.notes, *([f"at this step {reports}"] if reports else [])],
        help=cause.help,
    )


def cause_of(network: Network, variables: Arrays, batch: Arrays, scalars: Mapping[str, int], device: Device) -> Cause:
    """Looks for the first number that is not finite: in the batch, in the variables, then in what is computed.

    The loss is computed once more, with every tensor on the way as a result; `scalars` are step, steps and seed.
    """
    if batch and all(array.size == 0 for array in batch.values()):
        return Cause(notes=("the batch is empty",))
    for kind, arrays in (("input", batch), ("parameter", variables)):
        for name, array in arrays.items():
            if _worst(array) > 0:
                note = f"the {kind} `{name}` holds {'nan' if np.isnan(array).any() else 'an infinity'}"
                help = "take such rows out of the data, or put numbers in" if kind == "input" else HELP
                return Cause(notes=(note,), help=help)
    graph = network.loss_graph
    feeds = {name: array for name, array in {**variables, **batch}.items() if name in _names(graph)}
    feeds |= {item.name: np.array(scalars.get(item.role, 0), np.int64) for item in scalar_inputs(graph)}
    try:
        return Cause(_first(graph, feeds, device))
    except DiagnosticError:  # such as one of memory, which holds all tensors here
        return Cause()


def _first(graph: Graph, feeds: Arrays, device: Device) -> Label | None:
    values = [value for node in graph.nodes if node.loc is not BUILTIN for value in node.outputs
              if value.type.dtype in FLOATS]  # fmt: skip
    probed = replace(graph, outputs=tuple(Output(f"probe.{i}", value) for i, value in enumerate(values)))
    with explained(graph):
        results = device.session(emit(probed)).run(None, dict(feeds))
    badness = {value: _worst(np.asarray(result)) for value, result in zip(values, results, strict=True)}
    for wanted in sorted({1, 2} & set(badness.values()), reverse=True):  # an infinity may be harmless, nan is not
        for node in graph.nodes:
            if _begins(node, badness, wanted):
                return Label(node.loc, f"in `{node.scope}`" if node.scope else "")
    return None


def _begins(node: Node, badness: Mapping[Value, int], wanted: int) -> bool:
    """Whether what `wanted` stands for is in a result of the node, and in none of its operands."""
    given = max((badness.get(value, 0) for value in node.inputs), default=0)
    return given < wanted and any(badness.get(value, 0) == wanted for value in node.outputs)


def _worst(array: np.ndarray) -> int:
    """0 where all numbers are finite, 1 where some are infinite, 2 where some are nan."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return 0
    return 2 if np.isnan(array).any() else 1


def _names(graph: Graph) -> set[str]:
    return {value.name for value in graph.sources()}
