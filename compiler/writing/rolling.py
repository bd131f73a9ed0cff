"""Finds rounds of equal steps, each of which takes up what the one before it gives: they become a `repeat`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np

from netlang.types import TensorType

from ..ir import Value
from .scopes import without_number
from .steps import FUNCTION, OPERATOR, REPEAT, VARIABLE, Body, Carried, Facts, Step


@dataclass(frozen=True, slots=True)
class Source:
    """Where an input of a step is from: "same" or "last" round, with the step and its result there, or "outside"."""

    where: str
    slot: tuple[int, int] = (-1, -1)
    value: Value | None = None


def roll(body: Body, facts: Facts) -> None:
    """Puts rounds of equal steps of `body` into repeats, the longest first, until there are none."""
    while (found := _best(body, facts)) is not None:
        start, rounds, carried = found
        length = sum(map(len, rounds))
        values = tuple(dict.fromkeys(x for step in rounds[0] for x in step.inputs))
        inner = {x for step in rounds[0] for x in step.outputs}
        results = tuple(carry.results[-1] for carry in carried)
        inputs = tuple(x for x in values if x not in inner)
        repeat = Step(REPEAT, "repeat", inputs, results, order=rounds[0][0].order, rounds=rounds, carried=carried)
        body.steps[start : start + length] = [repeat]


def equality_key(step: Step, facts: Facts) -> tuple[Any, ...]:
    """What two steps must have in common to be rounds of one repeat: everything but their inputs and weights."""
    types: tuple[TensorType, ...] = tuple(value.type for value in step.outputs) if step.kind == VARIABLE else ()
    constants = tuple(_content(x, facts) for x in step.inputs)
    settings = tuple((key, repr(type(value)), value) for key, value in step.settings.items())
    owned = tuple((name, stored.transposed) for name, stored in step.owned.items())
    hint = "" if without_number(step.hint) == callee_name(step) else step.hint
    return step.kind, step.callee, hint, id(step.definition), settings, owned, types, constants, len(step.outputs)


def callee_name(step: Step) -> str:
    """What a step applies, where that has a name already."""
    return step.callee if step.definition is None else step.definition.body.names[0]


def _content(value: Value, facts: Facts) -> Any:
    array = facts.literal(value)
    return None if array is None else (array.dtype.str, array.shape, array.tobytes())


def _best(body: Body, facts: Facts) -> tuple[int, list[list[Step]], tuple[Carried, ...]] | None:
    """The rounds that cover most steps: where they start, their steps, and what they carry."""
    steps = body.steps
    numbers: dict[Any, int] = {}
    keys = np.array([numbers.setdefault(_key(step, i, facts), len(numbers)) for i, step in enumerate(steps)])
    candidates: list[tuple[int, int, int, int]] = []
    for period in range(1, len(steps) // 2 + 1):
        for start, length in _runs(keys[:-period] == keys[period:]):
            if length >= period:
                candidates.append((-(length // period + 1) * period, period, start, length))
    heapify(candidates)
    while candidates:
        covered, period, start, length = heappop(candidates)
        count = -covered // period
        spare = length + period - count * period
        window = range(start, start + spare + 1)
        found = [(carried, at) for at in window if (carried := _carried(body, at, period, count, facts)) is not None]
        if found:
            carried, at = min(found, key=lambda item: (len(item[0]), item[1]))
            return at, [steps[at + i * period : at + (i + 1) * period] for i in range(count)], carried
        if count > 2:  # perhaps the last round belongs to something else
            heappush(candidates, (covered + period, period, start, length))
    return None


def _key(step: Step, place: int, facts: Facts) -> Any:
    return place if step.kind == REPEAT else equality_key(step, facts)


def _runs(same: np.ndarray) -> Iterator[tuple[int, int]]:
    """Starts and lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], same.astype(np.int8), [0]))))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield int(start), int(stop - start)


def _carried(body: Body, start: int, period: int, count: int, facts: Facts) -> tuple[Carried, ...] | None:
    """What `count` rounds from `start` on carry, or None where they are not rounds of one repeat."""
    rounds = [body.steps[start + i * period : start + (i + 1) * period] for i in range(count)]
    if all(step.kind in (OPERATOR, FUNCTION) for step in rounds[0]):
        return None
    sources = [_sources(one, rounds[i - 1] if i else ()) for i, one in enumerate(rounds)]
    if any(other != sources[1] for other in sources[2:]):
        return None
    initial: dict[tuple[int, int], Value] = {}
    for first, later in zip(sources[0], sources[1], strict=True):
        if later.where == "last":
            if first.value is None or initial.setdefault(later.slot, first.value) is not first.value:
                return None
        elif not _agree(first, later, facts):
            return None
    outside = [source.value for source in sources[1]]
    if not initial or any(value in outside for value in initial.values()) or not _contained(body, rounds, initial):
        return None
    return tuple(Carried(value, tuple(one[j].outputs[o] for one in rounds)) for (j, o), value in initial.items())


def _agree(first: Source, later: Source, facts: Facts) -> bool:
    """Whether the first round takes an input from where later ones do; equal constants are equal already."""
    if first == later or first.value is None or later.value is None:
        return first == later
    return facts.literal(first.value) is not None and facts.literal(later.value) is not None


def _sources(steps: Sequence[Step], before: Sequence[Step]) -> list[Source]:
    here = {value: Source("same", (j, o)) for j, step in enumerate(steps) for o, value in enumerate(step.outputs)}
    last = {value: Source("last", (j, o)) for j, step in enumerate(before) for o, value in enumerate(step.outputs)}
    values = (value for step in steps for value in step.inputs)
    return [here.get(value) or last.get(value) or Source("outside", value=value) for value in values]


def _contained(body: Body, rounds: Sequence[Sequence[Step]], initial: dict[tuple[int, int], Value]) -> bool:
    """Whether nothing outside uses what the rounds make, but for what the last one carries on."""
    inside = {id(step) for one in rounds for step in one}
    final = {rounds[-1][j].outputs[o] for j, o in initial}
    outside = {value for step in body.steps if id(step) not in inside for value in step.inputs} | set(body.outputs)
    made = {value for one in rounds for step in one for value in step.outputs}
    stored = {s.value for one in rounds for step in one for s in step.owned.values()}
    return not (outside & (made - final)) and not (outside & stored)
