"""Puts steps into bodies by their scopes, and lifts what belongs to none of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from ..ir import Value
from .scopes import common
from .steps import LAYER, Facts, Step, tells, told


@dataclass(eq=False, slots=True)
class Region:
    """A scope: its part of the path, that of the scope around it, and in order the steps and scopes in it."""

    part: str
    parent: str = ""
    entries: list[Step | Region] = field(default_factory=list)

    @property
    def height(self) -> int:
        """How many scopes are nested in it."""
        return max((entry.height + 1 for entry in self.entries if isinstance(entry, Region)), default=0)


def lift(steps: Sequence[Step], facts: Facts, outputs: Sequence[Value]) -> list[Step]:
    """Moves what depends on no weight and is used more than once, such as a mask, to the front.

    Equal computations are shared, so a mask that every block makes for itself is made in the first of them only: it
    goes out to where all its users can see it.
    """
    fixed: set[Value] = set()
    movable: list[Step] = []
    for step in steps:
        if step.kind != LAYER and not told(step) and all(x in fixed or x in facts.constants for x in step.inputs):
            fixed.update(step.outputs)
            movable.append(step)
    users: dict[Value, list[Step]] = defaultdict(list)
    for step in steps:
        for value in step.inputs:
            users[value].append(step)
    early: set[Step] = set()
    for step in reversed(movable):
        using = [user for value in step.outputs for user in users[value]]
        for user in using:
            step.path = common(step.path, user.path)
        if any(value in outputs for value in step.outputs):
            step.path = ()
        if len(using) > 1 or all(user in early for user in using):
            early.add(step)
    ordered = [step for step in steps if step in early] + [step for step in steps if step not in early]
    for order, step in enumerate(ordered):
        step.order = order
    return ordered


def regions(steps: Sequence[Step], part: str = "", parent: str = "", depth: int = 0) -> Region:
    """The steps as a tree of scopes, each in one piece: what comes back to a scope later is another one."""
    labels = [(step.path[depth] if len(step.path) > depth else None) for step in steps]
    for group in (_by_name, _by_runs):
        groups = group(steps, labels)
        ordered = _sorted(groups)
        if ordered is not None:
            break
    else:
        ordered = [(None, [step]) for step in steps]
    region = Region(part, parent)
    for label, members in ordered:
        if label is None:
            region.entries.extend(members)
        else:
            region.entries.append(regions(members, label, part, depth + 1))
    return region


Group = tuple[str | None, list[Step]]


def _by_name(steps: Sequence[Step], labels: Sequence[str | None]) -> list[Group]:
    groups: list[Group] = []
    places: dict[str, int] = {}
    for step, label in zip(steps, labels, strict=True):
        if label is not None and label in places:
            groups[places[label]][1].append(step)
        else:
            if label is not None:
                places[label] = len(groups)
            groups.append((label, [step]))
    return groups


def _by_runs(steps: Sequence[Step], labels: Sequence[str | None]) -> list[Group]:
    groups: list[Group] = []
    for step, label in zip(steps, labels, strict=True):
        if groups and label is not None and groups[-1][0] == label:
            groups[-1][1].append(step)
        else:
            groups.append((label, [step]))
    return groups


def _sorted(groups: Sequence[Group]) -> list[Group] | None:
    """Groups in the order of the graph, each after those it needs; None where they need each other."""
    owner: dict[Value | str, int] = {}
    for i, (_, steps) in enumerate(groups):
        owner |= dict.fromkeys((x for step in steps for x in (*step.outputs, *tells(step))), i)
    waiting: Counter[int] = Counter()
    followers: dict[int, list[int]] = defaultdict(list)
    for i, (_, steps) in enumerate(groups):
        needed = {owner[x] for step in steps for x in (*step.inputs, *told(step)) if x in owner} - {i}
        waiting[i] = len(needed)
        for other in needed:
            followers[other].append(i)
    ready: list[tuple[int, int]] = []
    for i, (_, steps) in enumerate(groups):
        if not waiting[i]:
            heappush(ready, (steps[0].order, i))
    ordered: list[Group] = []
    while ready:
        _, i = heappop(ready)
        ordered.append(groups[i])
        for other in followers[i]:
            waiting[other] -= 1
            if not waiting[other]:
                heappush(ready, (groups[other][1][0].order, other))
    return ordered if len(ordered) == len(groups) else None
