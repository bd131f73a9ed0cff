"""Evaluates expressions: numbers and sizes while compiling, tensors by adding nodes to the graph."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from netlang import habits, syntax
from netlang.diagnostics import DiagnosticError, Label, did_you_mean, fail
from netlang.dims import Dim
from netlang.source import Span

from ..initializers import INITIALIZERS
from ..ir import Init, Value
from ..ops import OPS
from . import aggregation, calls, indexing, iteration
from .arithmetic import binary, unary
from .axis_patterns import pattern_call
from .choice import chosen_value, decided
from .context import Context, Reported
from .differentiation import recomputed_value
from .heads import heads
from .naming import Prefixed
from .values import (
    POISON,
    Composition,
    Entry,
    Environment,
    Function,
    Layer,
    Model,
    Namespace,
    OpFunction,
    Poison,
    describe,
    is_number,
)

MAX_ITEMS = 10_000
"""Parts of a composition, items of a list: more come only from doubling them in a `repeat`."""


def evaluate(context: Context, expr: syntax.Expr, environment: Environment, binding: str | None = None) -> Any:
    """The value of an expression. `binding` is the name it is about to get, which names a layer created here."""
    handler = _HANDLERS[type(expr)]
    if handler in _BINDING:
        return handler(context, expr, environment, binding)
    return handler(context, expr, environment)


def evaluate_block(context: Context, block: syntax.Block, environment: Environment, binding: str | None = None) -> Any:
    """The value of a block used as an expression: that of its last statement."""
    from .statements import execute

    inner = Environment(environment)
    *before, marked = block.statements or (None,)
    last = marked.statement if isinstance(marked, syntax.Recompute) else marked
    if not isinstance(last, syntax.ExpressionStatement):
        help = "a block is worth its last expression"
        help += ", without `return`" if isinstance(last, syntax.Return) else ""
        raise fail("type-mismatch", "this block has no value", block.span, help=help)
    for statement in before:
        execute(context, statement, inner)
    if last is marked:
        return evaluate(context, last.value, inner, binding)
    if isinstance(last.value, syntax.Scan | syntax.Loop):
        with context.recomputing(last.value):
            return evaluate(context, last.value, inner)
    return recomputed_value(context, last.span, partial(evaluate, context, last.value, inner))


def evaluate_init(context: Context, expr: syntax.Expr, environment: Environment) -> Init:
    """An initialiser, as it stands after `~`: here `normal(0.02)` is one, and not a random draw."""
    match expr:
        case syntax.Conditional():
            return _chosen_init(context, expr, environment)
        case syntax.Call(function=syntax.Name(name=name), arguments=arguments) if name in INITIALIZERS:
            return _initializer(context, expr, name, arguments, environment)
        case syntax.Name(name=name):
            try:
                value = environment.get(name)
            except KeyError:
                value = None
            if isinstance(value, Init):
                return value
            if name in INITIALIZERS:
                raise fail("unknown-initializer", f"`{name}` is called with parentheses", expr.span,
                           help=f"write `{name}()`")  # fmt: skip
    name = expr.function.name if isinstance(expr, syntax.Call) and isinstance(expr.function, syntax.Name) else None
    if isinstance(expr, syntax.Name) or name is not None:
        called = name or expr.span.text
        raise fail(
            "unknown-initializer",
            f"there is no initialiser `{called}`",
            expr.span,
            help=habits.INITIALIZERS.get(called)
            or did_you_mean(called, INITIALIZERS)
            or f"initialisers are {', '.join(sorted(INITIALIZERS))}",
        )
    value = evaluate(context, expr, environment)
    if isinstance(value, Init):
        return value
    help = f"write `constant({value})`" if is_number(value) else f"initialisers are {', '.join(sorted(INITIALIZERS))}"
    raise fail("unknown-initializer", f"{describe(value)} is not an initialiser", expr.span, help=help)


def _chosen_init(context: Context, expr: syntax.Conditional, environment: Environment) -> Init:
    decided = condition(context, expr.condition, environment)
    if isinstance(decided, Poison):
        raise Reported
    chosen = expr.then if decided else expr.otherwise
    *before, last = chosen.statements or (None,)
    if before or not isinstance(last, syntax.ExpressionStatement):
        raise fail("unknown-initializer", "this is not an initialiser", chosen.span)
    return evaluate_init(context, last.value, environment)


def _initializer(
    context: Context,
    expr: syntax.Call,
    name: str,
    arguments: tuple[syntax.Argument, ...],
    environment: Environment,
) -> Init:
    defaults = INITIALIZERS[name].defaults
    given: dict[str, float] = {}
    for index, argument in enumerate(arguments):
        key = argument.name or (list(defaults)[index] if index < len(defaults) else None)
        if key is None or key not in defaults:
            raise fail(
                "unknown-argument",
                f"the initialiser `{name}` takes {', '.join(f'`{d}`' for d in defaults) or 'no arguments'}",
                argument.span,
                help=habits.FLAGS.get(argument.name)
                if argument.name
                else "the shape is that of the type before the `~`",
            )
        value = evaluate(context, argument.value, environment)
        if isinstance(value, Poison):
            raise Reported
        if context.generic and isinstance(value, Value | Dim):
            value = 1.0  # depends on a size that only a use of the layer would say
        if isinstance(value, Dim) or not is_number(value):
            raise fail("type-mismatch", f"`{key}` must be a number", argument.span, describe(value))
        given[key] = float(value)
    missing = [key for key, default in defaults.items() if default is None and key not in given]
    if missing:
        raise fail("missing-argument", f"the initialiser `{name}` needs `{missing[0]}`", expr.span,
                   help=f"write `{name}({', '.join(f'{key} = …' for key in missing)})`")  # fmt: skip
    return Init(name, tuple((key, given.get(key, default)) for key, default in defaults.items()))  # type: ignore[misc]


def _literal(context: Context, expr: Any, environment: Environment) -> Any:
    return expr.value


def _none(context: Context, expr: syntax.NoneLiteral, environment: Environment) -> None:
    return None


def _name(context: Context, expr: syntax.Name, environment: Environment) -> Any:
    try:
        return environment.get(expr.name)
    except KeyError:
        raise _undefined(context, expr) from None
    except DiagnosticError as error:  # of a constant in terms of itself, which no line of its own causes
        raise DiagnosticError(*(replace(d, primary=d.primary or Label(expr.span)) for d in error.diagnostics)) from None


def _undefined(context: Context, expr: syntax.Name) -> DiagnosticError:
    """A name that the check of names let pass: of an initialiser, or set in a branch that was not taken."""
    running = context.frames[-1].definitions[:1] if context.frames else ()
    nodes = (node for definition in running for node in syntax.walk(definition.body))
    assigned = (name.span for node in nodes for name in syntax.bound_names(node) if name.name == expr.name)
    place = next(assigned, None)
    help_ = "set it before the branch, or in both branches" if place is not None else None
    if expr.name in INITIALIZERS:
        help_ = "initialisers stand after `~`; `full([2, 3], 0)` is a tensor"
    secondary = [Label(place, "set in one branch only")] if place is not None else []
    return fail("undefined-name", f"`{expr.name}` is not defined", expr.span, secondary=secondary, help=help_)


def _next(context: Context, expr: syntax.Next, environment: Environment) -> Any:
    around = next((i for i in reversed(context.frame.iterations) if expr.name in i.carries), None)
    if around is not None and around.failed:
        return around.pending.get(expr.name, POISON)
    instance = context.frame.instance
    pending = around.pending if around is not None else instance.pending if instance is not None else {}
    if expr.name in pending:
        return pending[expr.name]
    raise fail(
        "unset-state" if around is None else "unset-carry",
        f"`next {expr.name}` is read before it is set",
        expr.span,
        help=f"put `next {expr.name} = …` before this line",
    )


def _attribute(context: Context, expr: syntax.Attribute, environment: Environment) -> Any:
    value = evaluate(context, expr.value, environment)
    if isinstance(value, Poison):
        return value
    if isinstance(value, Value):
        if expr.name == "T":
            if value.type.rank < 2:
                raise fail(
                    "rank-mismatch", "`.T` swaps the last two axes, and this has fewer", expr.span, str(value.type)
                )
            with context.builder.at(expr.span):
                return context.builder.t(value)
        raise fail(
            "unknown-attribute",
            f"a tensor has no `{expr.name}`",
            expr.name_span,
            help=habits.of_attribute(expr.name, OPS.keys()),
        )
    members = _members(value)
    if expr.name in members:
        return members[expr.name]
    raise fail(
        "unknown-attribute",
        f"{describe(value)} has no `{expr.name}`",
        expr.name_span,
        help=habits.MEMBERS.get(expr.name) or did_you_mean(expr.name, members) or _alternative(value, expr.name),
    )


def _members(value: Any) -> dict[str, Any]:
    match value:
        case Layer(instance=instance):
            return instance.values
        case Model(environment=environment, instance=instance):
            return {**environment.names, **instance.values}
        case Namespace(members=members):
            return members
    return {}


def _alternative(value: Any, name: str) -> str | None:
    if isinstance(value, tuple):
        return habits.LISTS.get(name)
    if isinstance(value, Composition) or (isinstance(value, Layer) and value.instance.children):
        return "only layers with a name show their parameters: `let first = linear(8)`, then `first.weight`"
    if isinstance(value, Layer) and not value.instance.variables:
        return "a layer has its parameters once it has been applied; this one has not been yet"
    if isinstance(value, Model):
        entries = [name for name, member in value.environment.names.items() if isinstance(member, Entry)]
        return f"its entries are {', '.join(entries)}"
    if isinstance(value, Function) and value.definition.kind == "model":
        return f"in its entries and in `train {value.name}`, what the model has is called by its plain name"
    return None


def _call(context: Context, expr: syntax.Call, environment: Environment, binding: str | None) -> Any:
    return calls.call_expression(context, expr, environment, binding)


def _pipe(context: Context, expr: syntax.Pipe, environment: Environment) -> Any:
    value = evaluate(context, expr.value, environment)
    function = evaluate(context, expr.function, environment)
    if isinstance(value, Poison) or isinstance(function, Poison):
        return POISON
    if isinstance(value, Layer | Composition) and isinstance(function, Layer | Composition | OpFunction):
        raise fail("not-a-tensor", "`|>` puts a tensor into a layer, and this is a layer itself", expr.value.span,
                   describe(value), help="`f >> g` makes one layer of two: `x |> f >> g`")  # fmt: skip
    arguments = value if isinstance(value, tuple) else (value,)
    return calls.apply(context, function, arguments, expr.function.span, (expr.value.span,) * len(arguments))


def _compose(context: Context, expr: syntax.Compose, environment: Environment, binding: str | None) -> Any:
    frame = context.frame
    outer = frame.namer
    if binding is not None:
        frame.namer = Prefixed(outer, binding)
    try:
        parts: list[Any] = []
        spans: list[Span] = []
        for node in _chain(expr):
            part = evaluate(context, node, environment)
            if isinstance(part, Poison):
                return POISON
            calls.check_created(part, node.span, "`>>` joins layers; `x |> f >> g` applies them")
            parts.extend(part.parts if isinstance(part, Composition) else (part,))
            spans.extend(part.spans if isinstance(part, Composition) else (node.span,))
    finally:
        frame.namer = outer
    if len(parts) > MAX_ITEMS:
        raise fail("network-too-large", f"this composition has more than {MAX_ITEMS} parts", expr.span)
    return Composition(tuple(parts), tuple(spans), binding)


def _chain(expr: syntax.Expr) -> list[syntax.Expr]:
    if isinstance(expr, syntax.Compose):
        return [*_chain(expr.first), *_chain(expr.second)]
    return [expr]


def condition(context: Context, expr: syntax.Expr, environment: Environment) -> bool | Poison:
    """A condition that is decided while compiling."""
    value = evaluate(context, expr, environment)
    if isinstance(value, bool | Poison):
        return value
    if isinstance(value, Value):
        raise fail(
            "not-compile-time",
            "this condition is a tensor, known only at run time",
            expr.span,
            str(value.type),
            help="`select(condition, a, b)` chooses between tensors, element by element",
        )
    help = (
        'a message follows `:`, without parentheses: `assert n > 3 : "too few"`' if isinstance(value, tuple) else None
    )
    raise fail("type-mismatch", "this is not a condition", expr.span, describe(value), help=help)


def _conditional(context: Context, expr: syntax.Conditional, environment: Environment, binding: str | None) -> Any:
    chosen = decided(context, expr.condition, environment)
    if isinstance(chosen, Poison):
        return POISON
    if isinstance(chosen, Value):
        return chosen_value(context, expr, chosen, environment, binding)
    return evaluate_block(context, expr.then if chosen else expr.otherwise, environment, binding)


def _tuple(context: Context, expr: syntax.Tuple | syntax.List, environment: Environment) -> Any:
    values: list[Any] = []
    for item in expr.items:
        if isinstance(item, syntax.Pack):
            values.extend(_pack(item, environment))
        else:
            values.append(evaluate(context, item, environment))
    if len(values) > MAX_ITEMS:
        raise fail("network-too-large", f"this list has more than {MAX_ITEMS} items", expr.span)
    return POISON if any(isinstance(value, Poison) for value in values) else tuple(values)


def _pack(pack: syntax.Pack, environment: Environment) -> tuple[Any, ...]:
    """The sizes or items that `*s` in a list stands for."""
    try:
        value = environment.get(pack.name)
    except KeyError:
        raise fail("undefined-name", f"`{pack.name}` is not defined", pack.span) from None
    if isinstance(value, tuple):
        return value
    if isinstance(value, Poison):
        return (value,)
    raise fail("type-mismatch", f"`*{pack.name}` needs a list or a pack of dimensions", pack.span, describe(value))


def _index(context: Context, expr: syntax.Index, environment: Environment) -> Any:
    value = evaluate(context, expr.value, environment)
    return value if isinstance(value, Poison) else indexing.index(context, expr, value, environment)


_HANDLERS: dict[type, Any] = {
    syntax.Number: _literal,
    syntax.String: _literal,
    syntax.Boolean: _literal,
    syntax.NoneLiteral: _none,
    syntax.Name: _name,
    syntax.Next: _next,
    syntax.Attribute: _attribute,
    syntax.Call: _call,
    syntax.Index: _index,
    syntax.Unary: unary,
    syntax.Binary: binary,
    syntax.Pipe: _pipe,
    syntax.Compose: _compose,
    syntax.Conditional: _conditional,
    syntax.Heads: heads,
    syntax.Aggregate: aggregation.aggregate,
    syntax.Scan: iteration.scan,
    syntax.Loop: iteration.loop,
    syntax.Tuple: _tuple,
    syntax.List: _tuple,
    syntax.PatternCall: pattern_call,
}
_BINDING = (_call, _compose, _conditional)
