"""From the tree of scopes to the bodies of a program: definitions, inline steps, repeats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from netlang.tokens import KEYWORDS

from ..ir import Graph, Value
from .definitions import Definition, define
from .layers import steps_of
from .regions import Region, lift, regions
from .rolling import roll
from .scopes import index, stem, without_number
from .steps import CALL, LAYER, REPEAT, VARIABLE, Body, Facts, Step, Stored

INLINE_STEPS = 3
"""A scope of at most so many steps that is like no other is written where it is used."""
LONG_ROUND = 8
"""Rounds of more steps than this are a definition of their own."""


def structure(graph: Graph, reserved: frozenset[str]) -> tuple[Body, list[Definition], Facts]:
    """The body of the model, the definitions that it calls, each after those it calls itself, and facts."""
    steps, facts = steps_of(graph)
    outputs = tuple(output.value for output in graph.outputs)
    root = regions(lift(steps, facts, outputs))
    builder = _Structure(facts, reserved, outputs)
    builder.finish_below(root)
    body = builder.body(root, outputs)
    return body, builder.definitions, facts


class _Structure:
    """Makes bodies of scopes, the innermost first, since equal ones must be found before what is around them."""

    def __init__(self, facts: Facts, reserved: frozenset[str], outputs: Sequence[Value]) -> None:
        self._facts = facts
        self._reserved = reserved
        self._outputs = frozenset(outputs)
        self.definitions: list[Definition] = []
        self._replaced: dict[int, list[Step]] = {}  # of each finished region: the steps that stand for it

    def finish_below(self, root: Region) -> None:
        """Finishes every region below the root."""
        by_height: dict[int, list[Region]] = defaultdict(list)
        _collect(root, by_height)
        for height in sorted(by_height):
            members = [region for region in by_height[height] if region is not root]
            pairs = [(region, self.body(region)) for region in members]
            self._define(pairs)

    def _define(self, pairs: Sequence[tuple[Region, Body]]) -> None:
        places = {id(body): region for region, body in pairs}
        inline = [pair for pair in pairs if len(pair[1].steps) == 1]
        for region, body in inline:
            (step,) = body.steps
            step.hint = step.hint or _hint(region)
            self._replaced[id(region)] = body.steps
        larger = [body for _, body in pairs if len(body.steps) > 1]
        for calls in define(larger, self._facts, self._reserved):
            definition = calls[0][1].definition
            assert definition is not None
            alone = len(calls) == 1 and len(definition.body.steps) <= INLINE_STEPS
            if not alone:
                self.definitions.append(definition)
            for body, step in calls:
                region = places[id(body)]
                step.hint = _hint(region)
                self._replaced[id(region)] = body.steps if alone else [step]

    def body(self, region: Region, outputs: Sequence[Value] | None = None) -> Body:
        """The body of a region whose inner regions are finished; `outputs` are those of the whole graph."""
        steps: list[Step] = []
        for entry in region.entries:
            steps.extend([entry] if isinstance(entry, Step) else self._replaced[id(entry)])
        return self._finished(_names(region), steps, outputs)

    def _finished(self, names: tuple[str, ...], steps: list[Step], outputs: Sequence[Value] | None = None) -> Body:
        body = Body(names, steps)
        _count_uses(body)
        if outputs is not None:
            body.uses.update(outputs)
        self._declare(body, outputs or ())
        _interface(body, self._facts, outputs)
        self._roll(body)
        return body

    def _roll(self, body: Body) -> None:
        roll(body, self._facts)
        for step in body.steps:
            if step.kind == REPEAT and len(step.rounds[0]) > LONG_ROUND:
                self._outline(body, step)

    def _outline(self, body: Body, repeat: Step) -> None:
        """Makes a definition of what the rounds of a repeat do."""
        rounds = [self._finished(("block",), list(steps)) for steps in repeat.rounds]
        for calls in define(rounds, self._facts, self._reserved):
            definition = calls[0][1].definition
            assert definition is not None
            self.definitions.append(definition)
            order = {id(one): step for one, step in calls}
            repeat.rounds = [[order[id(one)]] for one in rounds if id(one) in order]

    def _declare(self, body: Body, outputs: Sequence[Value]) -> None:
        """Puts declarations of the weights that nothing outside uses before their first use."""
        made = {value for step in body.steps for value in step.outputs}
        declared: list[Step] = []
        for step in body.steps:
            for value in dict.fromkeys(step.inputs):
                total = self._facts.uses[value]
                if self._facts.is_stored(value) and value not in made and body.uses[value] == total:
                    made.add(value)
                    if not _as_table(value, step, self._facts):
                        declared.append(_declaration(value, step, self._facts))
            declared.append(step)
        for value in dict.fromkeys(outputs):
            if self._facts.is_stored(value) and value not in made:
                declared.append(_declaration(value, None, self._facts))
        body.steps = declared


def _as_table(value: Value, user: Step, facts: Facts) -> bool:
    """Makes an embedding of the rows that the first user of a matrix takes from it; the others use its weight."""
    if user.callee != "gather" or user.settings or user.inputs[0] is not value or user.inputs[1] is value:
        return False
    index = user.inputs[1]
    if (
        facts.literal(index) is not None
        or value.type.rank != 2
        or value.type.dtype != "f32"
        or index.type.dtype != "i64"
    ):
        return False
    rows, width = value.type.shape
    parts = [stem(part) for part in value.name.split(".")[:-1]]
    user.kind, user.callee, user.inputs, user.settings = LAYER, "embedding", (index,), {"rows": rows, "d": width}
    user.owned = {"weight": Stored(value)}
    user.hint = parts[-1] if parts else "table"
    return True


def _declaration(value: Value, user: Step | None, facts: Facts) -> Step:
    kind = facts.variables.get(value, "state")
    return Step(VARIABLE, kind, (), (value,), order=user.order if user is not None else 0, owned={"": Stored(value)})


def _names(region: Region) -> tuple[str, ...]:
    """What a definition of a region can be called: `layers.3` of an encoder is an `encoder_layer`."""
    name, parent = without_number(stem(region.part)), without_number(stem(region.parent))
    if index(region.part) is not None and name.endswith("s") and not name.endswith("ss"):
        name = name[:-1]
    if len(name) < 2 or name in KEYWORDS:
        return (f"{parent}_{name}", "block") if len(name) > 1 and parent not in (name, "") else ("block",)
    return (name, f"{parent}_{name}", f"{name}_block") if parent not in (name, "") else (name, f"{name}_block")


def _hint(region: Region) -> str:
    """What a layer of its own scope is called by its author; one of a list has a number only."""
    return "" if index(region.part) is not None else stem(region.part)


def _collect(region: Region, found: dict[int, list[Region]]) -> None:
    for entry in region.entries:
        if isinstance(entry, Region):
            _collect(entry, found)
    found[region.height].append(region)


def _count_uses(body: Body) -> None:
    for step in body.steps:
        if step.kind == CALL:
            assert step.body is not None
            body.uses.update(step.body.uses)
        else:
            for part in (inner for one in step.rounds for inner in one) if step.kind == REPEAT else (step,):
                body.uses.update(part.body.uses if part.body is not None else part.inputs)


def _weights(step: Step) -> Iterator[Value]:
    for stored in step.owned.values():
        yield stored.value


def _interface(body: Body, facts: Facts, outputs: Sequence[Value] | None) -> None:
    """What a body takes and gives: in the order of its steps."""
    made = {value: None for step in body.steps for value in (*step.outputs, *_weights(step))}
    used = dict.fromkeys(value for step in body.steps for value in step.inputs)
    body.inputs = tuple(value for value in used if value not in made and facts.literal(value) is None)
    if outputs is not None:
        body.outputs = tuple(outputs)
        return
    body.outputs = tuple(value for value in made if body.uses[value] < facts.uses[value])
