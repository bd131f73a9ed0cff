"""The arguments of a call, and which parameter each of them is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from netlang import habits, syntax
from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.source import Span

from ..ir import Value
from .patterns import is_tensor_type, split_parameters
from .values import Poison

T = TypeVar("T")

_LONGEST = 100
"""Characters of a signature that a help text shows whole."""


@dataclass
class Arguments:
    """Evaluated arguments of one call, with where they stand."""

    span: Span
    positional: list[tuple[Any, Span]] = field(default_factory=list)
    keywords: dict[str, tuple[Any, Span]] = field(default_factory=dict)
    implicit: bool = False  # not written anywhere: an entry is elaborated for itself

    @property
    def values(self) -> list[Any]:
        return [value for value, _ in (*self.positional, *self.keywords.values())]

    @property
    def poisoned(self) -> bool:
        return any(isinstance(value, Poison) for value in self.values)

    @property
    def has_tensor(self) -> bool:
        return any(isinstance(value, Value) for value in self.values)


def check_named_once(call: syntax.Call) -> None:
    """Raises duplicate-argument where a name is written twice."""
    named: set[str] = set()
    for argument in call.arguments:
        if argument.name in named:
            raise _given_twice(argument.name, argument.span)
        if argument.name is not None:
            named.add(argument.name)


def assigned(
    definition: syntax.Definition,
    parameters: Sequence[syntax.Parameter],
    positional: Sequence[tuple[T, Span]],
    keywords: Mapping[str, tuple[T, Span]],
) -> dict[str, tuple[T, Span]]:
    """The arguments by the names of the parameters that they are for: in order, then by name.

    Raises unknown-argument and duplicate-argument.
    """
    if len(positional) > len(parameters):
        raise _too_many(definition, parameters, positional[len(parameters)][1])
    given = {parameter.name: item for parameter, item in zip(parameters, positional, strict=False)}
    known = {parameter.name for parameter in parameters}
    for name, item in keywords.items():
        if name in given:
            raise _given_twice(name, item[1])
        if name not in known:
            raise _unknown(definition, parameters, name, item[1])
        given[name] = item
    return given


def missing(
    definition: syntax.Definition, parameter: syntax.Parameter, span: Span | None, what: str = ""
) -> DiagnosticError:
    """The fault of a call that leaves out a parameter; `what` says what it is, such as "the tensor "."""
    return fail(
        "missing-argument",
        f"`{definition.name.name}` needs {what}`{parameter.name}`",
        span,
        f"no `{_declared(parameter)}`",
        secondary=[Label(parameter.span, "declared here")],
        help=f"it is `{signature(definition)}`",
    )


def signature(definition: syntax.Definition) -> str:
    """How a definition is called: `linear(out: int, …)(x: f32[*s, i])`, with its defaults where there is room."""
    whole = _signature(definition, shortened=False)
    return whole if len(whole) <= _LONGEST else _signature(definition, shortened=True)


def _signature(definition: syntax.Definition, shortened: bool) -> str:
    groups = split_parameters(definition) if definition.kind == "layer" else definition.parameters
    return definition.name.name + "".join(f"({', '.join(_group(group, shortened))})" for group in groups)


def _group(group: Sequence[syntax.Parameter], shortened: bool) -> list[str]:
    shown = [parameter for parameter in group if not shortened or parameter.default is None]
    return [" ".join(p.span.text.split()) for p in shown] + ["…"] * (len(shown) < len(group))


def _declared(parameter: syntax.Parameter) -> str:
    return f"{parameter.name}: {parameter.type.span.text}"


def _given_twice(name: str, span: Span) -> DiagnosticError:
    return fail("duplicate-argument", f"`{name}` is given twice", span)


def _too_many(definition: syntax.Definition, parameters: Sequence[syntax.Parameter], span: Span) -> DiagnosticError:
    creates = _creates(definition, parameters)
    takes = ", ".join(f"`{parameter.name}`" for parameter in parameters) or ("no settings" if creates else "nothing")
    way_out = f"it is `{signature(definition)}`{': create it, then apply it' if creates else ''}"
    return fail("unknown-argument", f"`{definition.name.name}` takes {takes}; this is one too many", span, help=way_out)


def _unknown(
    definition: syntax.Definition, parameters: Sequence[syntax.Parameter], name: str, span: Span
) -> DiagnosticError:
    owner = definition.name.name
    if any(parameter.name == name for group in definition.parameters for parameter in group):
        return _in_the_other_call(owner, name, span, _creates(definition, parameters))
    candidates = [parameter.name for parameter in parameters]
    way_out = habits.argument(name, candidates) or f"it has {', '.join(candidates) or 'none'}"
    return fail("unknown-argument", f"`{owner}` has no parameter `{name}`", span, help=way_out)


def _in_the_other_call(owner: str, name: str, span: Span, creates: bool) -> DiagnosticError:
    """`linear(4, x = x)` for `linear(4)(x)`, and `f(x, out = 4)` where `f = linear(4)`."""
    kind, other = ("tensor", "settings") if creates else ("setting", "tensors")
    way_out = create_first(owner) if creates else f"it is given where the layer is created: `{owner}({name} = …)`"
    title = f"`{name}` is a {kind} of `{owner}`, and this call takes its {other}"
    return fail("unknown-argument", title, span, help=way_out)


def _creates(definition: syntax.Definition, parameters: Sequence[syntax.Parameter]) -> bool:
    """Whether a call with these parameters creates what is applied to tensors by another call."""
    applied = any(is_tensor_type(parameter.type) for parameter in parameters)
    return definition.kind in ("layer", "model") and not applied


def create_first(name: str) -> str:
    """The help for a layer that is given tensors before it is created."""
    return f"create it, then apply it: `{name}(…)(x)` or `x |> {name}(…)`"
