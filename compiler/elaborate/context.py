"""The state of one elaboration: the graph being built, the mode, the calls under way and the faults found."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from netlang import syntax
from netlang.diagnostics import Diagnostic, DiagnosticError, Label, fail
from netlang.dims import Size, symbol
from netlang.source import BUILTIN, Span
from netlang.types import TensorType

from ..builder import Builder
from ..demands import Demand
from ..ir import Init, Node, Value
from .naming import Counter, Instance, Namer
from .regions import Iteration, Region

if TYPE_CHECKING:
    from .aggregation import Edges
    from .executed import Executed
    from .values import Environment

MAX_DEPTH = 100
"""Calls within calls; more means a recursion that the static check could not see."""

MAX_STEPS = 100_000
"""Statements and iterations that one graph may take: GPT-3's training step takes 18,000, and nested `repeat`s can ask
for any number."""


@dataclass
class Frame:
    """One body being executed: a function, a layer, an entry or a `train` block."""

    kind: str
    name: str
    instance: Instance | None = None  # where `param` and inline layers go; None inside a `fn`
    namer: Namer = field(default_factory=Counter)
    definitions: tuple[syntax.Definition | syntax.Train, ...] = ()  # what is executed; the model that it is an entry of
    environment: Environment | None = None
    returned: Any = None
    has_returned: bool = False
    return_value: syntax.Expr | None = None
    train: Any = None  # the TrainPlan while a `train` block runs
    iterations: list[Iteration] = field(default_factory=list)  # whose bodies are being executed, innermost last
    edges: list[Edges] = field(default_factory=list)  # of each `aggregate` whose body is being executed, innermost last

    def holds(self, span: Span) -> bool:
        """Whether a place is in the text of what is executed."""
        places = (definition.span for definition in self.definitions)
        return any(place.source is span.source and place.start <= span.start < place.end for place in places)


@dataclass(frozen=True, slots=True)
class Made:
    """The call that a tensor comes from: where it stands, and the tensors that it was given."""

    span: Span
    tensors: tuple[Value, ...]


@dataclass
class Context:
    """One elaboration, from syntax to one graph. `builder` makes the body of a node while one is being executed."""

    builder: Builder
    training: bool = False
    dims: Mapping[str, int] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    trace: list[Label] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    origins: dict[Value, Span] = field(default_factory=dict)  # of inputs, parameters and states
    made: dict[Value, Made] = field(default_factory=dict)  # of results of calls
    random_sites: dict[str, int] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()  # patterns of parameters that are not trained
    row_sites: frozenset[int] = frozenset()  # places that draw for each row, where the batch is a part of a larger one
    run_inputs: dict[str, Value] = field(default_factory=dict)
    states: set[Value] = field(default_factory=set)
    regions: list[Region] = field(default_factory=list)  # the bodies around `builder`, innermost last
    recomputed: syntax.Expr | None = None  # the `scan` or `loop` that `@recompute` stands before
    has_gradients: bool = False  # whether a derivative was asked for so far
    steps: int = 0
    generic: bool = False  # checking a layer without concrete settings: what cannot be decided is passed over
    sketch: bool = False  # only faults are wanted: what is once more as it was before is passed over
    executed: Executed | None = None  # where a check notes what it has executed

    @property
    def frame(self) -> Frame:
        return self.frames[-1]

    def size(self, name: str) -> Size:
        """The size called `name`: fixed by `dims`, or open until run time."""
        return self.dims[name] if name in self.dims else symbol(name)

    def run_input(self, role: str) -> Value:
        """The scalar i64 graph input with this role: "seed", "step" (from 0), "steps" (planned in all) or "first"."""
        if role not in self.run_inputs:
            self.run_inputs[role] = self.builder.root.input(role, TensorType("i64"), role, doc=_RUN_INPUTS[role])
        return self.run_inputs[role]

    def random_site(self) -> int:
        """A number for one place where random numbers are drawn: equal in every elaboration of the same program."""
        scope = self.builder.scope
        count = self.random_sites[scope] = self.random_sites.get(scope, 0) + 1
        return zlib.crc32(f"{scope}#{count}".encode()) & 0x7FFFFFFF

    def variable(
        self, path: str, type_: TensorType, statement: syntax.Declare, init: Init, marks: set[str], kind: str
    ) -> Value:
        """A new parameter or state of the network, or a state of its optimizer."""
        frozen = "frozen" in marks or any(fnmatchcase(path, pattern) for pattern in self.frozen)
        flags = {"trainable": not frozen, "decay": "no_decay" not in marks, "loc": statement.span}
        value = self.builder.variable(path, type_, kind, init, **flags)
        if statement.keyword == "state":
            self.states.add(value)
        return value

    def is_constant(self, value: Value) -> bool:
        """Whether a tensor depends on nothing that is known only at run time."""
        waiting, seen = [value], {value}
        while waiting:
            producer = self.builder.producer(waiting.pop())
            if producer is None:
                return False
            waiting.extend(x for x in producer.inputs if x not in seen)
            seen.update(producer.inputs)
        return True

    def remember(self, result: Any, span: Span, tensors: Iterable[Any]) -> None:
        """Notes that `result` is of the call at `span`; of calls within calls, the outermost of the user's own."""
        given = tuple(x for x in tensors if isinstance(x, Value))
        for value in result if isinstance(result, tuple) else (result,):
            computed = isinstance(value, Value) and self.builder.producer(value) is not None
            if computed and (value not in self.made or not is_library(span)):
                self.made[value] = Made(span, given)

    def origin(self, value: Value) -> Span | None:
        """Where in the sources a tensor comes from."""
        if value in self.origins:
            return self.origins[value]
        if value in self.made:
            return self.made[value].span
        producer = self.builder.producer(value)
        return producer.loc if producer is not None and producer.loc is not BUILTIN else None

    def nodes(self) -> list[Node]:
        """Everything computed so far that can be used here: of the body under way, and of the graphs around it."""
        found: list[Node] = []
        builder: Builder | None = self.builder
        while builder is not None:
            found[:0] = builder.nodes
            builder = builder.outer
        return found

    @contextmanager
    def within(self, region: Region) -> Iterator[None]:
        """What is computed inside becomes part of the body that `region` stands for."""
        outer, self.builder = self.builder, region.builder
        self.regions.append(region)
        try:
            with self.builder.at(outer.loc, outer.scope):
                yield
        finally:
            self.regions.pop()
            self.builder = outer

    @contextmanager
    def recomputing(self, expr: syntax.Expr) -> Iterator[None]:
        """The rounds of `expr`, a `scan` or `loop` evaluated inside, are computed again for their gradient."""
        outer, self.recomputed = self.recomputed, expr
        try:
            yield
        finally:
            self.recomputed = outer

    @contextmanager
    def outermost(self) -> Iterator[None]:
        """What is computed inside becomes part of the outermost graph, so that it can be used everywhere."""
        outer, self.builder = self.builder, self.builder.root
        regions, self.regions = self.regions, []
        try:
            yield
        finally:
            self.builder, self.regions = outer, regions

    def step(self, span: Span, count: int = 1) -> None:
        """Counts a statement or an iteration, or several. Raises Abandoned where there were too many."""
        self.steps += count
        if self.steps > MAX_STEPS:
            title = f"building this network takes more than {MAX_STEPS} steps"
            self.record(fail("network-too-large", title, span, "reached here", help="repeat less, or nest less"))
            raise Abandoned

    @contextmanager
    def call(self, label: Label, frame: Frame) -> Iterator[Frame]:
        """Runs the body of `frame`; faults found inside show `label` in their chain of calls, if it has a text."""
        if len(self.trace) >= MAX_DEPTH:
            raise _too_deep(label.span)
        self.frames.append(frame)
        scope = frame.instance.path if frame.instance is not None else self.builder.scope
        try:
            with self.calling(label), self.builder.at(label.span, scope):
                yield frame
        finally:
            self.frames.pop()

    @contextmanager
    def calling(self, label: Label) -> Iterator[None]:
        """Faults found inside are recorded with `label` in their chain of calls."""
        self.trace.append(label)
        try:
            yield
        except DiagnosticError as error:
            self.record(error)
            raise Reported from None
        except RecursionError:
            self.record(_too_deep(label.span))
            raise Reported from None
        finally:
            self.trace.pop()

    def record(self, error: DiagnosticError) -> None:
        """Notes the faults that `error` carries, each once, seen from the user's own line."""
        for diagnostic in error.diagnostics:
            placed = self._place(diagnostic)
            if all(
                (d.code, d.title, d.primary) != (placed.code, placed.title, placed.primary) for d in self.diagnostics
            ):
                self.diagnostics.append(placed)

    def _place(self, diagnostic: Diagnostic) -> Diagnostic:
        """Adds the chain of calls; a fault inside the library is shown at the user's call that led there."""
        primary = diagnostic.primary
        if primary is not None and is_library(primary.span):
            user = next((label for label in reversed(self.trace) if not is_library(label.span)), None)
            if user is not None:
                inside = "" if user.text else "in this model"
                label = Label(user.span, inside or f"in this call of {user.text}")
                diagnostic = replace(diagnostic, primary=label, secondary=(*diagnostic.secondary, primary))
        shown = diagnostic.primary.span if diagnostic.primary is not None else None
        trace = tuple(label for label in self.trace if label.text and label.span != shown)
        return replace(diagnostic, trace=trace)

    def demand(self, demand: Demand) -> None:
        """Notes what must hold of open sizes at run time, unless it is in a branch that may not run."""
        if self.generic or any(region.word == "if" for region in self.regions):
            return
        placed = replace(demand, fault=self._place(demand.fault))
        if placed not in self.builder.root.demands:
            self.builder.root.demands.append(placed)

    def finish(self) -> None:
        """Raises everything that was recorded."""
        if self.diagnostics:
            raise DiagnosticError(*self.diagnostics)


def _too_deep(span: Span) -> DiagnosticError:
    return fail("recursion", "calls are nested too deeply", span, help="layers cannot call themselves")


class Abandoned(Exception):
    """A fault that was recorded already, after which nothing more is worth looking at."""


class Reported(Exception):
    """A fault that was recorded already; the statement that it interrupts is abandoned."""


def is_library(span: Span) -> bool:
    """Whether a place is in the standard library rather than in the user's files."""
    return span.source.library


_RUN_INPUTS = {
    "first": "which row of the whole batch the first one is",
    "seed": "seed of the random numbers",
    "step": "number of steps done so far",
    "steps": "number of steps planned in all",
}
