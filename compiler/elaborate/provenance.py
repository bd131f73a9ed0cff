"""Where a size or an element type comes from: the call or the declaration that brought it in. For notes of errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netlang import syntax
from netlang.dims import Dim
from netlang.source import Span
from netlang.types import DimPattern, Mismatch

from ..ir import Value
from ..shapes import where_multiples
from .context import Context, is_library
from .patterns import split_parameters
from .values import is_size

MISMATCH_CODES = {"dtype": "type-mismatch", "rank": "rank-mismatch", "size": "shape-mismatch"}
"""The diagnostic code for each kind of mismatch."""

_WORD = re.compile(r"[A-Za-z_]\w*")
_CALL = re.compile(r"(\w+)\(([^,()]+)(.*)\)", re.DOTALL)
_LONGEST = 60
_MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """What brought a size or an element type in: `linear(512)`, or the declaration of an input."""

    what: str  # the size or dtype
    span: Span

    def note(self, context: Context) -> str:
        """A sentence about it, with what its names stand for."""
        place = f"`{_shown(self.span)}` ({self.span})"
        names = _names(context, self.span)
        own = next((name for name, value in names if str(value) == self.what), None)
        if own is not None:
            declared = _declaration(context, own, self.what)
            return f"{self.what} is `{own}` in {place}{declared}"
        given = [f"`{name}` is {value}" for name, value in names[:_MAX_NAMES]]
        return f"{self.what} comes from {place}{', where ' if given else ''}{' and '.join(given)}"


def size_origin(context: Context, value: Any, size: str) -> Origin | None:
    """Where `value` has this size from, or None where only the library could say."""
    return _origin(context, value, size, lambda other: any(str(one) == size for one in other.type.shape))


def dtype_origin(context: Context, value: Any, dtype: str) -> Origin | None:
    """Where `value` has its element type from, or None where only the library could say."""
    return _origin(context, value, dtype, lambda other: other.type.dtype == dtype)


def mismatch_origin(context: Context, mismatch: Mismatch, value: Any, what: str) -> Origin | None:
    """Where `value` has the size or element type from that disagrees; of numbers of dimensions nothing is known."""
    origin_of = {"size": size_origin, "dtype": dtype_origin}.get(mismatch.kind)
    return None if origin_of is None else origin_of(context, value, what)


def mismatch_notes(context: Context, mismatch: Mismatch, expected: Any, found: Any) -> list[str]:
    """Where the two sizes or element types come from that disagree, as far as the user's own files say it."""
    origins = (
        mismatch_origin(context, mismatch, expected, mismatch.expected),
        mismatch_origin(context, mismatch, found, mismatch.found),
    )
    return [origin.note(context) for origin in origins if origin is not None]


def where_whole(mismatch: Mismatch, *shapes: Sequence[DimPattern]) -> str | None:
    """A help text where only a division that rounds down keeps the two sizes apart, each one of these shapes'."""
    sizes = {str(size): size for shape in shapes for size in shape if isinstance(size, int | Dim)}
    expected, found = sizes.get(mismatch.expected), sizes.get(mismatch.found)
    return None if expected is None or found is None else where_multiples([(expected, found)])


def alike(one: Origin | None, other: Origin | None) -> str | None:
    """A help text where two calls differ only in what they are given first: `linear(d)` and `linear(512)`."""
    calls = [_CALL.fullmatch(origin.span.text) for origin in (one, other) if origin is not None]
    if len(calls) < 2 or calls[0] is None or calls[1] is None or one is None:
        return None
    same = calls[0][1] == calls[1][1] and calls[0][3] == calls[1][3] and calls[0][2] != calls[1][2]
    return f"`{one.span.text}` in both places makes both {one.what}" if same else None


def _origin(context: Context, value: Any, what: str, has: Callable[[Value], bool]) -> Origin | None:
    """Goes back from `value` through calls as long as one of their tensors has the property already."""
    seen: set[Value] = set()
    while isinstance(value, Value) and has(value) and value not in seen:
        seen.add(value)
        earlier = next((x for x in _made_of(context, value) if has(x) and not _is_number(context, x)), None)
        if earlier is None:
            span = context.origin(value)
            return Origin(what, span) if span is not None and not is_library(span) else None
        value = earlier
    return None


def _made_of(context: Context, value: Value) -> tuple[Value, ...]:
    """The tensors that `value` was computed from, in the eyes of the user: those of the call that made it."""
    made = context.made.get(value)
    if made is not None:
        return made.tensors
    producer = context.builder.producer(value)
    return producer.inputs if producer is not None else ()


def _is_number(context: Context, value: Value) -> bool:
    return context.builder.constant_value(value) is not None and not value.type.rank


def _shown(span: Span) -> str:
    """The text of a place on one line: of a parameter or state, what stands before `~`."""
    text = " ".join(span.text.partition(" ~ ")[0].split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _names(context: Context, span: Span) -> list[tuple[str, Any]]:
    """The names in the text of a place that stand for sizes, with those sizes."""
    frame = next((frame for frame in reversed(context.frames) if frame.holds(span)), None)
    if frame is None or frame.environment is None:
        return []
    found: dict[str, Any] = {}
    for name in _WORD.findall(_shown(span)):
        try:
            value = frame.environment.get(name)
        except KeyError:
            continue
        if is_size(value) and str(value).partition("#")[0] != name:
            found[name] = value
    return list(found.items())


def _declaration(context: Context, name: str, value: str) -> str:
    """`, from d: int = 768 (file:3:24)` where a setting has this default."""
    for parameter in _settings(context):
        default = parameter.default
        if parameter.name == name and isinstance(default, syntax.Number) and str(default.value) == value:
            return f", from `{parameter.span.text}` ({parameter.span})"
    return ""


def _settings(context: Context) -> Iterator[syntax.Parameter]:
    for frame in reversed(context.frames):
        for definition in frame.definitions:
            is_train = isinstance(definition, syntax.Train)
            yield from definition.parameters if is_train else split_parameters(definition)[0]
