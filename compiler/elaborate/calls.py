"""Calls: creating layers and models, applying them, and calling functions and operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.source import BUILTIN, Span

from ..ir import Value
from . import binding as bind
from .arguments import Arguments, check_named_once
from .context import Context, Frame
from .differentiation import recomputed, with_gradient
from .naming import Counter, Prefixed
from .opcalls import call_op, cast_to
from .patterns import split_parameters
from .results import check_result
from .settings import settings_of_call, settings_of_values
from .values import (
    CALLABLE,
    POISON,
    Composition,
    DType,
    Entry,
    Environment,
    Function,
    Intrinsic,
    Layer,
    Lazy,
    Model,
    OpFunction,
    Partial,
    Poison,
    describe,
)


def call_expression(context: Context, expr: syntax.Call, environment: Environment, binding: str | None) -> Any:
    """The value of `f(…)`; `binding` names a layer that the call creates."""
    from .expressions import evaluate

    function = evaluate(context, expr.function, environment)
    if isinstance(function, Poison):
        return POISON
    if not isinstance(function, CALLABLE):
        raise _not_callable(function, expr.function.span, _hidden(expr.function, environment) or _mistaken(expr))
    if isinstance(function, Function) and function.definition.kind != "fn":
        return create(context, function, expr, environment, binding)
    check_named_once(expr)
    given = [(a.name, (evaluate(context, a.value, environment), a.span)) for a in expr.arguments]
    positional = [item for name, item in given if name is None]
    arguments = Arguments(expr.span, positional, {name: item for name, item in given if name is not None})
    if arguments.poisoned:
        return POISON
    _check_made_once(function, arguments, expr.function, environment)
    return call(context, function, arguments)


def _check_made_once(function: Any, arguments: Arguments, expr: syntax.Expr, environment: Environment) -> None:
    """Raises not-callable for `block(4)` where `block = block(4)` was executed before."""
    if not isinstance(function, Layer) or not isinstance(expr, syntax.Name) or arguments.has_tensor:
        return
    scope = environment.outer
    while scope is not None and not isinstance(scope.names.get(expr.name), Function):
        scope = scope.outer
    if scope is not None and arguments.values:
        way_out = "give the layer another name; in a `repeat`, `let` makes one for each round"
        raise fail("not-callable", f"`{expr.name}` is a layer by now, and hides what it was made of", expr.span,
                   "applied to settings", secondary=[Label(function.instance.created, "made here")],
                   help=way_out)  # fmt: skip


_APPLIED = "the layer was applied already: its result is a tensor"


def _mistaken(expr: syntax.Call) -> str:
    """A help text where a tensor is applied: to a number, which is an index, or once more."""
    is_index = bool(expr.arguments) and all(isinstance(a.value, syntax.Number) for a in expr.arguments)
    return f"an index stands in square brackets: `{expr.function.span.text}[…]`" if is_index else _APPLIED


def _hidden(expr: syntax.Expr, environment: Environment) -> str | None:
    """A help text where a tensor has the name of a function: `sum = sum(x)`."""
    if not isinstance(expr, syntax.Name):
        return None
    scope: Environment | None = environment
    while scope is not None and not isinstance(scope.names.get(expr.name), (*CALLABLE, Lazy)):
        scope = scope.outer
    hidden = f"here `{expr.name}` is a tensor, which hides the function of that name: rename it"
    return hidden if scope is not None else None


def _not_callable(value: Any, span: Span, help_: str) -> DiagnosticError:
    """The fault of a value that cannot be applied; `help_` is for tensors."""
    if isinstance(value, Value):
        return fail("not-callable", "a tensor cannot be applied", span, describe(value), help=help_)
    of_layers = isinstance(value, tuple) and any(isinstance(item, CALLABLE) for item in value)
    of_several = "`f >> g` makes one layer of several" if of_layers else None
    return fail("not-callable", f"{describe(value)} cannot be applied", span, help=of_several)


def check_created(value: Any, span: Span, help_: str = _APPLIED) -> None:
    """Raises not-callable for a value that cannot be applied to tensors, such as a layer that was never created."""
    if not isinstance(value, CALLABLE):
        raise _not_callable(value, span, help_)
    if isinstance(value, Function) and value.definition.kind != "fn":
        raise fail(
            "not-callable",
            f"`{value.name}` is a {value.definition.kind} that has not been created",
            span,
            help=f"create it, then apply it: `{value.name}(…)`",
        )


def apply(context: Context, function: Any, values: Sequence[Any], span: Span, spans: Sequence[Span]) -> Any:
    """Applies a callable to tensors, as `x |> f` does."""
    check_created(function, span)
    if any(isinstance(value, Poison) for value in values):
        return POISON
    return call(context, function, Arguments(span, list(zip(values, spans, strict=True))))


def call(context: Context, function: Any, arguments: Arguments) -> Any:
    """Calls anything callable with evaluated arguments."""
    result = _dispatch(context, function, arguments)
    if not isinstance(function, Composition):  # its parts are calls themselves
        created = function.instance.created if isinstance(function, Layer | Model) else BUILTIN
        context.remember(result, arguments.span if created is BUILTIN else created, arguments.values)
    return result


def _dispatch(context: Context, function: Any, arguments: Arguments) -> Any:
    match function:
        case Intrinsic():
            return function.implementation(context, arguments)
        case OpFunction():
            return call_op(context, function.op, arguments)
        case DType(name=name):
            return cast_to(context, name, arguments)
        case Composition():
            return _call_composition(context, function, arguments)
        case Partial(function=inner, settings=settings):
            return _call_partial(context, inner, settings, arguments)
        case Function():
            return _call_function(context, function, arguments)
        case Layer():
            return _apply_layer(context, function, arguments)
        case Model():
            return _apply_entry(context, entry_of(function, "forward", arguments.span), arguments)
        case Entry():
            return _apply_entry(context, function, arguments)
    raise fail("not-callable", f"{describe(function)} cannot be applied", arguments.span)


# --- Creating ------------------------------------------------------------------------------------------------------


def create(
    context: Context, function: Function, expr: syntax.Call, environment: Environment, binding: str | None
) -> Layer | Model | Poison:
    """Creates a layer or model: binds its settings and gives it a name."""
    frame = context.frame
    definition = function.definition
    if frame.instance is None:
        raise fail(
            "not-callable",
            f"a `{frame.kind}`{' block' if frame.train else ''} cannot create the {definition.kind} `{function.name}`",
            expr.span,
            help="`forward(x)` applies the model that is trained"
            if frame.train and definition.kind == "model"
            else "layers have parameters: create them in a `layer` or `model`",
        )
    settings = settings_of_call(context, function, expr, environment)
    if settings is None:
        return POISON
    name = frame.namer.allocate(binding or function.name)
    instance = frame.instance.child(name, definition, expr.span)
    if definition.kind == "model":
        return create_model(context, function, settings, instance, expr.span, Counter())
    return Layer(function, settings, instance)


def create_model(
    context: Context, function: Function, settings: dict[str, Any], instance: Any, span: Span, names: Counter
) -> Model:
    """Creates a model: runs the statements beside its entries, which make what the entries share. `names` has
    those of the layers that its settings created."""
    from .statements import execute_all

    definition = function.definition
    environment = Environment(function.environment)
    environment.names.update(settings)
    model = Model(function, settings, instance, environment)
    if not definition.entries:  # its conditions may be on sizes of its inputs
        environment.set("forward", Entry(model, definition))
        instance.namer = names
        return model
    bind.check_where(context, definition, environment, span)
    for entry in definition.entries:
        environment.set(entry.name.name, Entry(model, entry))
    frame = Frame("model", function.name, instance, names, (definition,), environment)
    with context.call(Label(span, f"`{function.name}`" if instance.path else ""), frame):
        execute_all(context, definition.body.statements, environment)
    instance.namer = frame.namer
    return model


def entry_of(model: Model, name: str, span: Span) -> Entry:
    """The entry called `name`. Raises unknown-attribute."""
    found = model.environment.names.get(name)
    if not isinstance(found, Entry):
        entries = [entry.name.name for entry in model.function.definition.entries]
        raise fail(
            "unknown-attribute",
            f"the model `{model.name}` has no entry `{name}`",
            span,
            help=f"its entries are {', '.join(entries)}",
        )
    return found


# --- Applying ------------------------------------------------------------------------------------------------------


def _apply_layer(context: Context, layer: Layer, arguments: Arguments) -> Any:
    environment = Environment(layer.function.environment)
    environment.names.update(layer.settings)
    frame = Frame("layer", layer.name, layer.instance)
    return _run(context, layer.function.definition, arguments, environment, frame)


def _apply_entry(context: Context, entry: Entry, arguments: Arguments) -> Any:
    instance = entry.model.instance
    name = "forward" if entry.definition is entry.model.function.definition else entry.name
    counter = instance.namer.copy()
    namer = counter if name == "forward" else Prefixed(counter, name)
    frame = Frame("entry", name, instance, namer, (entry.model.function.definition,))
    return _run(context, entry.definition, arguments, Environment(entry.model.environment), frame)


def _call_function(context: Context, function: Function, arguments: Arguments) -> Any:
    settings, tensors = split_parameters(function.definition)
    names = {parameter.name for parameter in tensors}
    gives_tensor = arguments.has_tensor or any(key in names for key in arguments.keywords)
    if tensors and not gives_tensor and len(arguments.positional) <= len(settings):
        given = settings_of_values(context, function, arguments)
        return Partial(function, given)
    return _run_function(context, function, {}, arguments)


def _call_partial(context: Context, inner: Any, settings: dict[str, Any], arguments: Arguments) -> Any:
    if isinstance(inner, OpFunction):
        return call_op(context, inner.op, arguments, settings)
    return _run_function(context, inner, settings, arguments)


def _run_function(context: Context, function: Function, given: dict[str, Any], arguments: Arguments) -> Any:
    """Runs a `fn`. With settings `given` already, the arguments are its tensors; else they are in declared order."""
    environment = Environment(function.environment)
    if given:
        environment.names.update(given)
        rest = arguments
    else:
        rest = bind.separate(context, function, arguments, environment)
    return _run(context, function.definition, rest, environment, Frame("fn", function.name))


def _call_composition(context: Context, composition: Composition, arguments: Arguments) -> Any:
    (first, place), *rest = zip(composition.parts, composition.spans, strict=True)
    with context.calling(Label(arguments.span, f"`{composition.name}`" if composition.name else "")):
        result = call(context, first, replace(arguments, span=place))
        for part, span in rest:
            values = result if isinstance(result, tuple) else (result,)
            result = apply(context, part, values, span, (place,) * len(values))
            place = span
    return result


def _run(
    context: Context, definition: syntax.Definition, arguments: Arguments, environment: Environment, frame: Frame
) -> Any:
    """Binds the tensors in `environment`, runs the body in one of its own, checks the result."""
    name = f"`{definition.name.name}`"
    bind.tensors(context, definition, arguments, environment)
    bind.check_where(context, definition, environment, arguments.span)
    asked = context.executed.asked if context.executed is not None else 0
    frame.definitions = (definition, *frame.definitions)
    frame.environment = Environment(environment)
    inner = frame.environment
    run = partial(_execute, context, definition, frame, environment)
    with context.call(Label(arguments.span, "" if arguments.implicit else name), frame):
        if definition.recompute:
            recomputed(context, inner, arguments.span, run)
        elif definition.gradient is not None:
            with_gradient(context, definition, environment, run)
        else:
            run()
    if context.executed is not None:
        context.executed.add(context, frame, environment, asked)
    return frame.returned


def _execute(context: Context, definition: syntax.Definition, frame: Frame, environment: Environment) -> None:
    """Runs the body of a definition, and checks what it returned."""
    from .statements import execute_all

    assert frame.environment is not None
    errors = len(context.diagnostics)
    execute_all(context, definition.body.statements, frame.environment)
    if len(context.diagnostics) > errors:
        frame.returned, frame.has_returned = POISON, True
        return
    if not frame.has_returned:
        raise fail("no-return", f"`{definition.name.name}` does not return anything", definition.name.span,
                   help="end the body with `return …`")  # fmt: skip
    check_result(context, definition, frame, environment)
