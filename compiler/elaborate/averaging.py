"""`average ema(0.999)`: a mean of each parameter over the steps, kept beside it, with which inference computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netlang import syntax
from netlang.diagnostics import fail

from ..ir import Init, Value, Variable
from .arguments import Arguments
from .context import Context, Reported
from .patterns import split_parameters
from .settings import settings_of_values
from .values import Environment, Function, Partial, Poison, describe, is_number


@dataclass(frozen=True, slots=True, eq=False)
class Average:
    """What an `average` statement says, and the names that it sees."""

    statement: syntax.Average
    environment: Environment


def average_path(parameter: str) -> str:
    """The name of the variable that holds the mean of a parameter."""
    return f"optimizer.{parameter}.average"


def new_averages(
    context: Context,
    average: Average,
    current: dict[str, Value],
    trained: Sequence[Variable],
    new: Sequence[Value],
    number: Value,
) -> list[tuple[str, Value]]:
    """The means of parameters that have `new` values behind the step `number`, by the names of their variables.

    current: the means as they are now, which are made here at the first update of a step, and replaced.
    """
    function = _function(context, average)
    for variable, value in zip(trained, new, strict=True):
        path = average_path(variable.name)
        old = current.get(path) or _variable(context, variable)
        with context.builder.at(variable.loc, path):
            current[path] = _mean(context, average, function, [old, value, number])
    return [(average_path(variable.name), current[average_path(variable.name)]) for variable in trained]


def _function(context: Context, average: Average) -> Partial:
    """The function that makes a mean. Raises type-mismatch for what is none."""
    from .expressions import evaluate

    expr = average.statement.value
    value = evaluate(context, expr, average.environment)
    if isinstance(value, Poison):
        raise Reported
    if isinstance(value, Function) and value.definition.kind == "fn":
        value = Partial(value, settings_of_values(context, value, Arguments(expr.span)))
    if not isinstance(value, Partial) or not isinstance(value.function, Function):
        known = "averages are ema(…), polyak(…), or a `fn` of your own"
        meant = f"`average ema({value})`" if is_number(value) else known
        raise fail("type-mismatch", "this is not an average", expr.span, describe(value), help=meant)
    return value


def _mean(context: Context, average: Average, function: Partial, tensors: list[Value]) -> Value:
    from .calls import call

    assert isinstance(function.function, Function)
    span = average.statement.value.span
    count = len(split_parameters(function.function.definition)[1])
    result: Any = call(context, function, Arguments(span, [(tensor, span) for tensor in tensors[:count]]))
    if isinstance(result, Poison):
        raise Reported
    if not isinstance(result, Value) or result.type != tensors[0].type:
        raise fail("wrong-result", f"`{function.name}` must return a mean, which has the type of the parameter", span,
                   expected=tensors[0].type, found=describe(result))  # fmt: skip
    return result


def _variable(context: Context, parameter: Variable) -> Value:
    """The variable of a mean. It begins at 0, which the first step replaces."""
    root, path = context.builder.root, average_path(parameter.name)
    taken = next((variable for variable in root.variables if variable.name == path), None)
    if taken is not None:
        raise fail("duplicate-name", "the optimizer has a state `average`, which is the name of the mean", taken.loc,
                   help="give the state another name")  # fmt: skip
    return root.variable(path, parameter.value.type, "average", Init("zeros"), loc=parameter.loc)
