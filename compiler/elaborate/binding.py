"""Binds arguments to parameters: compile-time settings by name and type, tensors by unification."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from netlang import habits, syntax
from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.source import Span
from netlang.types import DTYPES, Bindings, Mismatch, PackPattern, TensorType, TypePattern, dtype_fits, unify_all

from ..ir import Init, Value
from .context import Context, Frame
from .numbers import scalar
from .patterns import pattern_of, setting_type, split_parameters
from .provenance import dtype_origin, size_origin
from .values import CALLABLE, Environment, Function, Poison, describe, is_number, is_size, not_applied

if TYPE_CHECKING:
    from .calls import Arguments

Thunk = Callable[[syntax.Parameter], Any]

MISMATCH_CODES = {"dtype": "type-mismatch", "rank": "rank-mismatch", "size": "shape-mismatch"}
"""The diagnostic code for each kind of mismatch."""


# --- Settings ------------------------------------------------------------------------------------------------------


def settings_of_call(
    context: Context, function: Function, expr: syntax.Call, environment: Environment
) -> dict[str, Any] | None:
    """Settings of a layer or model from written arguments, each evaluated as its parameter's type wants it.

    None where an argument was faulty and has been reported.
    """
    positional = [(partial(_evaluate, context, a, environment), a.span) for a in expr.arguments if a.name is None]
    keywords: dict[str, tuple[Thunk, Span]] = {}
    for argument in expr.arguments:
        if argument.name in keywords:
            raise fail("duplicate-argument", f"`{argument.name}` is given twice", argument.span)
        if argument.name is not None:
            keywords[argument.name] = (partial(_evaluate, context, argument, environment), argument.span)
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
    positional: list[tuple[Thunk, Span]],
    keywords: dict[str, tuple[Thunk, Span]],
    span: Span,
) -> dict[str, Any]:
    parameters, tensors = split_parameters(function.definition)
    if len(positional) > len(parameters):
        _too_many(function, parameters, tensors, positional[len(parameters)][1])
    given = {p.name: item for p, item in zip(parameters, positional, strict=False)}
    for name, item in keywords.items():
        if name in given:
            raise fail("duplicate-argument", f"`{name}` is given twice", item[1])
        if name not in {p.name for p in parameters}:
            raise _unknown_argument(function, name, item[1])
        given[name] = item
    inner = Environment(function.environment)
    for parameter in parameters:
        if parameter.name in given:
            thunk, place = given[parameter.name]
            value = thunk(parameter)
            of_layer = tensors and function.definition.kind != "fn"
            if isinstance(value, Value) and of_layer and setting_type(parameter) not in ("layer", "schedule"):
                raise _applied_early(function.name, parameter, value, place)
            inner.set(parameter.name, checked_setting(parameter, value, place))
        else:
            inner.set(parameter.name, default_setting(context, function.definition, parameter, inner, span))
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
        raise fail(
            "missing-argument",
            f"`{definition.name.name}` needs `{parameter.name}`",
            span,
            f"no `{parameter.name}: {parameter.type.span.text}`",
            secondary=[Label(parameter.span, "declared here")],
        )
    value = _setting(context, parameter, parameter.default, environment)
    return checked_setting(parameter, value, parameter.default.span)


def checked_setting(parameter: syntax.Parameter, value: Any, span: Span | None) -> Any:
    """`value` as the type of the parameter wants it. Raises type-mismatch."""
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
            help="give the layer itself, not its result" if type_ == "layer" and isinstance(value, Value) else None,
        )
    return converted


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


def _too_many(
    function: Function, parameters: tuple[syntax.Parameter, ...], tensors: tuple[syntax.Parameter, ...], span: Span
) -> None:
    name = function.name
    kind = function.definition.kind
    help_ = _create_first(name) if tensors and kind != "fn" else None
    takes = ", ".join(f"`{p.name}`" for p in parameters) or "no settings"
    raise fail("unknown-argument", f"`{name}` takes {takes}; this is one too many", span, help=help_)


def _create_first(name: str) -> str:
    return f"create it, then apply it: `{name}(…)(x)` or `x |> {name}(…)`"


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
        help=_create_first(name),
    )


def _unknown_argument(function: Function, name: str, span: Span) -> DiagnosticError:
    settings, tensors = split_parameters(function.definition)
    candidates = [p.name for p in (*settings, *(tensors if function.definition.kind == "fn" else ()))]
    return fail(
        "unknown-argument",
        f"`{function.name}` has no parameter `{name}`",
        span,
        help=habits.argument(name, candidates) or f"it has {', '.join(candidates) or 'none'}",
    )


# --- Tensors -------------------------------------------------------------------------------------------------------


def separate(context: Context, function: Function, arguments: Arguments, environment: Environment) -> Arguments:
    """Binds the settings of a function call in `environment` and returns its tensor arguments by keyword."""
    from .calls import Arguments

    settings, tensors = split_parameters(function.definition)
    everything = [p for group in function.definition.parameters for p in group]
    if len(arguments.positional) > len(everything):
        _too_many(function, tuple(everything), (), arguments.positional[len(everything)][1])
    given = {p.name: item for p, item in zip(everything, arguments.positional, strict=False)}
    for name, item in arguments.keywords.items():
        if name in given:
            raise fail("duplicate-argument", f"`{name}` is given twice", item[1])
        if name not in {p.name for p in everything}:
            raise _unknown_argument(function, name, item[1])
        given[name] = item
    for parameter in settings:
        if parameter.name in given:
            environment.set(parameter.name, checked_setting(parameter, *given[parameter.name]))
        else:
            value = default_setting(context, function.definition, parameter, environment, arguments.span)
            environment.set(parameter.name, value)
    return Arguments(arguments.span, [], {p.name: given[p.name] for p in tensors if p.name in given})


def tensors(context: Context, definition: syntax.Definition, arguments: Arguments, environment: Environment) -> None:
    """Binds the tensor parameters of a definition, and the names of their dimensions, in `environment`."""
    settings, parameters = split_parameters(definition)
    given = _assign(context, definition, parameters, settings, arguments, environment)
    names: list[str] = []
    patterns: list[TypePattern] = []
    types: list[TensorType] = []
    for parameter in parameters:
        value, span = given.get(parameter.name, (None, arguments.span))
        optional = isinstance(parameter.default, syntax.NoneLiteral)
        if parameter.name not in given or (value is None and optional):
            environment.set(parameter.name, _absent(definition, parameter, arguments))
            continue
        assert isinstance(parameter.type, syntax.TypeName)
        pattern = pattern_of(parameter.type, environment)
        value = _lift(context, value, pattern, parameter, span, definition)
        environment.set(parameter.name, value)
        names.append(parameter.name)
        patterns.append(pattern)
        types.append(value.type)
    try:
        bindings = unify_all(patterns, types, names)
    except Mismatch as mismatch:
        raise _explain(context, mismatch, definition, dict(zip(names, patterns, strict=True)), given) from None
    _bind_dimensions(bindings, environment)


def _bind_dimensions(bindings: Bindings, environment: Environment) -> None:
    environment.names.update(bindings.sizes)
    environment.names.update(bindings.packs)


def _assign(
    context: Context,
    definition: syntax.Definition,
    parameters: tuple[syntax.Parameter, ...],
    settings: tuple[syntax.Parameter, ...],
    arguments: Arguments,
    environment: Environment,
) -> dict[str, tuple[Any, Span]]:
    name = definition.name.name
    own = () if definition.kind in ("layer", "fn", "model") else settings
    order = [p for group in definition.parameters for p in group if p in parameters or p in own]
    if len(arguments.positional) > len(order):
        raise fail(
            "unknown-argument",
            f"`{name}` takes {_count(len(order), 'tensor')}, and is given {len(arguments.positional)}",
            arguments.positional[len(order)][1],
            secondary=[Label(order[-1].span, "the last of them")] if order else [],
        )
    given = {p.name: item for p, item in zip(order, arguments.positional, strict=False)}
    for key, item in arguments.keywords.items():
        if key in given:
            raise fail("duplicate-argument", f"`{key}` is given twice", item[1])
        if key not in {p.name for p in order}:
            raise fail(
                "unknown-argument",
                f"`{name}` has no parameter `{key}`",
                item[1],
                help=habits.argument(key, [p.name for p in order]),
            )
        given[key] = item
    for parameter in own:
        if parameter.name in given:
            environment.set(parameter.name, _number(parameter, *given.pop(parameter.name)))
        else:
            value = default_setting(context, definition, parameter, environment, arguments.span)
            environment.set(parameter.name, value)
    return given


def _number(parameter: syntax.Parameter, value: Any, span: Span) -> Any:
    """A setting of an entry: a `float` of it may be known only at run time."""
    is_scalar = isinstance(value, Value) and value.type == TensorType("f32")
    return value if is_scalar and setting_type(parameter) == "float" else checked_setting(parameter, value, span)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _absent(definition: syntax.Definition, parameter: syntax.Parameter, arguments: Arguments) -> None:
    if isinstance(parameter.default, syntax.NoneLiteral):
        return
    raise fail(
        "missing-argument",
        f"`{definition.name.name}` needs the tensor `{parameter.name}`",
        arguments.span,
        secondary=[Label(parameter.span, "declared here")],
    )


def _lift(
    context: Context,
    value: Any,
    pattern: TypePattern,
    parameter: syntax.Parameter,
    span: Span,
    definition: syntax.Definition,
) -> Any:
    """Numbers and sizes become scalars where a tensor is wanted; `none` stays where the default is `none`."""
    if isinstance(value, Value):
        return value
    if is_number(value) and pattern.rank_fits(0):
        dtype = pattern.dtype if pattern.dtype in DTYPES else _natural_dtype(value, pattern.dtype)
        return scalar(context, value, dtype, span)
    raise fail(
        "not-a-tensor",
        f"`{definition.name.name}` needs a tensor for `{parameter.name}`",
        span,
        describe(value),
        expected=pattern,
        found=describe(value),
        help=not_applied(value),
    )


def _natural_dtype(value: Any, wanted: str) -> str:
    natural = "f32" if isinstance(value, float) else "i64"
    return natural if dtype_fits(natural, wanted) else "f32"


def _explain(
    context: Context,
    mismatch: Mismatch,
    definition: syntax.Definition,
    patterns: dict[str, TypePattern],
    given: dict[str, tuple[Any, Span]],
) -> DiagnosticError:
    argument = mismatch.__notes__[0]
    value, span = given[argument]
    parameter = next(p for group in definition.parameters for p in group if p.name == argument)
    earlier = given.get(mismatch.source or "", (None, None))
    secondary = [Label(parameter.span, "declared here")]
    if isinstance(earlier[0], Value) and earlier[1] is not None:
        secondary.insert(0, Label(earlier[1], describe(earlier[0])))
    return fail(
        MISMATCH_CODES[mismatch.kind],
        _mismatch_title(mismatch, definition.name.name, argument, patterns[argument], value),
        span,
        describe(value),
        secondary=secondary,
        expected=patterns[argument],
        found=describe(value),
        notes=mismatch_notes(context, mismatch, earlier[0], value),
        help=_other_way_round(argument, patterns, given) or _tensor_help(mismatch, patterns[argument], value),
    )


def _other_way_round(argument: str, patterns: dict[str, TypePattern], given: dict[str, tuple[Any, Span]]) -> str | None:
    """A help text where two arguments would fit if they were exchanged, by their element types and ranks."""
    value, span = given[argument]
    for other, pattern in patterns.items():
        theirs, place = given[other]
        unlike = patterns[argument].dtype != pattern.dtype
        if unlike and _fits(value, pattern) and _fits(theirs, patterns[argument]):
            return f"the other way round it fits: `{argument} = {place.text}, {other} = {span.text}`"
    return None


def _fits(value: Any, pattern: TypePattern) -> bool:
    return (
        isinstance(value, Value) and dtype_fits(value.type.dtype, pattern.dtype) and pattern.rank_fits(value.type.rank)
    )


def _mismatch_title(mismatch: Mismatch, name: str, argument: str, pattern: TypePattern, value: Any) -> str:
    subject = f"`{argument}` of `{name}`"
    both = f"`{mismatch.source}` and {subject}"
    match mismatch.kind:
        case "dtype":
            alone = f"the elements of {subject} must be {mismatch.expected}, not {mismatch.found}"
            return f"{both} have different element types" if mismatch.source else alone
        case "rank":
            if mismatch.source:
                return f"{both} differ in their number of dimensions"
            packs = sum(isinstance(dim, PackPattern) for dim in pattern.dims)
            wanted = f"{'at least ' if packs else ''}{_count(len(pattern.dims) - packs, 'dimension')}"
            return f"{subject} must have {wanted}, not {value.type.rank}"
    if mismatch.source:
        return f"{both} differ in {'their shapes' if (mismatch.name or '*').startswith('*') else f'`{mismatch.name}`'}"
    return f"dimension {mismatch.axis} of {subject} must be {mismatch.expected}, not {mismatch.found}"


def mismatch_notes(context: Context, mismatch: Mismatch, expected: Any, found: Any) -> list[str]:
    """Where the two sizes or element types come from that disagree, as far as the user's own files say it."""
    if mismatch.kind == "rank":
        return []
    origin_of = size_origin if mismatch.kind == "size" else dtype_origin
    origins = (origin_of(context, expected, mismatch.expected), origin_of(context, found, mismatch.found))
    return [origin.note(context) for origin in origins if origin is not None]


def _tensor_help(mismatch: Mismatch, pattern: TypePattern, value: Any) -> str | None:
    if not isinstance(value, Value):
        return None
    if mismatch.kind == "rank" and len(pattern.dims) == 2 and value.type.rank > 2:
        return "`flatten` makes one dimension of all but the first"
    if mismatch.kind == "dtype" and pattern.dtype == "f32":
        return "`f32(x)` converts"
    return None


# --- Conditions and results ----------------------------------------------------------------------------------------


def check_where(context: Context, definition: syntax.Definition, environment: Environment, span: Span) -> None:
    """Checks the `where` conditions of a definition. Raises assertion-failed at the call."""
    from .messages import check_condition

    for where in definition.where:
        check_condition(context, where, environment, span, definition.name.name)


def check_result(context: Context, definition: syntax.Definition, frame: Frame, environment: Environment) -> None:
    """Compares what a body returned with the declared result type. Raises wrong-result."""
    declared = definition.result
    if declared is None or isinstance(frame.returned, Poison):
        return
    items = declared.items if isinstance(declared, syntax.TupleType) else (declared,)
    values = frame.returned if isinstance(frame.returned, tuple) else (frame.returned,)
    name = definition.name.name
    places = _places(frame, len(values))
    if len(items) != len(values):
        raise fail(
            "wrong-result",
            f"`{name}` declares {_count(len(items), 'result')} and returns {len(values)}",
            frame.return_value.span if frame.return_value else declared.span,
            ", ".join(describe(value) for value in values),
            secondary=[Label(declared.span, "declared here")],
        )
    patterns: list[TypePattern] = []
    for index, (item, value) in enumerate(zip(items, values, strict=True)):
        assert isinstance(item, syntax.TypeName)
        pattern = pattern_of(item, environment)
        if not isinstance(value, Value):
            values = _lift_result(context, values, index, pattern, places[index] or item.span, name)
            frame.returned = values if isinstance(declared, syntax.TupleType) else values[0]
        patterns.append(pattern)
    types = [value.type for value in values]
    try:
        unify_all(patterns, types, [str(index) for index in range(len(types))])
    except Mismatch as mismatch:
        index = int(mismatch.__notes__[0])
        raise fail(
            "wrong-result",
            f"`{name}` returns {_RESULT_WORDS[mismatch.kind]} than it declares",
            places[index] or items[index].span,
            str(types[index]),
            secondary=[Label(items[index].span, "declared here")],
            expected=patterns[index],
            found=types[index],
            notes=mismatch_notes(context, mismatch, None, values[index]),
            help=_result_help(mismatch, patterns[index], types[index]),
        ) from None


def _result_help(mismatch: Mismatch, declared: TypePattern, found: TensorType) -> str | None:
    if mismatch.kind == "rank" and len(declared.dims) == 2 and found.rank > 2:
        return "`flatten` makes one dimension of all but the first"
    return f"`{declared.dtype}(x)` converts" if mismatch.kind == "dtype" and declared.dtype in DTYPES else None


_RESULT_WORDS = {"dtype": "another type of elements", "rank": "another number of dimensions", "size": "another shape"}


def _places(frame: Frame, count: int) -> list[Span | None]:
    """Where each of the results is written after `return`."""
    value = frame.return_value
    if isinstance(value, syntax.Tuple) and len(value.items) == count:
        return [item.span for item in value.items]
    return [value.span if value is not None else None] * count


def _lift_result(
    context: Context, values: tuple[Any, ...], index: int, pattern: TypePattern, place: Span, name: str
) -> tuple[Any, ...]:
    value = values[index]
    if not is_number(value):
        raise fail("wrong-result", f"`{name}` must return a tensor", place, describe(value),
                   expected=pattern, found=describe(value), help=not_applied(value))  # fmt: skip
    dtype = pattern.dtype if pattern.dtype in DTYPES else _natural_dtype(value, pattern.dtype)
    lifted = scalar(context, value, dtype, place)
    return (*values[:index], lifted, *values[index + 1 :])
