"""Binds the tensors of a call to the parameters of a definition, by unification of their types."""

from __future__ import annotations

import re
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, counted, fail
from netlang.source import Span
from netlang.types import Bindings, Mismatch, PackPattern, TensorType, TypePattern, dtype_fits, unify_all

from ..ir import Value
from .arguments import Arguments, assigned, missing
from .context import Context
from .numbers import fitting
from .patterns import pattern_of, setting_type, split_parameters
from .provenance import MISMATCH_CODES, mismatch_notes, where_whole
from .settings import checked_setting, default_setting
from .values import Environment, Function, describe, is_number, not_applied


def separate(context: Context, function: Function, arguments: Arguments, environment: Environment) -> Arguments:
    """Binds the settings of a function call in `environment` and returns its tensor arguments by keyword."""
    definition = function.definition
    settings, tensors = split_parameters(definition)
    everything = [parameter for group in definition.parameters for parameter in group]
    given = assigned(definition, everything, arguments.positional, arguments.keywords)
    for parameter in settings:
        if parameter.name in given:
            environment.set(parameter.name, checked_setting(parameter, *given[parameter.name]))
        else:
            value = default_setting(context, definition, parameter, environment, arguments.span)
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
        if parameter.name not in given and not optional:
            raise missing(definition, parameter, arguments.span, "the tensor ")
        if value is None and optional:
            environment.set(parameter.name, None)
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
    own = () if definition.kind in ("layer", "fn", "model") else settings
    order = [p for group in definition.parameters for p in group if p in parameters or p in own]
    given = assigned(definition, order, arguments.positional, arguments.keywords)
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
        return fitting(context, value, pattern.dtype, span)
    raise fail(
        "not-a-tensor",
        f"`{definition.name.name}` needs a tensor for `{parameter.name}`",
        span,
        describe(value),
        expected=pattern,
        found=describe(value),
        help=not_applied(value),
    )


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
        help=_other_way_round(argument, patterns, given)
        or _axis_of_one(earlier, (value, span))
        or _axis_last(earlier, value, patterns.get(mismatch.source or ""))
        or _tensor_help(mismatch, patterns[argument], value)
        or where_whole(mismatch, *(x.type.shape for x in (earlier[0], value) if isinstance(x, Value))),
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


def _axis_of_one(one: tuple[Any, Span | None], other: tuple[Any, Span]) -> str | None:
    """A help text where one of two tensors has a last axis of one element more than the other."""
    for (longer, place), (shorter, _) in ((one, other), (other, one)):
        are_tensors = isinstance(longer, Value) and isinstance(shorter, Value)
        if are_tensors and place is not None and longer.type.shape == (*shorter.type.shape, 1):
            text = place.text if _SIMPLE.fullmatch(place.text) else f"({place.text})"
            index = ", ".join([*":" * shorter.type.rank, "0"])
            return f"`{text}[{index}]` is without the last axis, which has one element"
    return None


def _axis_last(one: tuple[Any, Span | None], other: Any, pattern: TypePattern | None) -> str | None:
    """A help text where what comes last in a tensor's type is its second axis, as PyTorch has the scores of classes."""
    tensor, place = one
    if pattern is None or place is None or not isinstance(tensor, Value) or not isinstance(other, Value):
        return None
    first, *rest = tensor.type.shape
    if len(rest) > 1 and (first, *rest[1:]) == other.type.shape and isinstance(pattern.dims[0], PackPattern):
        order = [0, *range(2, tensor.type.rank), 1]
        return f"`transpose({place.text}, {order})` puts the second axis last, as in `{pattern}`"
    return None


_SIMPLE = re.compile(r"[\w.]+(\([^()]*\))?")
"""Text that an index can stand behind."""


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
            wanted = f"{'at least ' if packs else ''}{counted(len(pattern.dims) - packs, 'dimension')}"
            return f"{subject} must have {wanted}, not {value.type.rank}"
    if mismatch.source:
        return f"{both} differ in {'their shapes' if (mismatch.name or '*').startswith('*') else f'`{mismatch.name}`'}"
    return f"dimension {mismatch.axis} of {subject} must be {mismatch.expected}, not {mismatch.found}"


def _tensor_help(mismatch: Mismatch, pattern: TypePattern, value: Any) -> str | None:
    if not isinstance(value, Value):
        return None
    if mismatch.kind == "rank" and len(pattern.dims) == 2 and value.type.rank > 2:
        return "`flatten` makes one dimension of all but the first"
    if mismatch.kind == "rank" and value.type.rank == 3 and str(pattern).endswith(", h, w]"):
        batch, *image = map(str, value.type.shape)
        return f"an image has channels: `reshape(x, [{batch}, 1, {', '.join(image)}])` gives it one"
    if mismatch.kind == "dtype" and pattern.dtype == "f32":
        return "`f32(x)` converts"
    return None


def check_where(context: Context, definition: syntax.Definition, environment: Environment, span: Span) -> None:
    """Checks the `where` conditions of a definition. Raises assertion-failed at the call."""
    from .messages import check_condition

    for where in definition.where:
        check_condition(context, where, environment, span, definition.name.name)
