"""Axes by their names: `rearrange(x: b t (h k) -> b h t k)` and `einsum(x, w: b i, o i -> b o)`.

A name that is a size where the pattern stands, such as a setting or a dimension, must have that size; other names are
those of the pattern alone. `rearrange` splits, joins and reorders axes (Rogozhnikov 2022); `einsum` multiplies, and
sums over the axes that the result does not name (Einstein 1916).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from string import ascii_letters
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, did_you_mean, fail
from netlang.dims import Size
from netlang.source import Span

from ..ir import Value
from .arguments import Arguments
from .context import Context
from .operators import apply_op
from .values import POISON, Environment, Intrinsic, OpFunction, Poison, describe, is_size, not_applied

Axes = Sequence[syntax.Axis]


def pattern_call(context: Context, expr: syntax.PatternCall, environment: Environment) -> Any:
    """The value of a call with an axis pattern; without tensors, a function that waits for them."""
    from .expressions import evaluate

    function = evaluate(context, expr.function, environment)
    if isinstance(function, Poison):
        return POISON
    run = _RUN.get(function.name) if isinstance(function, Intrinsic | OpFunction) else None
    if run is None:
        raise fail("not-callable", f"`{expr.function.span.text}` takes no axis pattern", expr.function.span,
                   help="`rearrange` and `einsum` do")  # fmt: skip
    values: list[tuple[Any, Span]] = []
    for argument in expr.arguments:
        if argument.name is not None:
            raise fail("unknown-argument", "beside an axis pattern, tensors have no names", argument.span)
        values.append((evaluate(context, argument.value, environment), argument.span))
    if any(isinstance(value, Poison) for value, _ in values):
        return POISON
    if not values:
        return Intrinsic(function.name, partial(_later, run=run, expr=expr, environment=environment))
    return _run(context, run, expr, environment, values)


def rearrange(context: Context, arguments: Arguments) -> Any:
    """`rearrange(x: b t (h k) -> b h t k)`: splits, joins and reorders axes by their names."""
    raise fail("missing-argument", "`rearrange` says what becomes of the axes", arguments.span,
               help="write `rearrange(x: b t d -> b d t)`")  # fmt: skip


def _later(
    context: Context, arguments: Arguments, run: _Run, expr: syntax.PatternCall, environment: Environment
) -> Any:
    return _run(context, run, expr, environment, arguments.positional)


def _run(
    context: Context,
    run: _Run,
    expr: syntax.PatternCall,
    environment: Environment,
    given: Sequence[tuple[Any, Span]],
) -> Value:
    if len(given) != len(expr.inputs):
        place = _span(expr.inputs[-1], expr.span)
        raise fail("missing-argument", f"{len(given)} tensors, and axes for {len(expr.inputs)}", place,
                   help="the axes of each tensor stand between commas: `einsum(x, w: b i, o i -> b o)`")  # fmt: skip
    for value, span in given:
        if not isinstance(value, Value):
            raise fail("not-a-tensor", "the axes of tensors have names", span, describe(value), help=not_applied(value))
    return run(context, expr, _Axes(expr, environment), given)


@dataclass
class _Axes:
    """What the names of a pattern have been found to be."""

    expr: syntax.PatternCall
    environment: Environment
    sizes: dict[str, Size] = field(default_factory=dict)
    packs: dict[str, tuple[Size, ...]] = field(default_factory=dict)
    places: dict[str, Span] = field(default_factory=dict)  # where each was first settled

    def match(self, axes: Axes, value: Value, place: Span) -> None:
        """Settles the names of the axes of one tensor."""
        _check_numbers(axes)
        shape, packs = value.type.shape, [axis for axis in axes if isinstance(axis, syntax.Pack)]
        wanted = len(axes) - len(packs)
        if len(packs) > 1:
            raise fail("rank-mismatch", "one `*` is as much as a tensor can have", packs[1].span)
        if len(shape) < wanted or (not packs and len(shape) > wanted):
            number = f"{'at least ' if packs else ''}{wanted}"
            raise fail("rank-mismatch", f"the pattern names {number} axes of a tensor that has {len(shape)}",
                       _span(axes, self.expr.span), secondary=[Label(place, str(value.type))])  # fmt: skip
        rest = list(shape)
        for axis in axes:
            if isinstance(axis, syntax.Pack):
                count = len(shape) - wanted
                self._settle_pack(axis, tuple(rest[:count]))
                del rest[:count]
            else:
                self._settle(axis, rest.pop(0))

    def size(self, name: str) -> Size | None:
        """What a name is: as settled by a tensor, or around the pattern."""
        if name in self.sizes:
            return self.sizes[name]
        try:
            known = self.environment.get(name)
        except KeyError:
            return None
        return known if is_size(known) else None

    def _settle(self, axis: syntax.Axis, size: Size) -> None:
        match axis:
            case syntax.AxisName(name=name):
                known = self.size(name)
                if known is not None and known != size:
                    raise self._differ(name, axis.span, known, size)
                self.sizes[name] = size
                self.places.setdefault(name, axis.span)
            case syntax.Number():
                if size != 1:
                    raise fail("shape-mismatch", f"this axis has the size {size}, not 1", axis.span)
            case syntax.Group(items=items):
                self._settle_group(items, size, axis.span)

    def _settle_pack(self, pack: syntax.Pack, sizes: tuple[Size, ...]) -> None:
        known = self.packs.setdefault(pack.name, sizes)
        if known != sizes:
            raise self._differ(f"*{pack.name}", pack.span, list(known), list(sizes))

    def _settle_group(self, items: Axes, size: Size, place: Span) -> None:
        """`(h k)`: all but one of the sizes must be known, and divide the axis."""
        open_: list[syntax.AxisName] = []
        rest = size
        for item in items:
            known = self._known(item)
            if known is None and isinstance(item, syntax.AxisName):
                open_.append(item)
            elif known is not None:
                if known == 0 or (rest // known) * known != rest:
                    raise fail("shape-mismatch", f"{size} does not split into parts of {known}", item.span,
                               f"this is {known}")  # fmt: skip
                rest = rest // known
        if len(open_) > 1:
            names = " and ".join(f"`{name.name}`" for name in open_)
            raise fail("undefined-name", f"the sizes of {names} are not known: {size} splits in many ways", place,
                       help="all but one must be, as settings or as dimensions")  # fmt: skip
        if open_:
            self._settle(open_[0], rest)
        elif rest != 1:
            raise fail("shape-mismatch", f"the axis has the size {size}, which these do not make", place)

    def _known(self, item: syntax.Axis) -> Size | None:
        match item:
            case syntax.AxisName(name=name):
                known = self.size(name)
                if known is not None:
                    self.sizes.setdefault(name, known)
                    self.places.setdefault(name, item.span)
                return known
            case syntax.Number():
                return 1
        raise fail("syntax-error", "in the brackets of an axis stand names", item.span)

    def _differ(self, name: str, place: Span, known: Any, found: Any) -> DiagnosticError:
        settled = self.places.get(name)
        secondary = [Label(settled, f"{known} here")] if settled is not None else []
        notes = [] if settled is not None else [f"`{name}` is {known} around the pattern"]
        way_out = None if settled is not None else f"if it is another axis, it needs another name, such as `{name}_`"
        return fail("shape-mismatch", f"`{name}` stands for axes of different sizes", place, f"{found} here",
                    secondary=secondary, expected=known, found=found, notes=notes, help=way_out)  # fmt: skip

    def unknown(self, axis: syntax.AxisName | syntax.Pack) -> DiagnosticError:
        """The error for an axis of the result that no tensor has."""
        known = [*self.sizes, *self.packs]
        way_out = did_you_mean(axis.name, known) or f"there are {', '.join(f'`{name}`' for name in known)}"
        return fail("undefined-name", f"no axis on the left is called `{axis.name}`", axis.span, help=way_out)


_Run = Callable[[Context, syntax.PatternCall, _Axes, Sequence[tuple[Any, Span]]], Value]


# --- rearrange -------------------------------------------------------------------------------------------------------


def _rearrange(context: Context, expr: syntax.PatternCall, axes: _Axes, given: Sequence[tuple[Any, Span]]) -> Value:
    if len(given) != 1:
        raise fail("unknown-argument", "`rearrange` takes one tensor", given[1][1])
    ((value, place),) = given
    axes.match(expr.inputs[0], value, place)
    _check_numbers(expr.output)
    before, after = _atoms(expr.inputs[0], axes), _atoms(expr.output, axes)
    _check_kept(expr, before, after)
    b = context.builder
    with b.at(expr.span):
        split = b.reshape(value, shape=tuple(size for _, size in before))
        keys = [key for key, _ in before]
        moved = b.transpose(split, perm=tuple(keys.index(key) for key, _ in after))
        return b.reshape(moved, shape=tuple(_shape(expr.output, axes)))


_Key = tuple[str, int]
"""The name of an axis and 0; of the axes of a pack, its name and their number."""


def _atoms(pattern: Axes, axes: _Axes) -> list[tuple[_Key, Size]]:
    """The axes that a pattern names, those in brackets one by one, ones left out."""
    found: list[tuple[_Key, Size]] = []
    for axis in _flat(pattern):
        match axis:
            case syntax.AxisName(name=name) if name in axes.sizes:
                found.append(((name, 0), axes.sizes[name]))
            case syntax.Pack(name=name) if name in axes.packs:
                found.extend(((f"*{name}", i), size) for i, size in enumerate(axes.packs[name]))
            case syntax.AxisName() | syntax.Pack():
                raise axes.unknown(axis)
    return found


def _check_numbers(pattern: Axes) -> None:
    for axis in _flat(pattern):
        if isinstance(axis, syntax.Number) and axis.value != 1:
            raise fail("bad-value", "an axis gets a name; of the numbers only 1 stands in a pattern", axis.span,
                       help=f"`const k = {axis.value}`, and `k` in the pattern")  # fmt: skip


def _flat(pattern: Axes) -> Iterator[syntax.Axis]:
    for axis in pattern:
        if isinstance(axis, syntax.Group):
            yield from _flat(axis.items)
        else:
            yield axis


def _shape(pattern: Axes, axes: _Axes) -> Iterator[Size]:
    for axis in pattern:
        sizes = [size for _, size in _atoms([axis], axes)]
        if isinstance(axis, syntax.Pack):
            yield from sizes
        else:
            product: Size = 1
            for size in sizes:
                product = product * size
            yield product


def _check_kept(
    expr: syntax.PatternCall, before: Sequence[tuple[_Key, Size]], after: Sequence[tuple[_Key, Size]]
) -> None:
    """Raises where an axis is named twice on one side, or not on the right."""
    for pattern, atoms in ((expr.inputs[0], before), (expr.output, after)):
        keys = [key for key, _ in atoms]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise fail("duplicate-name", f"`{twice[0]}` stands twice on one side", _span(pattern, expr.span))
    kept = {key for key, _ in after}
    lost = [key[0] for key, _ in before if key not in kept]
    if lost:
        place = _span(expr.output, expr.span)
        raise fail("shape-mismatch", f"`{lost[0]}` is not on the right, and `rearrange` keeps all axes", place,
                   help="`sum` and `mean` take axes away, and so does `einsum`")  # fmt: skip


# --- einsum ----------------------------------------------------------------------------------------------------------


def _einsum(context: Context, expr: syntax.PatternCall, axes: _Axes, given: Sequence[tuple[Any, Span]]) -> Value:
    letters: dict[str, str] = {}
    terms = [_term(pattern, letters) for pattern in (*expr.inputs, expr.output)]
    for pattern, (value, place) in zip(expr.inputs, given, strict=True):
        axes.match(pattern, value, place)
    for axis in expr.output:
        known = axes.packs if isinstance(axis, syntax.Pack) else axes.sizes
        if isinstance(axis, syntax.Pack | syntax.AxisName) and axis.name not in known:
            raise axes.unknown(axis)
    if len(axes.packs) > 1:
        raise fail("bad-value", "an `einsum` has one `*`, with the same name in every tensor", expr.span)
    equation = f"{','.join(terms[:-1])}->{terms[-1]}"
    values, spans = [value for value, _ in given], [span for _, span in given]
    return apply_op(context, "einsum", values, {"equation": equation}, expr.span, spans)


def _term(pattern: Axes, letters: dict[str, str]) -> str:
    """A pattern as the operator writes it, with a letter for each name."""
    term = ""
    for axis in pattern:
        match axis:
            case syntax.Pack():
                term += "..."
            case syntax.AxisName(name=name):
                if name not in letters and len(letters) == len(ascii_letters):
                    raise fail("bad-value", f"an `einsum` has at most {len(ascii_letters)} axes", axis.span)
                term += letters.setdefault(name, ascii_letters[len(letters) % len(ascii_letters)])
            case _:
                raise fail("bad-value", "in an `einsum`, each axis has one name", axis.span,
                           help="`rearrange` splits and joins axes")  # fmt: skip
    return term


def _span(pattern: Axes, otherwise: Span) -> Span:
    return pattern[0].span.to(pattern[-1].span) if pattern else otherwise


_RUN: dict[str, _Run] = {"rearrange": _rearrange, "einsum": _einsum}
