"""Executes statements: bindings, parameters, compile-time control flow, and the lines of a `train` block."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.dims import Dim
from netlang.source import BUILTIN
from netlang.types import PackPattern, TensorType, require_extent

from ..ir import Value
from . import iteration, phases, training
from .augmentation import augment
from .averaging import Average
from .choice import chosen_statements, decided
from .context import Context, Reported
from .differentiation import recomputed
from .expressions import evaluate, evaluate_init
from .messages import check_condition
from .patterns import closed_type, dim_names, open_names, pattern_of
from .provenance import size_origin
from .repetition import repeat
from .values import POISON, Environment, Poison, describe


def execute_all(context: Context, statements: Iterable[syntax.Statement], environment: Environment) -> None:
    """Executes statements until one returns. A faulty statement is reported and poisons what it binds."""
    for statement in statements:
        execute(context, statement, environment)
        if context.frame.has_returned:
            return


def execute(context: Context, statement: syntax.Statement, environment: Environment) -> None:
    """Executes one statement."""
    context.step(statement.span)
    try:
        with context.builder.at(statement.span):
            _HANDLERS[type(statement)](context, statement, environment)
    except DiagnosticError as error:
        context.record(error)
        _poison(context, statement, environment)
    except Reported:
        _poison(context, statement, environment)


def _poison(context: Context, statement: syntax.Statement, environment: Environment) -> None:
    if context.frame.iterations:
        context.frame.iterations[-1].failed = True
    match statement:
        case syntax.Assign() | syntax.SetNext():
            for name in syntax.bound_names(statement):
                environment.set(name.name, POISON)
        case syntax.Declare(name=name) | syntax.Input(name=name):
            environment.set(name.name, POISON)
        case syntax.Return():
            context.frame.returned, context.frame.has_returned = POISON, True
        case syntax.Recompute(statement=inner):
            _poison(context, inner, environment)
        case syntax.If() | syntax.WhenTraining() | syntax.Repeat():
            for node in syntax.walk(statement):
                if isinstance(node, syntax.Assign | syntax.SetNext | syntax.Declare | syntax.Return):
                    _poison(context, node, environment)


def _assign(context: Context, statement: syntax.Assign, environment: Environment) -> None:
    names = [target.name for target in statement.targets]
    value = evaluate(context, statement.value, environment, names[0] if len(names) == 1 else None)
    if isinstance(value, Poison):
        _poison(context, statement, environment)
        return
    if statement.keyword == "const":
        require_constant(context, statement.value, value)
    if len(names) == 1:
        environment.set(names[0], value)
        return
    for name, item in zip(names, _items(value, len(names), statement.value), strict=True):
        environment.set(name, item)


def _items(value: Any, count: int, expr: syntax.Expr) -> tuple[Any, ...]:
    """The parts of `value` for `count` names."""
    if isinstance(value, tuple) and len(value) == count:
        return value
    found = f"{len(value)} values" if isinstance(value, tuple) else "one value"
    shown = ", ".join(describe(item) for item in (value if isinstance(value, tuple) else (value,)))
    way_out = f"this is one tensor: `split(x, {count})` would cut it into {count} along its last axis"
    match expr:
        case _ if isinstance(value, tuple):
            way_out = "each value has a name of its own; one that is not needed begins with `_`"
        case syntax.Call(function=syntax.Name(name="max" | "min" as name)):
            way_out = f"`{name}` gives the values alone, and `arg{name}` their positions"
    raise fail("type-mismatch", f"{count} names for {found}", expr.span, shown,
               help=way_out if isinstance(value, Value | tuple) else None)  # fmt: skip


def require_constant(context: Context, expr: syntax.Expr, value: Any) -> None:
    """Raises not-compile-time where the value of a `const` depends on the run."""
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, Dim) or (isinstance(item, Value) and not context.is_constant(item)):
            raise fail(
                "not-compile-time",
                "a `const` is computed while compiling, and this is known only at run time",
                expr.span,
                describe(item),
            )


def _declare(context: Context, statement: syntax.Declare, environment: Environment) -> None:
    frame = context.frame
    name = statement.name.name
    if frame.instance is None:
        raise fail(
            "not-compile-time",
            f"a `{frame.kind}` has no parameters or states",
            statement.span,
            help="make it a `layer`",
        )
    type_ = _variable_type(context, statement, environment)
    init = evaluate_init(context, statement.init, environment)
    key = frame.namer.allocate(name)
    if key != name and "." not in key:
        raise fail("duplicate-parameter", f"`{name}` is declared twice in this layer", statement.name.span)
    value = frame.instance.variables.get(key)
    if value is None:
        marks = {annotation.name for annotation in statement.annotations}
        _check_marks(statement)
        kind = frame.instance.kind if frame.instance.kind == "optimizer" else statement.keyword
        value = context.variable(frame.instance.join(key), type_, statement, init, marks, kind)
        frame.instance.variables[key] = value
        context.origins[value] = statement.span
    elif value.type != type_:
        created = frame.instance.created
        raise fail(
            "shared-shape",
            f"this layer is shared, and `{name}` would need another shape here",
            statement.type.span,
            f"{type_} here, {value.type} where the layer was applied first",
            secondary=[Label(created, "created here, once")] if created is not BUILTIN else [],
            expected=value.type,
            found=type_,
            help="create one layer for each use, or bring the inputs to one shape",
        )
    environment.set(name, frame.instance.pending.get(key, value))


def _check_marks(statement: syntax.Declare) -> None:
    for annotation in statement.annotations:
        if annotation.name not in ("frozen", "no_decay"):
            raise fail("unknown-attribute", f"there is no annotation `@{annotation.name}`", annotation.span,
                       help="annotations are @frozen and @no_decay")  # fmt: skip


def _variable_type(context: Context, statement: syntax.Declare, environment: Environment) -> TensorType:
    pattern = pattern_of(statement.type, environment)
    for name in open_names(pattern):
        if isinstance(environment.find(name), Poison):
            raise Reported
        raise fail("undefined-name", f"the dimension `{name}` is not defined", statement.type.span)
    for dim in pattern.dims:
        if isinstance(dim, int) and dim < 0:
            raise fail("bad-value", "no parameter has a size below 0",
                       statement.type.span, str(pattern), found=dim)  # fmt: skip
        if not isinstance(dim, int) and not context.generic:
            shown = f"*{dim.name}" if isinstance(dim, PackPattern) else str(dim)
            _poison_open(statement.type, environment)
            raise fail(
                "not-compile-time",
                f"the shape of `{statement.name.name}` depends on `{shown}`, which is open until run time",
                statement.type.span,
                notes=_where_open(context, environment, shown),
                help="parameters have shapes known while compiling: make the size a number or a setting",
            )
    type_ = TensorType(pattern.dtype, tuple(dim for dim in pattern.dims if isinstance(dim, int | Dim)))
    require_extent(type_, statement.type.span)
    return type_


def _poison_open(type_: syntax.TypeName, environment: Environment) -> None:
    """What else depends on the open sizes of a parameter's type would only repeat its fault."""
    for name in dim_names(type_):
        if isinstance(environment.get(name), Dim):
            environment.set(name, POISON)


def _where_open(context: Context, environment: Environment, size: str) -> list[str]:
    """Which tensor brought an open size in."""
    scope: Environment | None = environment
    while scope is not None:
        origins = (size_origin(context, value, size) for value in scope.names.values() if isinstance(value, Value))
        found = next((origin for origin in origins if origin is not None), None)
        if found is not None:
            return [found.note(context)]
        scope = scope.outer
    return []


def _set_next(context: Context, statement: syntax.SetNext, environment: Environment) -> None:
    value = evaluate(context, statement.value, environment)
    if isinstance(value, Poison):
        raise Reported
    values = (value,) if len(statement.targets) == 1 else _items(value, len(statement.targets), statement.value)
    for name, item in zip(statement.targets, values, strict=True):
        if isinstance(name, syntax.Name):
            environment.set(name.name, item)
            continue
        around = next((i for i in reversed(context.frame.iterations) if name.name in i.carries), None)
        if around is not None:
            iteration.set_carry(context, around, name, item, statement.value.span)
        else:
            _set_state(context, name, item, statement)


def _set_state(context: Context, target: syntax.Next, value: Any, statement: syntax.SetNext) -> None:
    instance = context.frame.instance
    name = target.name
    state = instance.variables.get(name) if instance is not None else None
    if instance is None or state is None or state not in context.states:
        raise fail("unset-state", f"`{name}` is not a state of this layer", target.span,
                   help=f"declare it first: `state {name}: f32[…] ~ zeros()`")  # fmt: skip
    if _is_repeated(context):
        instance.pending[name] = POISON
        raise _repeated(context, statement)
    if not isinstance(value, Value) or value.type != state.type:
        same = isinstance(value, Value) and value.type.dtype == state.type.dtype
        raise fail(
            "shape-mismatch" if same else "type-mismatch",
            f"the next `{name}` must have the type of `{name}`",
            statement.value.span,
            describe(value),
            expected=state.type,
            found=describe(value),
        )
    instance.pending[name] = value
    if context.regions:
        context.regions[-1].states.append((instance, name))


def _is_repeated(context: Context) -> bool:
    """Whether what is executed runs many times, or perhaps not at all, so that it cannot set a state once in a step."""
    return any(region.word != "@recompute" for region in context.regions)


def _repeated(context: Context, statement: syntax.SetNext) -> DiagnosticError:
    region = next(region for region in context.regions if region.word != "@recompute")
    way_out = (
        "set it behind, to what the `if` chooses"
        if region.word == "if"
        else "hand it on with `carry`, and set it behind"
    )
    return fail("misplaced-statement", f"a state cannot be set in {region.place}", statement.span, help=way_out)


def _recompute(context: Context, statement: syntax.Recompute, environment: Environment) -> None:
    """Marks a `scan` or `loop` whose rounds are computed again, or each round of a `repeat`, or all of a statement."""
    inner = statement.statement
    value = getattr(inner, "value", None)
    if isinstance(value, syntax.Scan | syntax.Loop):
        with context.recomputing(value):
            execute(context, inner, environment)
    elif isinstance(inner, syntax.Repeat):
        _repeat(context, inner, environment, recompute=True)
    elif isinstance(inner, syntax.Assign | syntax.Return | syntax.If | syntax.SetNext | syntax.WhenTraining):
        recomputed(context, environment, statement.span, partial(execute, context, inner, environment))
    else:
        raise fail("unknown-attribute", "`@recompute` stands before a statement that computes tensors", statement.span)


def _emit(context: Context, statement: syntax.Emit, environment: Environment) -> None:
    iteration.emit(context, statement, environment)


def _keep(context: Context, statement: syntax.Keep, environment: Environment) -> None:
    iteration.keep(context, statement, environment)


def _return(context: Context, statement: syntax.Return, environment: Environment) -> None:
    frame = context.frame
    frame.returned = evaluate(context, statement.value, environment)
    frame.has_returned = True
    frame.return_value = statement.value


def _if(context: Context, statement: syntax.If, environment: Environment) -> None:
    chosen = decided(context, statement.condition, environment)
    if isinstance(chosen, Poison):
        _poison(context, statement, environment)
        return
    if isinstance(chosen, Value):
        chosen_statements(context, statement, chosen, environment)
        return
    block = statement.then if chosen else statement.otherwise
    if block is not None:
        execute_all(context, block.statements, environment)


def _when(context: Context, statement: syntax.WhenTraining, environment: Environment) -> None:
    if context.executed is not None:
        context.executed.ask(statement)
    block = statement.then if context.training else statement.otherwise
    if block is not None:
        execute_all(context, block.statements, environment)


def _repeat(context: Context, statement: syntax.Repeat, environment: Environment, recompute: bool = False) -> None:
    run = partial(execute_all, context, statement.body.statements, environment)
    if recompute:
        run = partial(recomputed, context, environment, statement.span, run)
    repeat(context, statement, environment, run)


def _assert(context: Context, statement: syntax.Assert, environment: Environment) -> None:
    check_condition(context, statement, environment, statement.condition.span, context.frame.name)


def _expression(context: Context, statement: syntax.ExpressionStatement, environment: Environment) -> None:
    value = evaluate(context, statement.value, environment)
    if not isinstance(value, Poison):
        raise fail("unused-result", "the result of this expression is not used", statement.span, describe(value),
                   help="give it a name, or `return` it")  # fmt: skip


def _input(context: Context, statement: syntax.Input, environment: Environment) -> None:
    plan = training.plan_of(context, statement)
    type_ = closed_type(context, statement.type, environment)
    environment.set(statement.name.name, plan.input(context, statement.name.name, type_, statement.span))


def _goal(context: Context, statement: syntax.Statement) -> training.TrainPlan:
    """The plan that a loss, an optimizer, a norm or an average belongs to. Raises misplaced-statement beside phases."""
    plan = training.plan_of(context, statement)
    phases.check_unphased(plan, statement)
    plan.first_goal = plan.first_goal or statement
    return plan


def _minimize(context: Context, statement: syntax.Minimize, environment: Environment) -> None:
    plan = _goal(context, statement)
    if plan.loss is not None and statement.loss.span == plan.loss_span:
        way_out = "training repeats the step: `netlang train FILE --epochs 10`"
        if plan.name is not None:
            way_out = f"`phase {plan.name} updates … repeats 5` updates several times in a step"
        raise fail("duplicate-name", "the loss of a step is minimized once, not in a `repeat`", statement.span,
                   help=way_out)  # fmt: skip
    if plan.loss is not None:
        first = [Label(plan.loss_span, "the first one")]
        raise fail("duplicate-name", f"a {plan.word} minimizes one loss", statement.span, secondary=first,
                   help="add the losses up: `minimize a + b`")  # fmt: skip
    value = evaluate(context, statement.loss, environment)
    if isinstance(value, Poison):
        plan.loss_failed = True
        return
    if not isinstance(value, Value) or value.type != TensorType("f32"):
        raise fail("type-mismatch", "a loss is one number: f32", statement.loss.span, describe(value),
                   expected="f32", found=describe(value), help="`mean(…)` or `sum(…)` makes one number")  # fmt: skip
    plan.loss, plan.loss_span = value, statement.loss.span


def _report(context: Context, statement: syntax.Report, environment: Environment) -> None:
    plan = training.plan_of(context, statement)
    for item in statement.items:
        value = evaluate(context, item.value, environment)
        if not isinstance(value, Poison):
            plan.report(context, item, value)


def _optimizer(context: Context, statement: syntax.Optimizer, environment: Environment) -> None:
    plan = _goal(context, statement)
    if plan.optimizer is not None:
        raise fail("duplicate-name", f"a {plan.word} has one optimizer", statement.span,
                   secondary=[Label(plan.optimizer.span, "the first one")])  # fmt: skip
    plan.optimizer, plan.optimizer_environment = statement.value, environment


def _clip(context: Context, statement: syntax.Clip, environment: Environment) -> None:
    plan = _goal(context, statement)
    value = evaluate(context, statement.norm, environment)
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise fail("bad-value", "`clip` needs a norm above 0", statement.norm.span, describe(value))
    plan.clip = float(value)


def _average(context: Context, statement: syntax.Average, environment: Environment) -> None:
    plan = _goal(context, statement)
    if plan.average is not None:
        raise fail("duplicate-name", f"a {plan.word} has one average", statement.span,
                   secondary=[Label(plan.average.statement.span, "the first one")])  # fmt: skip
    plan.average = Average(statement, environment)


def _fit(context: Context, statement: syntax.Fit, environment: Environment) -> None:
    plan = training.plan_of(context, statement)
    if statement.method.name not in ("resize", "pad"):
        raise fail("bad-value", f"`{statement.method.name}` is not a way to fit data", statement.method.span,
                   help="`fit image: resize` or `fit image: pad`")  # fmt: skip
    plan.fits[statement.name.name] = statement.method.name


_HANDLERS: dict[type, Any] = {
    syntax.Assign: _assign,
    syntax.Declare: _declare,
    syntax.SetNext: _set_next,
    syntax.Emit: _emit,
    syntax.Keep: _keep,
    syntax.Recompute: _recompute,
    syntax.Return: _return,
    syntax.If: _if,
    syntax.WhenTraining: _when,
    syntax.Repeat: _repeat,
    syntax.Assert: _assert,
    syntax.ExpressionStatement: _expression,
    syntax.Input: _input,
    syntax.Minimize: _minimize,
    syntax.Report: _report,
    syntax.Optimizer: _optimizer,
    syntax.Clip: _clip,
    syntax.Average: _average,
    syntax.Fit: _fit,
    syntax.Augment: augment,
    syntax.Phase: phases.phase,
}
