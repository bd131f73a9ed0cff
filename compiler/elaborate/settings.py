"""Settings of a call: what layers, models and functions are told while compiling, by name and type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.source import Span
from netlang.tokens import MAX_INTEGER

from ..ir import Init, Value
from .arguments import Arguments, assigned, check_named_once, create_first, missing
from .context import Context
from .patterns import setting_type, split_parameters
from .values import CALLABLE, Environment, Function, Poison, describe, is_number, is_size

Thunk = Callable[[syntax.Parameter], Any]
"""The value of an argument, once it is known which parameter it is for."""


def settings_of_call(
    context: Context, function: Function, expr: syntax.Call, environment: Environment
) -> dict[str, Any] | None:
    """Settings of a layer or model from written arguments, each evaluated as its parameter's type wants it.

    None where an argument was faulty and has been reported.
    """
    check_named_once(expr)
    given = [(a.name, (partial(_evaluate, context, a, environment), a.span)) for a in expr.arguments]
    positional = [item for name, item in given if name is None]
    keywords = {name: item for name, item in given if name is not None}
    bound = _bind(context, function, positional, keywords, expr.span)
    return None if any(isinstance(value, Poison) for value in bound.values()) else bound


def settings_of_values(context: Context, function: Function, arguments: Arguments) -> dict[str, Any]:
    """Settings of a function from evaluated arguments."""
    positional = [(_constantly(value), span) for value, span in arguments.positional]
    keywords = {key: (_constantly(value), span) for key, (value, span) in arguments.keywords.items()}
    return _bind(context, function, positional, keywords, arguments.span)


def _constantly(value: Any) -> Thunk:
    return lambda parameter: value


def _evaluate(
    context: Context, argument: syntax.Argument, environment: Environment, parameter: syntax.Parameter
) -> Any:
    return _setting(context, parameter, argument.value, environment)


def _setting(context: Context, parameter: syntax.Parameter, expr: syntax.Expr, environment: Environment) -> Any:
    """The value of a setting's expression, as the type of the parameter wants it read."""
    from .expressions import evaluate, evaluate_init

    is_init = isinstance(parameter.type, syntax.TypeName) and parameter.type.name == "init"
    if is_init and not _is_none(expr, environment):
        return evaluate_init(context, expr, environment)
    return evaluate(context, expr, environment)


def _is_none(expr: syntax.Expr, environment: Environment) -> bool:
    """Whether `none` is written, or a name that stands for it."""
    if isinstance(expr, syntax.Name):
        try:
            return environment.get(expr.name) is None
        except KeyError:
            return False
    return isinstance(expr, syntax.NoneLiteral)


def _bind(
    context: Context,
    function: Function,
    positional: Sequence[tuple[Thunk, Span]],
    keywords: Mapping[str, tuple[Thunk, Span]],
    span: Span,
) -> dict[str, Any]:
    definition = function.definition
    parameters, tensors = split_parameters(definition)
    given = assigned(definition, parameters, positional, keywords)
    inner = Environment(function.environment)
    for parameter in parameters:
        if parameter.name not in given:
            inner.set(parameter.name, default_setting(context, definition, parameter, inner, span))
            continue
        thunk, place = given[parameter.name]
        value = thunk(parameter)
        of_layer = tensors and definition.kind != "fn"
        if isinstance(value, Value) and of_layer and setting_type(parameter) not in ("layer", "schedule"):
            raise _applied_early(function.name, parameter, value, place)
        inner.set(parameter.name, checked_setting(parameter, value, place))
    return inner.names


def default_setting(
    context: Context,
    definition: syntax.Definition,
    parameter: syntax.Parameter,
    environment: Environment,
    span: Span | None,
) -> Any:
    """The default of a parameter that a call leaves out. Raises missing-argument."""
    if parameter.default is None:
        raise missing(definition, parameter, span)
    value = _setting(context, parameter, parameter.default, environment)
    return checked_setting(parameter, value, parameter.default.span)


def checked_setting(parameter: syntax.Parameter, value: Any, span: Span | None) -> Any:
    """`value` as the type of the parameter wants it. Raises type-mismatch, bad-value."""
    if isinstance(value, Poison):
        return value
    optional = isinstance(parameter.default, syntax.NoneLiteral)
    if value is None and optional:
        return None
    type_ = setting_type(parameter)
    accepted, converted = _SETTINGS[type_](value)
    if not accepted:
        raise fail(
            "type-mismatch",
            f"`{parameter.name}` must be {_SETTING_WORDS[type_]}",
            span,
            describe(value),
            secondary=[Label(parameter.span, "declared here")],
            expected=type_,
            found=describe(value),
            help=_setting_help(type_, value),
        )
    items = converted if isinstance(converted, tuple) else (converted,)
    if any(isinstance(item, int) and abs(item) > MAX_INTEGER for item in items):
        raise fail("bad-value", f"`{parameter.name}` is too large for a number", span, describe(value),
                   secondary=[Label(parameter.span, "declared here")], expected=f"at most {MAX_INTEGER}")  # fmt: skip
    return converted


def _setting_help(type_: str, value: Any) -> str | None:
    if type_ == "layer" and isinstance(value, Value):
        return "give the layer itself, not its result"
    if type_ == "layer" and (value is None or isinstance(value, str)):
        return "a function stands without quotes: `mean`, `sum`, or `identity`, which changes nothing"
    if type_ == "bool" and isinstance(value, int) and value > 1:
        return "a layer is told how many come out: how many come in follows from the input"
    return None


def _as_int(value: Any) -> tuple[bool, Any]:
    if isinstance(value, float) and value.is_integer():
        return True, int(value)
    return is_size(value), value


def _as_ints(value: Any) -> tuple[bool, Any]:
    if isinstance(value, tuple):
        return all(is_size(item) for item in value), value
    return is_size(value), value


def _as_floats(value: Any) -> tuple[bool, Any]:
    """A number counts as a list of one."""
    items = value if isinstance(value, tuple) else (value,)
    return all(is_number(item) for item in items), items


_SETTINGS: dict[str, Callable[[Any], tuple[bool, Any]]] = {
    "int": _as_int,
    "float": lambda value: (is_number(value), value),
    "bool": lambda value: (isinstance(value, bool), value),
    "str": lambda value: (isinstance(value, str), value),
    "ints": _as_ints,
    "floats": _as_floats,
    "init": lambda value: (isinstance(value, Init), value),
    "layer": lambda value: (isinstance(value, CALLABLE), value),
    "schedule": lambda value: (is_number(value) or isinstance(value, (*CALLABLE, Value)), value),
}
_SETTING_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "`true` or `false`",
    "str": "a string",
    "ints": "a whole number or a list of them",
    "floats": "a number or a list of them",
    "init": "an initialiser",
    "layer": "a layer or function",
    "schedule": "a number or a schedule",
}


def _applied_early(name: str, parameter: syntax.Parameter, value: Value, place: Span) -> DiagnosticError:
    """`linear(x)` for `linear(84)(x)`."""
    return fail(
        "type-mismatch",
        f"`{name}` is created from settings, and this is a tensor",
        place,
        describe(value),
        secondary=[Label(parameter.span, "declared here")],
        expected=parameter.type.span.text,
        found=describe(value),
        help=create_first(name),
    )
