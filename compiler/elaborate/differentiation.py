"""Derivatives in the language: `grad`, `vjp` and `jvp`; `custom_grad` and `@recompute`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.source import Span
from netlang.types import FLOATS, TensorType

from .. import control
from ..autodiff import pull_back
from ..builder import Builder
from ..ir import Value
from .arguments import Arguments
from .context import Context, Frame, Reported
from .numbers import adapted
from .patterns import split_parameters
from .regions import Bindings, Exports, Region, filled
from .values import Environment, Poison, describe, is_number

# --- Functions -------------------------------------------------------------------------------------------------------


def grad(context: Context, arguments: Arguments) -> Any:
    """`grad(loss, wrt = x)`: the derivative of one number by each element of `x`, of the shape of `x`."""
    y, span, (wrt,) = _parts(context, arguments, "grad", "wrt")
    if y.type.rank:
        raise fail("type-mismatch", "`grad` differentiates one number, and this is a tensor of them", span, str(y.type),
                   expected="f32", found=y.type,
                   help="`sum(…)` makes one number; `vjp(y, wrt = x, with = g)` weighs the elements")  # fmt: skip
    b = context.builder
    return _pulled(context, y, b.full(shape=(), value=1.0, dtype=y.type.dtype), wrt, arguments)


def vjp(context: Context, arguments: Arguments) -> Any:
    """`vjp(y, wrt = x, with = g)`: the derivative of sum(y · g) by `x`, where `g` is of the type of `y`."""
    y, _, (wrt, weights) = _parts(context, arguments, "vjp", "wrt", "with")
    seed, place = weights
    if is_number(seed):
        seed = adapted(context, seed, y.type, place)
    if not isinstance(seed, Value) or seed.type != y.type:
        raise fail("type-mismatch", "`with` of `vjp` must have the type of what is differentiated", place,
                   describe(seed), expected=y.type, found=describe(seed))  # fmt: skip
    return _pulled(context, y, seed, wrt, arguments)


def jvp(context: Context, arguments: Arguments) -> Value:
    """`jvp(y, wrt = x, along = v)`: how `y` changes where `x` moves along `v`; of the shape of `y`.

    The derivative of the reverse derivative by what it is weighed with, in which it is linear.
    """
    y, _, (wrt, direction) = _parts(context, arguments, "jvp", "wrt", "along")
    b = context.builder
    seed = control.placeholder(b, y.type)
    pulled = _leaves(_pulled(context, y, seed, wrt, arguments))
    directions = _directions(context, _leaves(wrt[0]), direction)
    total = b.constant(0.0, y.type.dtype)
    for gradient, v in zip(pulled, directions, strict=True):
        total = b.add(total, b.sum(b.mul(gradient, v)))
    one = b.full(shape=(), value=1.0, dtype=y.type.dtype)
    (found,) = pull_back(b, [(total, one)], [seed], context.nodes())
    return _zeros(b, y.type) if found is None else found


def _parts(context: Context, arguments: Arguments, name: str, *keywords: str) -> tuple[Value, Span, list[Any]]:
    """What is differentiated, where it stands, and the arguments with names."""
    usage = f"write `{name}(y, {', '.join(f'{keyword} = …' for keyword in keywords)})`"
    for keyword, (_, span) in arguments.keywords.items():
        if keyword not in keywords:
            raise fail("unknown-argument", f"`{name}` has no `{keyword}`", span, help=usage)
    missing = [keyword for keyword in keywords if keyword not in arguments.keywords]
    if len(arguments.positional) != 1 or missing:
        raise fail("missing-argument", f"`{name}` takes what is differentiated, and {_listed(keywords)}",
                   arguments.span, help=usage)  # fmt: skip
    value, span = arguments.positional[0]
    if not isinstance(value, Value) or value.type.dtype not in FLOATS:
        raise fail("not-a-tensor", f"`{name}` differentiates a tensor of floats", span, describe(value))
    return value, span, [arguments.keywords[keyword] for keyword in keywords]


def _listed(keywords: Sequence[str]) -> str:
    return " and ".join(f"`{keyword}`" for keyword in keywords)


def _pulled(context: Context, y: Value, seed: Value, wrt: tuple[Any, Span], arguments: Arguments) -> Any:
    """The gradients by everything in `wrt`, in its structure."""
    targets = _leaves(wrt[0])
    for target in targets:
        if not isinstance(target, Value) or target.type.dtype not in FLOATS:
            way_out = "name its parameters: `f.weight`" if not isinstance(target, Value) else None
            raise fail("no-gradient", "`wrt` takes tensors of floats", wrt[1], describe(target), help=way_out)
    b = context.builder
    with b.at(arguments.span):
        found = pull_back(b, [(y, seed)], targets, context.nodes())
        for target, gradient in zip(targets, found, strict=True):
            if gradient is None and not context.has_gradients:
                _check_dependence(context, y, target, arguments, wrt[1])
        context.has_gradients = True
        results = [_zeros(b, x.type) if g is None else g for x, g in zip(targets, found, strict=True)]
    context.remember(tuple(results), arguments.span, targets)
    return _shaped(wrt[0], iter(results))


def _leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, tuple) else [value]


def _shaped(like: Any, leaves: Any) -> Any:
    return tuple(_shaped(item, leaves) for item in like) if isinstance(like, tuple) else next(leaves)


def _zeros(b: Builder, type_: TensorType) -> Value:
    return b.full(shape=type_.shape, value=0.0, dtype=type_.dtype)


def _check_dependence(context: Context, y: Value, target: Value, arguments: Arguments, span: Span) -> None:
    """Raises `no-gradient` where `y` was not computed from `target` at all."""
    waiting, seen = [y], {y}
    while waiting:
        value = waiting.pop()
        if value is target:
            return
        producer = context.builder.producer(value)
        fresh = [x for x in producer.inputs if x not in seen] if producer is not None else []
        seen.update(fresh)
        waiting.extend(fresh)
    place = arguments.positional[0][1]
    raise fail("no-gradient", f"`{place.text}` does not depend on this", span, str(target.type),
               secondary=[Label(place, "differentiated")],
               help="`wrt` names a tensor from which the value was computed")  # fmt: skip


def _directions(context: Context, targets: Sequence[Value], given: tuple[Any, Span]) -> list[Value]:
    value, span = given
    directions = _leaves(value)
    if len(directions) != len(targets):
        raise fail("type-mismatch", f"{len(targets)} directions are needed, one for each tensor of `wrt`", span,
                   describe(value))  # fmt: skip
    found: list[Value] = []
    for target, given_direction in zip(targets, directions, strict=True):
        is_plain = is_number(given_direction)
        direction = adapted(context, given_direction, target.type, span) if is_plain else given_direction
        if not isinstance(direction, Value) or direction.type != target.type:
            raise fail("type-mismatch", "a direction must have the type of what moves along it", span,
                       describe(direction), expected=target.type, found=describe(direction))  # fmt: skip
        found.append(direction)
    return found


# --- Blocks ----------------------------------------------------------------------------------------------------------


def recomputed(context: Context, environment: Environment, span: Span, run: Callable[[], None]) -> None:
    """Executes `run`; the gradient will compute again what it computes on the way (Chen et al. 2016)."""
    bindings = Bindings(context, environment)

    def changes() -> tuple[tuple[tuple[int, str], Any], ...]:
        run()
        return tuple(bindings.changes().items())

    for key, value in recomputed_value(context, span, changes):
        bindings.set(key, value)


def recomputed_value(context: Context, span: Span, compute: Callable[[], Any]) -> Any:
    """What `compute` gives; the gradient will compute again what it computes on the way."""
    region = Region("@recompute", context.builder.inner("recompute"))
    with context.within(region):
        value = compute()
    exports = Exports(region.builder, context.builder)
    value = exports.add(value)
    states = [(instance, key, exports.add(instance.pending[key])) for instance, key in region.states]
    results: list[Value] = []
    if exports.count:
        with context.builder.at(span):
            results = control.block(context.builder, region.builder, recompute=True)
    for instance, key, state in states:
        instance.pending[key] = filled(state, results)
        if context.regions:
            context.regions[-1].states.append((instance, key))
    return filled(value, results)


def with_gradient(
    context: Context, definition: syntax.Definition, environment: Environment, run: Callable[[], None]
) -> None:
    """Executes the body of a `fn` that says how its gradient is computed."""
    frame, gradient = context.frame, definition.gradient
    assert gradient is not None
    body = context.builder.inner(definition.name.name)
    with context.within(Region("fn", body)):
        run()
    results = _leaves(frame.returned)
    if not frame.has_returned or any(not isinstance(value, Value) for value in results):
        raise Reported
    for i, value in enumerate(results):
        body.output(f"output_{i}", value)
    inputs = {
        p.name: environment.get(p.name)
        for p in split_parameters(definition)[1]
        if isinstance(environment.get(p.name), Value)
    }
    for name, value in inputs.items():  # so that all of them are captures, used or not
        body.output(name, value)
    back = _gradient_body(context, definition, environment, body, inputs, len(results))
    outputs = control.block(context.builder, body, gradient=back)[: len(results)]
    frame.returned = _shaped(frame.returned, iter(outputs))


def _gradient_body(
    context: Context,
    definition: syntax.Definition,
    environment: Environment,
    body: Builder,
    inputs: dict[str, Value],
    results: int,
) -> Builder:
    """From the gradients of the results to those of what the body captures."""
    gradient = definition.gradient
    assert gradient is not None
    back = context.builder.inner(f"{definition.name.name}.gradient")
    stand_ins, _, grads = control.gradient_inputs(back, body)
    captures = control.finish(body)[1]
    inside = dict(zip(captures, stand_ins, strict=True))
    if len(gradient.names) != results:
        raise fail("wrong-result", f"`custom_grad` names one gradient for each result, and there are {results}",
                   gradient.names[-1].span)  # fmt: skip
    inner = Environment(environment)
    inner.names.update({name: inside[value] for name, value in inputs.items()})
    inner.names.update({name.name: g for name, g in zip(gradient.names, grads, strict=False)})
    with context.within(Region("custom_grad", back)):
        found = _gradients_of_inputs(context, definition, inner, inputs)
        sums: dict[Value, Value] = {}
        for value, g in zip(inputs.values(), found, strict=True):
            if g is not None:
                sums[value] = back.add(sums[value], g) if value in sums else g
        for i, value in enumerate(captures):
            back.output(f"gradient_{i}", sums[value] if value in sums else _nothing(back, value.type))
    _check_captures(definition, captures, inputs, back)
    return back


def _nothing(b: Builder, type_: TensorType) -> Value:
    """Zeros for what has no gradient."""
    zero = b.constant(False) if type_.dtype == "bool" else b.constant(0, type_.dtype)
    return b.expand(zero, shape=type_.shape) if type_.rank else zero


def _gradients_of_inputs(
    context: Context, definition: syntax.Definition, environment: Environment, inputs: dict[str, Value]
) -> list[Value | None]:
    """What the body of `custom_grad` returns: a gradient for each tensor, or `none`."""
    from .statements import execute_all

    gradient = definition.gradient
    assert gradient is not None
    errors = len(context.diagnostics)
    frame = Frame("fn", definition.name.name, definitions=(definition,), environment=environment)
    with context.call(Label(gradient.span, "`custom_grad`"), frame):
        execute_all(context, gradient.body.statements, environment)
    if len(context.diagnostics) > errors:
        raise Reported
    returned = frame.returned if isinstance(frame.returned, tuple) else (frame.returned,)
    place = frame.return_value.span if frame.return_value is not None else gradient.span
    if not frame.has_returned or len(returned) != len(inputs):
        raise fail("wrong-result", f"`custom_grad` returns a gradient for each of {_listed(tuple(inputs))}", place,
                   help="for a tensor that has none, return `none`")  # fmt: skip
    pairs = zip(inputs.items(), returned, strict=True)
    return [_checked(context, name, value.type, g, place) for (name, value), g in pairs]


def _checked(context: Context, name: str, type_: TensorType, g: Any, span: Span) -> Value | None:
    if g is None:
        return None
    if is_number(g):
        g = adapted(context, g, type_, span)
    if isinstance(g, Poison):
        raise Reported
    if type_.dtype not in FLOATS:
        raise fail("wrong-result", f"`{name}` has no gradient: only floats do", span, describe(g),
                   help="return `none` in its place")  # fmt: skip
    if not isinstance(g, Value) or g.type != type_:
        raise fail("wrong-result", f"the gradient of `{name}` must have the type of `{name}`", span, describe(g),
                   expected=type_, found=describe(g))  # fmt: skip
    return g


def _check_captures(
    definition: syntax.Definition, captures: Sequence[Value], inputs: dict[str, Value], back: Builder
) -> None:
    """Raises where the function, or its gradient, computes with more than its own tensors."""
    own = set(inputs.values())
    others = [x for x in captures if x not in own and x.type.dtype in FLOATS]
    results = [output.value for output in back.outputs]
    free = control.free_values(back.nodes, results, [item.value for item in back.inputs])
    if others or free:
        raise _foreign(definition)


def _foreign(definition: syntax.Definition) -> DiagnosticError:
    assert definition.gradient is not None
    return fail(
        "no-gradient",
        f"`{definition.name.name}` computes with more than its own tensors",
        definition.gradient.span,
        "says nothing of the gradient of the others",
        help="give it everything that it computes with as a parameter",
    )
