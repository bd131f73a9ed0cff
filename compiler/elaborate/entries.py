"""What goes into the graph of an entry, and what comes out of it."""

from __future__ import annotations

from typing import Any

from netlang import syntax
from netlang.diagnostics import Diagnostic, Label, fail
from netlang.dims import Size
from netlang.source import Span
from netlang.types import TensorType

from ..demands import Comparison, Demand
from ..ir import Value
from .arguments import Arguments
from .context import Context, is_library
from .patterns import closed_type, setting_type, split_parameters
from .values import Entry, Environment


def declare_inputs(context: Context, entry: Entry, user: Span) -> Arguments:
    """Declares the inputs of an entry in the graph. Faults of a library model show where the `user` names it."""
    environment = Environment(entry.model.environment)
    name = entry.definition.name.span
    borrowed = is_library(name) and not is_library(user)
    arguments = Arguments(user if borrowed else name, implicit=True)
    settings, tensors = split_parameters(entry.definition)
    own = settings if entry.definition.kind == "entry" else ()
    for parameter in (parameter for group in entry.definition.parameters for parameter in group):
        if parameter in own and parameter.default is None:
            value = _number_input(context, parameter)
            environment.set(parameter.name, value)
        elif parameter in tensors and not isinstance(parameter.default, syntax.NoneLiteral):
            assert isinstance(parameter.type, syntax.TypeName)
            type_ = closed_type(context, parameter.type, environment)
            value = context.builder.input(parameter.name, type_, loc=parameter.span)
            context.origins[value] = parameter.span
        else:
            continue
        if value is not None:
            arguments.keywords[parameter.name] = (value, parameter.span)
    return arguments


def _number_input(context: Context, parameter: syntax.Parameter) -> Any:
    """What is given for a number of an entry when it runs: a size for an `int`, a scalar for a `float`, else None."""
    b, type_ = context.builder, setting_type(parameter)
    if parameter.name in context.dims:
        return context.dims[parameter.name]
    if type_ not in ("int", "float"):
        return None
    if type_ == "float":
        value = b.input(parameter.name, TensorType("f32"), loc=parameter.span)
        context.origins[value] = parameter.span
        return value
    size = b.fresh(parameter.name)  # of the numbers below it, which is how a number of the graph becomes a size
    value = b.input(parameter.name, TensorType("i64"), size=str(size), loc=parameter.span)
    context.origins[value] = parameter.span
    context.demand(_not_negative(parameter, size))
    b.arange(b.constant(0), value, b.constant(1), count=size)
    return size


def _not_negative(parameter: syntax.Parameter, size: Size) -> Demand:
    """What must hold of a number that is a size."""
    title = (f"`{parameter.name}` is a number of things, and cannot be ", size)
    fault = Diagnostic("bad-value", "", Label(parameter.span), expected="0 or more")
    return Demand(Comparison(size, ">=", 0), title, (), fault)


def declare_outputs(context: Context, entry: Entry, result: Any) -> None:
    """Makes what an entry returned the outputs of the graph. Raises wrong-result for what is no tensor."""
    values = result if isinstance(result, tuple) else (result,)
    names = _output_names(entry.definition, len(values))
    taken = {i.name for i in context.builder.inputs}
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, Value):
            raise fail("wrong-result", "an entry returns tensors", entry.definition.name.span)
        context.builder.output(f"{name}_out" if name in taken else name, value)


def _output_names(definition: syntax.Definition, count: int) -> list[str]:
    """Names of an entry's results: `output`, or for several what is written after `return`."""
    if count == 1:
        return ["output"]
    last = next((s for s in reversed(definition.body.statements) if isinstance(s, syntax.Return)), None)
    items = last.value.items if last is not None and isinstance(last.value, syntax.Tuple) else ()
    names: list[str] = []
    for index in range(count):
        item = items[index] if index < len(items) else None
        name = item.function if isinstance(item, syntax.Call) else item
        called = name.name if isinstance(name, syntax.Name) else f"output_{index}"
        names.append(called if called not in names else f"{called}_{index}")
    return names
