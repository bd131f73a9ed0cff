"""`phase NAME updates … { … }`: a step of several updates, each with a loss, parameters and an optimizer of its own.

An update happens where it stands: whatever is computed behind it, in the same phase or a later one, uses the new
values, which are constants there, since no gradient goes back through an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, did_you_mean, fail
from netlang.source import Span

from ..ir import Value, Variable
from .context import Context, Reported
from .naming import Instance
from .training import TrainPlan, parameter_gradients, plan_of, update
from .values import Composition, Environment, Layer, Model, Poison, describe

MAX_UPDATES = 1_000

_Belongs = Callable[[Variable], bool]


def phase(context: Context, statement: syntax.Phase, environment: Environment) -> None:
    """Executes a phase: its statements, and then the update, as often as it says."""
    outer = plan_of(context, statement)
    _check_place(outer, statement)
    belongs = [_target(context, outer, node, environment) for node in statement.targets]
    count = _count(context, statement, environment)
    updates = context.training and outer.updates
    plan = TrainPlan(inputs=outer.inputs, fits=outer.fits, name=statement.name.name)
    outer.phases[statement.name.name] = plan
    for number in range(count if updates else 1):
        context.step(statement.span)
        plan.repetition = number, count
        _execute(context, plan, statement, environment)
        trained = _trained(context, statement, belongs)
        _claim_averages(outer, plan, trained)
        if updates:
            _update(context, outer, plan, trained)
    assert plan.loss is not None
    outer.loss = plan.loss if outer.loss is None else context.builder.add(outer.loss, plan.loss)
    outer.reports[f"{plan.name}.loss"] = plan.loss
    outer.reports.update({f"{plan.name}.{name}": value for name, value in plan.reports.items()})


def check_unphased(plan: TrainPlan, statement: syntax.Statement) -> None:
    """Raises misplaced-statement for what belongs into a phase, where there are phases."""
    if plan.phases and plan.name is None:
        raise _mixed(statement, next(iter(plan.phases)))


def _mixed(statement: syntax.Statement, name: str) -> DiagnosticError:
    word = statement.span.text.split(None, 1)[0]
    return fail("misplaced-statement", f"`{word}` and phases do not go together in one `train` block", statement.span,
                help=f"where there are phases, each says what it minimizes, and how: `phase {name} …`")  # fmt: skip


def _check_place(outer: TrainPlan, statement: syntax.Phase) -> None:
    name = statement.name
    if outer.name is not None:
        raise fail("misplaced-statement", f"the phase `{name.name}` stands in the phase `{outer.name}`", name.span,
                   help="phases follow each other; `repeats n` repeats one")  # fmt: skip
    if name.name in outer.phases:
        raise fail("duplicate-name", f"there are two phases called `{name.name}`", name.span,
                   help="its name tells the losses and the states of the optimizers apart")  # fmt: skip
    if outer.first_goal is not None:
        raise _mixed(outer.first_goal, name.name)


def _count(context: Context, statement: syntax.Phase, environment: Environment) -> int:
    """How often the phase runs in a step."""
    from .expressions import evaluate

    if statement.repeats is None:
        return 1
    count = evaluate(context, statement.repeats, environment)
    if isinstance(count, Poison):
        raise Reported
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_UPDATES:
        raise fail("bad-value", "a phase `repeats` a whole number of times, known while compiling",
                   statement.repeats.span, expected=f"1 to {MAX_UPDATES}", found=describe(count))  # fmt: skip
    return count


def _execute(context: Context, plan: TrainPlan, statement: syntax.Phase, environment: Environment) -> None:
    """Runs the statements of a phase. Raises Reported where one of them is faulty."""
    from .statements import execute_all

    plan.begin()
    plan.started = len(context.nodes())
    errors = len(context.diagnostics)
    outer, context.frame.train = context.frame.train, plan
    try:
        execute_all(context, statement.body.statements, Environment(environment))
    finally:
        context.frame.train = outer
    if len(context.diagnostics) > errors or plan.loss_failed:
        raise Reported
    if plan.loss is None:
        raise fail("no-loss", f"the phase `{plan.name}` has nothing to minimize", statement.name.span,
                   help="`minimize …`, in the braces of the phase")  # fmt: skip
    if plan.optimizer is None:
        raise fail("no-optimizer", f"the phase `{plan.name}` has no optimizer", statement.name.span,
                   help="`optimizer adam(1e-3)`, for example, in the braces of the phase")  # fmt: skip


# --- What is updated -------------------------------------------------------------------------------------------------


def _target(context: Context, outer: TrainPlan, node: syntax.Expr, environment: Environment) -> _Belongs:
    """Whether a parameter is among those that one item behind `updates` stands for."""
    from .expressions import evaluate

    if isinstance(node, syntax.Binary) and node.operator in ("and", "+"):
        raise fail("type-mismatch", "what a phase updates is listed with commas", node.span,
                   help=f"write `updates {node.left.span.text}, {node.right.span.text}`")  # fmt: skip
    value = evaluate(context, node, environment)
    if isinstance(value, Poison):
        raise Reported
    if isinstance(value, str):
        return lambda variable: fnmatchcase(variable.name, value)
    if isinstance(value, Value):
        name = _now(outer).get(value)
        return lambda variable: variable.name == name
    paths = tuple(_paths(value))
    return lambda variable: any(variable.name.startswith(f"{path}.") for path in paths)


def _paths(value: Any) -> Iterator[str]:
    """Where the parameters of a layer are, and those of the layers that it was given."""
    if isinstance(value, Composition):
        for part in value.parts:
            yield from _paths(part)
    elif isinstance(value, Layer | Model):
        yield value.instance.path
        for setting in value.settings.values():
            yield from _paths(setting)


def _trained(context: Context, statement: syntax.Phase, belongs: Sequence[_Belongs]) -> list[Variable]:
    """The parameters to update. Raises no-parameters for an item behind `updates` without any."""
    variables = [v for v in context.builder.root.variables if v.kind == "param"]
    for node, is_one in zip(statement.targets, belongs, strict=True):
        if not any(is_one(variable) for variable in variables):
            raise fail("no-parameters", f"`{node.span.text}` has no parameters to update", node.span,
                       help=_known(node, [variable.name for variable in variables]))  # fmt: skip
    return [v for v in variables if v.trainable and any(is_one(v) for is_one in belongs)]


def _claim_averages(outer: TrainPlan, plan: TrainPlan, trained: Sequence[Variable]) -> None:
    """Notes which parameters the phase averages. Raises duplicate-name where another one does already."""
    if plan.average is None:
        return
    for variable in trained:
        other = outer.averaged.setdefault(variable.name, plan)
        if other is not plan:
            first = outer.phases[other.name or ""].average
            secondary = [Label(first.statement.span, f"by the phase `{other.name}`")] if first else []
            raise fail("duplicate-name", f"`{variable.name}` is averaged already", plan.average.statement.span,
                       secondary=secondary, help="average a parameter in the last phase that updates it")  # fmt: skip


def _known(node: syntax.Expr, names: Sequence[str]) -> str:
    if isinstance(node, syntax.String) and (meant := did_you_mean(node.value, names)):
        return meant
    if names:
        return f"the parameters used so far begin with {', '.join(f'`{name}`' for name in names[:3])}"
    return "nothing with parameters was used so far"


def _now(outer: TrainPlan) -> dict[Value, str]:
    """What the parameters and states are now, and their names."""
    assert outer.model is not None
    return {place.pending.get(key, first): place.join(key) for place, key, first in _variables(outer.model.instance)}


def _variables(instance: Instance) -> Iterator[tuple[Instance, str, Value]]:
    """The parameters and states of a layer and of all inside it, with the values that a step begins with."""
    for key, value in instance.variables.items():
        yield instance, key, value
    for child in instance.children.values():
        yield from _variables(child)


# --- The update ------------------------------------------------------------------------------------------------------


def _update(context: Context, outer: TrainPlan, plan: TrainPlan, trained: list[Variable]) -> None:
    """One update of the parameters of a phase, in place."""
    plan.current = {name: value for value, name in _now(outer).items()}
    _, grads = parameter_gradients(context, plan, trained)
    results = update(context, plan, trained, grads)
    context.finish()
    outer.states.update(results[len(trained) :])
    assert outer.model is not None
    _replace(context, outer.model, dict(results[: len(trained)]))


def _replace(context: Context, model: Model, new: dict[str, Value]) -> None:
    """Gives parameters their new values, as constants; and so everything that states have got from the old ones."""
    names = model.environment.names
    for instance, key, first in _variables(model.instance):
        old: Value = instance.pending.get(key, first)
        value = new.get(instance.join(key), old)
        if value is first or _is_constant(context, value):
            continue
        constant = instance.pending[key] = context.builder.stop_gradient(value)
        for alias in [alias for alias, bound in names.items() if bound is old]:
            names[alias] = constant


def _is_constant(context: Context, value: Value) -> bool:
    producer = context.builder.producer(value)
    return producer is not None and producer.op == "stop_gradient"


def where_split(plan: TrainPlan, span: Span, what: str) -> DiagnosticError:
    """The error for asking for a half of a step that has several updates."""
    names = ", ".join(f"`{name}`" for name in plan.phases)
    return fail("several-phases", f"{what} is for one loss, and this `train` block has the phases {names}", span,
                help="`train.onnx` has the whole step")  # fmt: skip
