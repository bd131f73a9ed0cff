"""Operators on graphs as the language writes them: `scan`, `loop` and `if`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail

from ..ir import Value
from .expressions import call, listed
from .numbers import tensor_text, value_text
from .steps import Body, Facts, Place, Step, is_uniform

if TYPE_CHECKING:
    from .bodies import BodyWriter

UNLIMITED = 2**63 - 1
"""How many rounds a loop has that only its condition ends."""


def own_inputs(op: str, attributes: Mapping[str, Any]) -> int:
    """How many inputs of a body are its own; the others are taken of the graph around it."""
    match op:
        case "scan_over":
            return attributes["carries"] + attributes["sequences"]
        case "loop_while":
            return 1 + attributes["carries"]
        case "branch":
            return 0
    raise fail("onnx-unsupported", f"the operator `{op}` cannot be written in the language")


def substitute(body: Body, values: Mapping[Value, Value]) -> None:
    """Puts other values in the place of some, in a body and those inside it."""
    body.outputs = tuple(values.get(x, x) for x in body.outputs)
    for step in body.steps:
        step.inputs = tuple(values.get(x, x) for x in step.inputs)
        for inner in step.bodies.values():
            substitute(inner, values)


def keep_constants(step: Step, facts: Facts) -> None:
    """Makes the arrays that the bodies of a step hold inputs of it, since they are declared around it."""
    for body in step.bodies.values():
        for part in body.steps:
            keep_constants(part, facts)
        used = [x for part in body.steps for x in part.inputs] + list(body.outputs)
        step.inputs += tuple(x for x in dict.fromkeys(used) if x in facts.constants and facts.literal(x) is None)


def constant_text(value: Value, array: np.ndarray) -> str:
    """A constant that is a result of a body."""
    if not is_uniform(array):
        return tensor_text(array, value.type.dtype)
    number = value_text(array.reshape(-1)[0].item())
    if not array.ndim:
        return call(value.type.dtype, [number]).text
    return call("full", [listed([str(size) for size in array.shape]), number, f"dtype = {value.type.dtype}"]).text


def write_control(writer: BodyWriter, place: Place, step: Step) -> None:
    """Writes the statement of a `scan`, `loop` or `if`."""
    {"scan_over": _scan, "loop_while": _loop, "branch": _branch}[step.callee](writer, place, step)


def _branch(writer: BodyWriter, place: Place, step: Step) -> None:
    used = [i for i, value in enumerate(step.outputs) if writer.is_used(value)]
    condition = writer.operand(place, step, 0)
    blocks: list[list[str]] = []
    for name in ("then", "otherwise"):
        with writer.block() as lines:
            results = [text for i, text in enumerate(writer.inner((place, name), step.bodies[name])) if i in used]
        blocks.append([*lines, results[0] if len(results) == 1 else f"({', '.join(results)})"])
    first, second = ([f"  {line}" for line in lines] for lines in blocks)
    targets = _targets(writer, step, used)
    writer.lines([f"{targets} = if {condition} {{", *first, "} else {", *second, "}"])


def _scan(writer: BodyWriter, place: Place, step: Step) -> None:
    carries, sequences = step.settings["carries"], step.settings["sequences"]
    body = step.bodies["body"]
    initial = [writer.operand(place, step, i) for i in range(carries)]
    taken = [writer.operand(place, step, carries + i) for i in range(sequences)]
    names = [writer.fresh("h", "c") for _ in initial]
    elements = [writer.fresh("x_t", "y_t", "z_t") for _ in taken]
    for value, name in zip(body.inputs, [*names, *elements], strict=True):
        writer.bind(value, name)
    head = f"scan {', '.join(f'{name} in {text}' for name, text in zip(elements, taken, strict=True))} along 0"
    head += " backward" if step.settings.get("reverse") else ""
    with writer.block() as lines:
        results = list(writer.inner((place, "body"), body))
    _iterate(writer, step, head, list(zip(names, initial, results[:carries], strict=True)), lines, results[carries:])


def _loop(writer: BodyWriter, place: Place, step: Step) -> None:
    carries = step.settings["carries"]
    body = step.bodies["body"]
    limit, go_on = (writer.constant(value) for value in step.inputs[:2])
    trips = None if limit is not None and int(limit) >= UNLIMITED else writer.operand(place, step, 0)
    started = writer.operand(place, step, 1)
    initial = [writer.operand(place, step, 2 + i) for i in range(carries)]
    index = writer.fresh("i", "n")
    names = [writer.fresh("x", "h") for _ in initial]
    for value, name in zip(body.inputs, [index, *names], strict=True):
        writer.bind(value, name)
    again = writer.constant(body.outputs[0])
    endless = bool(again) and bool(go_on)
    with writer.block() as lines:
        condition, *results = writer.inner((place, "body"), body)
    rounds = [*zip(names, initial, results[:carries], strict=True)]
    head = "loop" if trips is None else f"loop {index} from 0 to {trips} - 1"
    if not endless:
        name = writer.fresh("going")
        head += f" while {name}"
        rounds.append((name, started, condition))
    _iterate(writer, step, head, rounds, lines, results[carries:])


def _iterate(
    writer: BodyWriter,
    step: Step,
    head: str,
    rounds: Sequence[tuple[str, str, str]],
    lines: Sequence[str],
    emitted: Sequence[str],
) -> None:
    """The statement of a `scan` or `loop`; `rounds` are the carries: names, first values, next ones."""
    carries = step.settings["carries"]
    kept = [i for i in range(carries) if writer.is_used(step.outputs[i])]
    stacked = [i for i in range(len(emitted)) if writer.is_used(step.outputs[carries + i])]
    if rounds:
        head += f" carry {', '.join(f'{name} = {first}' for name, first, _ in rounds)}"
    inside = [*lines, *(f"next {name} = {text}" for name, _, text in rounds)]
    if stacked:
        inside.append(f"emit {', '.join(emitted[i] for i in stacked)}")
    if kept and (stacked or len(kept) < len(rounds)):
        inside.append(f"keep {', '.join(rounds[i][0] for i in kept)}")
    targets = _targets(writer, step, [*(carries + i for i in stacked), *kept])
    writer.lines([f"{targets} = {head} {{", *(f"  {line}" for line in inside), "}"])


def _targets(writer: BodyWriter, step: Step, used: Sequence[int]) -> str:
    """Names for the results of a step that are used, in this order."""
    names: list[str] = []
    for i in used:
        name = writer.fresh()
        writer.bind(step.outputs[i], name)
        names.append(name)
    return ", ".join(names)
