"""`scan` and `loop`: what their heads say, the execution of their bodies, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.dims import Size
from netlang.source import Span
from netlang.types import INTEGERS, TensorType

from .. import control
from ..builder import Builder
from ..ir import Value
from .axes import common_length, find_axis, moved
from .context import Context, Reported
from .naming import Replayed
from .numbers import adapted, natural, scalar
from .regions import Iteration, Region
from .values import Environment, Poison, describe, is_number, is_size

MAX_ROUNDS = int(np.iinfo(np.int64).max)
"""Bound of a loop whose rounds are counted at run time."""

_I64, _BOOL = TensorType("i64"), TensorType("bool")


def scan(context: Context, expr: syntax.Scan, environment: Environment) -> Any:
    """The value of a `scan`."""
    recompute = context.recomputed is expr
    sequences = [_tensor(context, item.value, environment) for item in expr.sequences]
    axes = [find_axis(context, s, x, expr.along, environment) for s, x in zip(expr.sequences, sequences, strict=True)]
    length = common_length(expr, sequences, axes)
    reverse = expr.backward is not None and _is_backward(context, expr.backward, environment)
    lengths = None if expr.lengths is None else _lengths(context, expr.lengths, environment)
    run = _Run(context, expr, environment, "scan")
    b = context.builder
    with b.at(expr.span):
        for item, x, axis in zip(expr.sequences, sequences, axes, strict=True):
            run.element(item.name, moved(b, x, axis, 0), item.span)
        active = None if lengths is None else run.slices(_active(b, length, lengths), "active")
        run.execute(lambda: run.slices(b.iota(count=length), "round"))
        if active is not None and expr.lengths is not None:
            run.mask(active, expr.lengths.span)
        run.output()
        finals, stacks = control.scan(b, run.body, run.initial, run.sequences, reverse=reverse, recompute=recompute)
        return run.results(finals, [moved(b, x, 0, min(axes[0], x.type.rank - 1)) for x in stacks])


def loop(context: Context, expr: syntax.Loop, environment: Environment) -> Any:
    """The value of a `loop`: a scan over numbers where their count is a size, a loop of the graph otherwise."""
    bounds = None if expr.range is None else _bounds(context, expr.range, environment)
    with context.builder.at(expr.span):
        count = _count(expr, bounds)
        if expr.range is not None and bounds is not None and count is not None:
            return _counted(context, expr, expr.range, environment, bounds[0], count)
        return _conditional(context, expr, environment, bounds)


def _count(expr: syntax.Loop, bounds: tuple[Any, Any] | None) -> Size | None:
    """How many rounds there are, where a size says it, and not that there are none: a scan needs at least one."""
    if expr.range is None or bounds is None or expr.condition is not None or not all(map(is_size, bounds)):
        return None
    first, last = reversed(bounds) if expr.range.down else bounds
    count = last - first + 1
    return None if isinstance(count, int) and count < 1 else count


def _counted(
    context: Context, expr: syntax.Loop, range_: syntax.Range, environment: Environment, first: Size, count: Size
) -> Any:
    run = _Run(context, expr, environment, "loop")
    b = context.builder
    done = b.iota(count=count)
    start = scalar(context, first, "i64", range_.first.span)
    index = run.element(range_.name, b.sub(start, done) if range_.down else b.add(start, done), range_.span)
    run.execute(lambda: index)
    run.output()
    recompute = context.recomputed is expr
    finals, stacks = control.scan(b, run.body, run.initial, run.sequences, recompute=recompute)
    return run.results(finals, stacks)


def _conditional(context: Context, expr: syntax.Loop, environment: Environment, bounds: tuple[Any, Any] | None) -> Any:
    b, range_ = context.builder, expr.range
    run = _Run(context, expr, environment, "loop", counts=True)
    trips = first = bound = None
    round_ = run.body.inputs[0].value
    if range_ is not None and bounds is not None:
        first, last = (
            _as_tensor(context, x, node) for x, node in zip(bounds, (range_.first, range_.last), strict=True)
        )
        trips = control.trips_between(b, last, first) if range_.down else control.trips_between(b, first, last)
        known = b.constant_value(trips)
        bound = MAX_ROUNDS if known is None else int(known)

    def number(of: Builder, round_: Value | int) -> Value | None:
        """The number that the round with this index has."""
        if range_ is None or first is None:
            return None
        return of.sub(first, round_) if range_.down else of.add(first, round_)

    go_on = None if expr.condition is None else run.condition(b, expr.condition, number(b, 0), run.initial)
    run.bind_index(number(run.body, round_))
    run.execute(lambda: round_)
    with run.within():
        again = run.body.constant(True)
        if expr.condition is not None:
            again = run.condition(run.body, expr.condition, number(run.body, run.body.add(round_, 1)), run.next)
    run.body.output("again", again)
    run.output()
    recompute = context.recomputed is expr
    finals, stacks = control.loop(b, run.body, trips, go_on, run.initial, bound=bound, recompute=recompute)
    return run.results(finals, stacks)


class _Run:
    """The carries of a `scan` or `loop`, its body, and the results. `counts`: the body gets the number of the round."""

    def __init__(
        self,
        context: Context,
        expr: syntax.Scan | syntax.Loop,
        environment: Environment,
        word: str,
        counts: bool = False,
    ) -> None:
        self._context = context
        self._expr = expr
        self._environment = Environment(environment)
        self.initial = [_tensor(context, carry.value, environment) for carry in expr.carries]
        self.sequences: list[Value] = []
        self.body = context.builder.inner(word)
        self._iteration = Iteration(word, self.body, {})
        self._region = Region(word, self.body)
        self._names = Replayed(context.frame.namer)  # of layers that the condition creates
        if counts:
            self.body.input("round", _I64)
        for carry, value in zip(expr.carries, self.initial, strict=True):
            inside = self._iteration.carries[carry.name.name] = self.body.input(carry.name.name, value.type)
            self._bind(carry.name, inside, carry.span)

    # --- The body --------------------------------------------------------------------------------------------------

    def slices(self, sequence: Value, name: str) -> Value:
        """One more sequence to run along; its slice in the body."""
        self.sequences.append(sequence)
        return self.body.input(name, TensorType(sequence.type.dtype, sequence.type.shape[1:]))

    def element(self, name: syntax.Name, sequence: Value, span: Span) -> Value:
        """A sequence whose slice the body knows by a name."""
        value = self.slices(sequence, name.name)
        self._bind(name, value, span)
        return value

    def bind_index(self, index: Value | None) -> None:
        """The number of the round, where the head gives it a name."""
        if isinstance(self._expr, syntax.Loop) and self._expr.range is not None and index is not None:
            self._bind(self._expr.range.name, index, self._expr.range.span)

    def _bind(self, name: syntax.Name, value: Value, span: Span) -> None:
        self._context.origins[value] = span
        self._environment.set(name.name, value)

    def within(self) -> Any:
        """A context in which everything computed becomes part of the body."""
        return self._context.within(self._region)

    def execute(self, round_: Callable[[], Value]) -> None:
        """Executes the body; `round_` makes the number of the round. Raises Reported where the body has faults."""
        from .statements import execute_all

        context = self._context
        self._region.round = cache(round_)
        context.frame.iterations.append(self._iteration)
        try:
            with self.within():
                execute_all(context, self._expr.body.statements, self._environment)
        finally:
            context.frame.iterations.pop()
        if self._iteration.failed:
            raise Reported
        self._check()

    def condition(self, b: Builder, expr: syntax.Expr, index: Value | None, carries: Sequence[Value]) -> Value:
        """Whether to go on, given the carries and the number of the round to come."""
        from .expressions import evaluate

        environment = Environment(self._environment.outer)
        environment.names.update(zip(self._iteration.carries, carries, strict=True))
        if isinstance(self._expr, syntax.Loop) and self._expr.range is not None and index is not None:
            environment.set(self._expr.range.name.name, index)
        frame = self._context.frame
        outer, frame.namer = frame.namer, self._names
        self._names.restart()
        try:
            with b.at(expr.span):
                value = evaluate(self._context, expr, environment)
        finally:
            frame.namer = outer
        if isinstance(value, Poison):
            raise Reported
        if isinstance(value, bool):
            raise fail("type-mismatch", "this condition is decided while compiling, and never changes", expr.span,
                       describe(value), help="a condition compares carries, such as `while error > 0.01`")  # fmt: skip
        if not isinstance(value, Value) or value.type != _BOOL:
            raise fail("type-mismatch", "the condition of a `loop` is one truth value", expr.span, describe(value),
                       expected="bool", found=describe(value))  # fmt: skip
        return value

    def mask(self, active: Value, span: Span) -> None:
        """Past its length a row keeps its carries and emits zeros."""
        iteration, b = self._iteration, self.body
        with b.at(span):
            for name, value in iteration.pending.items():
                mask = _broadcast(b, active, value, f"the carry `{name}`", span)
                iteration.pending[name] = b.select(mask, value, iteration.carries[name])
            for place, value in enumerate(iteration.emitted):
                mask = _broadcast(b, active, value, "what is emitted", span)
                nothing = b.constant(0, value.type.dtype) if value.type.dtype != "bool" else b.constant(False)
                iteration.emitted[place] = b.select(mask, value, nothing)

    def output(self) -> None:
        """Makes outputs of the body: the next carries, then what is emitted."""
        for name, value in zip(self._iteration.carries, self.next, strict=True):
            self.body.output(f"next.{name}", value)
        for place, value in enumerate(self._iteration.emitted):
            self.body.output(f"emit.{place}", value)

    # --- What comes out --------------------------------------------------------------------------------------------

    @property
    def next(self) -> list[Value]:
        """The next value of each carry."""
        return [self._iteration.pending[name] for name in self._iteration.carries]

    def results(self, finals: Sequence[Value], stacks: Sequence[Value]) -> Any:
        """What is emitted, then what is kept; all carries where the body says neither."""
        last = dict(zip(self._iteration.carries, finals, strict=True))
        kept = self._iteration.keep
        names = [name.name for name in kept.names] if kept is not None else [] if stacks else list(last)
        results = (*stacks, *(last[name] for name in names))
        return results[0] if len(results) == 1 else results

    def _check(self) -> None:
        iteration, expr = self._iteration, self._expr
        for carry in expr.carries:
            name = carry.name.name
            if name not in iteration.pending:
                raise fail("unset-carry", f"the body does not say what the next `{name}` is", carry.span,
                           help=f"`next {name} = …` in the body hands it to the next round")  # fmt: skip
        if not iteration.carries and not iteration.emitted:
            raise fail("no-return", f"this `{iteration.word}` has no result", expr.span,
                       help="`emit` stacks a value of each round; a `carry` is handed on to the next")  # fmt: skip


# --- Statements of a body --------------------------------------------------------------------------------------------


def set_carry(context: Context, iteration: Iteration, target: syntax.Next, value: Any, span: Span) -> None:
    """`next h = …` of a carry; `span` is where the value stands."""
    name, type_ = target.name, iteration.carries[target.name].type
    if iteration is not context.frame.iterations[-1]:
        raise fail("misplaced-statement", f"`{name}` is handed on by the `{iteration.word}` further out", target.span,
                   help=f"give it to this `{iteration.word}` too: `carry {name} = {name}`")  # fmt: skip
    if name in iteration.pending:
        raise fail("duplicate-name", f"`next {name}` is set twice", target.span,
                   help=f"a round hands on one `{name}`: give the first of them a name of its own")  # fmt: skip
    if isinstance(value, bool):
        value = natural(context, value, span)
    elif is_number(value) and type_.dtype != "bool":
        value = adapted(context, value, type_, span)
    if not isinstance(value, Value) or value.type != type_:
        raise _wrong_carry(context, name, type_, value, span)
    iteration.pending[name] = value


def _is_cut_or_joined(context: Context, value: Value) -> bool:
    """Whether a tensor is another one with more or fewer elements, so that it would differ in each round."""
    producer = context.builder.producer(value)
    return producer is not None and producer.op in ("concat", "slice", "pad")


def _wrong_carry(context: Context, name: str, type_: TensorType, value: Any, span: Span) -> DiagnosticError:
    code, way_out = "type-mismatch", None
    if isinstance(value, Value) and value.type.dtype == type_.dtype and _is_cut_or_joined(context, value):
        code = "shape-mismatch"
        way_out = "a carry has one shape in all rounds: `emit …` collects what each round makes"
    elif isinstance(value, Value) and value.type.dtype == type_.dtype:
        code = "rank-mismatch" if value.type.rank != type_.rank else "shape-mismatch"
        sizes = ", ".join(map(str, value.type.shape))
        way_out = f"let it begin with a tensor of that shape, such as `zeros({sizes})`" if sizes else None
    elif isinstance(value, Value) and type_ == _I64 and value.type == TensorType("f32"):
        way_out = f"let it begin with a fraction: `carry {name} = 0.0`"
    return fail(code, f"the next `{name}` must have the type that `{name}` begins with", span, describe(value),
                expected=type_, found=describe(value), help=way_out)  # fmt: skip


def emit(context: Context, statement: syntax.Emit, environment: Environment) -> None:
    """`emit a, b`."""
    iteration = _iteration_of(context, statement, "emit")
    if iteration.emit is not None:
        raise fail("duplicate-name", "a round emits once", statement.span,
                   secondary=[Label(iteration.emit.span, "here already")],
                   help="several results stand side by side: `emit a, b`")  # fmt: skip
    iteration.emit = statement
    for item in statement.values:
        iteration.emitted.append(_tensor(context, item, environment))


def keep(context: Context, statement: syntax.Keep, environment: Environment) -> None:
    """`keep h, c`."""
    iteration = _iteration_of(context, statement, "keep")
    for name in statement.names:
        if name.name not in iteration.carries:
            known = ", ".join(iteration.carries) or "none"
            raise fail("unset-carry", f"`{name.name}` is not a carry of this `{iteration.word}`", name.span,
                       help=f"`keep` gives the last values of carries; the carries are {known}")  # fmt: skip
    if iteration.keep is not None:
        raise fail("duplicate-name", "a body keeps once", statement.span,
                   secondary=[Label(iteration.keep.span, "here already")],
                   help="several carries stand side by side: `keep h, c`")  # fmt: skip
    iteration.keep = statement


def _iteration_of(context: Context, statement: syntax.Statement, word: str) -> Iteration:
    """The iteration whose body a statement stands in, not inside a choice that is made at run time."""
    iteration = context.frame.iterations[-1]
    if context.builder is iteration.builder:
        return iteration
    raise fail("misplaced-statement", f"`{word}` cannot stand in {context.regions[-1].place}", statement.span,
               help=f"every round does the same: compute the value there, and `{word}` it behind")  # fmt: skip


# --- The head --------------------------------------------------------------------------------------------------------


def _tensor(context: Context, expr: syntax.Expr, environment: Environment) -> Value:
    from .expressions import evaluate

    value = evaluate(context, expr, environment)
    if isinstance(value, Poison):
        raise Reported
    if is_number(value) or isinstance(value, bool):
        return natural(context, value, expr.span)
    if not isinstance(value, Value):
        raise fail("not-a-tensor", "a tensor is needed here", expr.span, describe(value))
    return value


def _is_backward(context: Context, expr: syntax.Expr, environment: Environment) -> bool:
    from .expressions import condition

    value = condition(context, expr, environment)
    if isinstance(value, Poison):
        raise Reported
    return value


def _lengths(context: Context, expr: syntax.Expr, environment: Environment) -> Value | None:
    """The lengths of the rows; None where the program gives `none`."""
    from .expressions import evaluate

    value = evaluate(context, expr, environment)
    if value is None:
        return None
    value = _tensor(context, expr, environment)
    if value.type.dtype not in INTEGERS or value.type.rank != 1:
        raise fail("type-mismatch", "`lengths` takes one whole number for each row", expr.span, str(value.type),
                   expected="i64[b]", found=value.type)  # fmt: skip
    return value


def _active(b: Builder, length: Size, lengths: Value) -> Value:
    """bool[length, rows]: whether an element is before the end of its row."""
    position = b.reshape(b.iota(count=length), shape=(length, 1))
    return b.less(position, b.cast(lengths, dtype="i64"))


def _broadcast(b: Builder, active: Value, value: Value, what: str, span: Span) -> Value:
    """The mask with axes of size 1, so that it goes with a value that has a row for each of its elements."""
    if not value.type.rank or value.type.shape[0] != active.type.shape[0]:
        raise fail("shape-mismatch", f"with `lengths`, {what} needs a row for each length", span, str(value.type),
                   expected=f"{active.type.shape[0]} rows", found=value.type)  # fmt: skip
    return b.reshape(active, shape=(active.type.shape[0], *(1,) * (value.type.rank - 1)))


def _bounds(context: Context, range_: syntax.Range, environment: Environment) -> tuple[Any, Any]:
    """Both ends: sizes, or whole numbers of the graph."""
    from .expressions import evaluate

    ends: list[Any] = []
    for node in (range_.first, range_.last):
        value = evaluate(context, node, environment)
        if isinstance(value, Poison):
            raise Reported
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not is_size(value) and not (isinstance(value, Value) and value.type == _I64):
            raise fail("type-mismatch", "a `loop` counts whole numbers", node.span, describe(value),
                       expected="a size, or i64", found=describe(value))  # fmt: skip
        ends.append(value)
    _check_direction(range_)
    return ends[0], ends[1]


def _check_direction(range_: syntax.Range) -> None:
    """Raises bad-value for `from 10 to 0`, which runs no round; between names, that may be what is meant."""
    first, last = range_.first, range_.last
    if not isinstance(first, syntax.Number) or not isinstance(last, syntax.Number):
        return
    low, high = (last, first) if range_.down else (first, last)
    if low.value > high.value:
        to, other = ("down to", "to") if range_.down else ("to", "down to")
        span = first.span.to(last.span)
        raise fail("bad-value", f"from {first.value} {to} {last.value} there is nothing to count", span,
                   help=f"write `from {first.value} {other} {last.value}`")  # fmt: skip


def _as_tensor(context: Context, value: Any, node: syntax.Expr) -> Value:
    return value if isinstance(value, Value) else scalar(context, value, "i64", node.span)
