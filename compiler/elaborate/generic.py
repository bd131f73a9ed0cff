"""Checks layers and functions that no model uses, with open sizes for what only a call would say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from netlang import syntax
from netlang.diagnostics import Diagnostic, DiagnosticError
from netlang.dims import symbol
from netlang.types import HolePattern, PackPattern, TensorType

from ..builder import Builder
from ..initializers import INITIALIZERS
from ..ir import Init
from .arguments import Arguments
from .calls import call
from .context import Abandoned, Context, Frame, Reported
from .executed import Use, use_of
from .intrinsics import identity
from .modules import LoadedModule, Modules
from .naming import Instance
from .patterns import callable_like, dim_names, pattern_of, setting_type, split_parameters
from .settings import default_setting
from .values import Environment, Function, Intrinsic, Layer, Partial

# fmt: off
CERTAIN = frozenset((
    "undefined-name", "unknown-argument", "missing-argument", "duplicate-argument", "not-callable", "type-mismatch",
    "unused-result", "unknown-attribute", "duplicate-parameter", "unset-state", "no-return", "unknown-initializer",
    "not-a-tensor", "unset-carry", "duplicate-name",
))
# fmt: on
"""Faults that do not depend on the sizes, which are open in this check."""


def check_layers(modules: Modules, module: LoadedModule, uses: set[Use]) -> Iterator[Diagnostic]:
    """Faults of the layers and functions of a file that hold for every use of them; `uses` are known to have none."""
    for definition in module.definitions():
        if definition.kind in ("layer", "fn"):
            yield from _check(modules, module, definition, uses)


def _check(
    modules: Modules, module: LoadedModule, definition: syntax.Definition, uses: set[Use]
) -> Iterator[Diagnostic]:
    context = Context(Builder(), training=True, generic=True)
    environment = modules.environment(context, module)
    function = environment.get(definition.name.name)
    context.frames.append(Frame("check", definition.name.name, Instance("")))
    try:
        _apply(context, function, uses)
    except DiagnosticError as error:
        context.record(error)
    except (Reported, Abandoned):
        pass
    yield from (d for d in context.diagnostics if is_certain(d))


def is_certain(diagnostic: Diagnostic, certain: frozenset[str] = CERTAIN) -> bool:
    """Whether a fault does not depend on what is open. `certain`: codes of which all are so."""
    if diagnostic.code in certain:
        return True
    sizes = (diagnostic.expected or "", diagnostic.found or "")
    return diagnostic.code == "shape-mismatch" and all(size.isdigit() for size in sizes)


def _apply(context: Context, function: Function, uses: set[Use]) -> None:
    definition = function.definition
    settings, tensors = split_parameters(definition)
    environment = Environment(function.environment)
    for parameter in settings:
        environment.set(parameter.name, _stand_in(context, definition, parameter, environment))
    span = definition.name.span
    arguments = Arguments(span, implicit=True)
    for parameter in tensors:
        if not isinstance(parameter.default, syntax.NoneLiteral):
            assert isinstance(parameter.type, syntax.TypeName)
            value = context.builder.input(parameter.name, _open_type(parameter.type, environment))
            arguments.keywords[parameter.name] = (value, parameter.span)
    given = {name: value for name, (value, _) in arguments.keywords.items()}
    if use_of(definition, {**environment.names, **given}) in uses:
        return
    if definition.kind == "layer":
        call(context, Layer(function, environment.names, Instance(definition.name.name)), arguments)
    else:
        call(context, Partial(function, environment.names or {"": None}), arguments)


def _stand_in(
    context: Context, definition: syntax.Definition, parameter: syntax.Parameter, environment: Environment
) -> Any:
    if parameter.default is not None:
        return default_setting(context, definition, parameter, environment, parameter.span)
    return any_setting(parameter)


def any_setting(parameter: syntax.Parameter) -> Any:
    """What stands for a setting that is not known."""
    return _ANY[setting_type(parameter)](parameter.name)


def _any_layer(context: Context, arguments: Arguments) -> Any:
    """What a layer of which nothing is known makes of one tensor: another such; of several, anything."""
    if len(arguments.positional) + len(arguments.keywords) != 1:
        raise Abandoned
    return identity(context, arguments)


_ANY: dict[str, Callable[[str], Any]] = {
    "int": symbol,
    "ints": symbol,
    "float": lambda name: 0.5,
    "floats": lambda name: (0.5,),
    "bool": lambda name: True,
    "str": lambda name: "",
    "init": lambda name: Init("zeros", tuple((key, 0.0) for key in INITIALIZERS["zeros"].defaults)),
    "layer": lambda name: Intrinsic(name, _any_layer),
    "schedule": lambda name: 0.001,
}
"""By its type: what stands for a setting of this name."""


def _open_type(type_: syntax.TypeName, environment: Environment) -> TensorType:
    """The type with every name and pack standing for open sizes."""
    inner = Environment(environment)
    for name in dim_names(type_):
        try:
            means_size = not callable_like(environment.get(name))
        except KeyError:
            means_size = False
        if not means_size:
            inner.set(name, symbol(name))
    for dim in type_.dims or ():
        if isinstance(dim, syntax.Pack) and dim.name not in environment.names:
            inner.set(dim.name, (symbol(f"{dim.name}_0"),))
    dtype = {"f": "f32", "n": "f32", "t": "f32", "i": "i64"}.get(type_.name, type_.name)
    dims = pattern_of(type_, inner).dims
    return TensorType(dtype, tuple(symbol("_") if isinstance(dim, PackPattern | HolePattern) else dim for dim in dims))
