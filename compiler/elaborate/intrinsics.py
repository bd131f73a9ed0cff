"""Functions that only the compiler can compute: random draws, which need a site each, sizes, and derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Size
from netlang.source import Span
from netlang.types import TensorType

from ..ir import Value
from .arguments import Arguments
from .axis_patterns import rearrange
from .context import Context
from .differentiation import grad, jvp, vjp
from .numbers import require_fit
from .opcalls import require_sizes
from .values import DType, Intrinsic, describe, is_size


def identity(context: Context, arguments: Arguments) -> Any:
    """Returns what it is given."""
    values = [value for value, _ in arguments.positional]
    if not values or arguments.keywords:
        raise fail("missing-argument", "`identity` takes a value", arguments.span, help="write `identity(x)`")
    return values[0] if len(values) == 1 else tuple(values)


def sizes(context: Context, arguments: Arguments) -> tuple[Size, ...]:
    """`sizes(x)`: the sizes of the dimensions of a tensor, as a list."""
    if len(arguments.positional) == 1 and not arguments.keywords:
        value, span = arguments.positional[0]
        if isinstance(value, Value):
            return value.type.shape
        raise fail("not-a-tensor", "`sizes` takes a tensor", span, describe(value))
    raise fail("missing-argument", "`sizes` takes one tensor", arguments.span, help="write `sizes(x)`")


def product(context: Context, arguments: Arguments) -> Size:
    """The product of a list of sizes, such as a pack."""
    result: Size = 1
    for value, span in arguments.positional:
        for item in value if isinstance(value, tuple) else (value,):
            if not is_size(item):
                raise fail("type-mismatch", "`product` takes sizes", span, describe(item))
            result = result * item
    return result


def rank(context: Context, arguments: Arguments) -> int:
    """The number of dimensions of a tensor, or the length of a list."""
    if len(arguments.positional) == 1 and not arguments.keywords:
        value, _ = arguments.positional[0]
        if isinstance(value, Value):
            return value.type.rank
        if isinstance(value, tuple):
            return len(value)
    raise fail("type-mismatch", "`rank` takes one tensor or list", arguments.span)


def as_logits(context: Context, arguments: Arguments) -> Value:
    """`as_logits(x)`: x; an error where it comes from `softmax` or `sigmoid`, which the loss around applies itself."""
    if len(arguments.positional) != 1 or arguments.keywords or not isinstance(arguments.positional[0][0], Value):
        raise fail("not-a-tensor", "`as_logits` takes a tensor", arguments.span)
    value = arguments.positional[0][0]
    made = context.builder.producer(value)
    while made is not None and made.op in _KEEP_KIND:
        made = context.builder.producer(made.inputs[0])
    if made is not None and made.op in _TO_PROBABILITIES:
        word, loss = made.op, context.frame.name
        raise fail("not-logits", f"`{loss}` takes logits, and these have been through `{word}`", arguments.span,
                   help=f"leave the `{word}` out: `{loss}` makes probabilities of logits itself")  # fmt: skip
    return value


_TO_PROBABILITIES = frozenset({"softmax", "sigmoid"})
_KEEP_KIND = frozenset({"cast", "concat", "expand", "reshape", "slice", "split", "squeeze", "transpose"})


def uniform(context: Context, arguments: Arguments) -> Value:
    """`uniform(n, m, seed = …)`: f32 numbers uniform in (0, 1), never 0 or 1."""
    shape, given = _shape(arguments)
    return _uniform(context, shape, given, arguments)


def uniform_like(context: Context, arguments: Arguments) -> Value:
    """`uniform_like(x)`: uniform numbers of the shape of `x`."""
    shape, given = _shape_of_tensor(arguments)
    return _uniform(context, shape, given, arguments)


def normal(context: Context, arguments: Arguments) -> Value:
    """`normal(n, m, seed = …)`: f32 numbers of the standard normal distribution."""
    shape, given = _shape(arguments)
    return _normal(context, shape, given, arguments)


def normal_like(context: Context, arguments: Arguments) -> Value:
    """`normal_like(x)`: standard normal numbers of the shape of `x`."""
    shape, given = _shape_of_tensor(arguments)
    return _normal(context, shape, given, arguments)


def bernoulli_like(context: Context, arguments: Arguments) -> Value:
    """`bernoulli_like(x, p)`: f32 ones with probability `p`, zeros otherwise, of the shape of `x`."""
    if len(arguments.positional) != 2:
        raise fail("missing-argument", "`bernoulli_like` takes a tensor and a probability", arguments.span,
                   help="write `bernoulli_like(x, 0.5)`")  # fmt: skip
    p, span = arguments.positional.pop()
    if not isinstance(p, int | float) or isinstance(p, bool) or not 0 <= p <= 1:
        raise fail("bad-value", "a probability is a number from 0 to 1", span, describe(p))
    shape, given = _shape_of_tensor(arguments)
    bits = _draw(context, shape, given, arguments)
    threshold = min(round(p * 2.0**32) - 2**31, 2**31 - 1)
    b = context.builder
    with b.at(arguments.span):
        return b.cast(b.less(bits, threshold), dtype="f32")


def _shape(arguments: Arguments, what: str = "a random draw") -> tuple[tuple[Size, ...], dict[str, tuple[Any, Span]]]:
    shape: list[Size] = []
    for value, span in arguments.positional:
        for item in value if isinstance(value, tuple) else (value,):
            if not is_size(item):
                help = _SIZES if what == _FILLED else _LIKE if isinstance(item, Value) else _SCALED
                raise fail(
                    "type-mismatch", f"{what} takes the sizes of its dimensions", span, describe(item), help=help
                )
            require_sizes((item,), what, span)
            shape.append(item)
    return tuple(shape), dict(arguments.keywords)


_FILLED = "a tensor of one number"
_SIZES = "the sizes of `x: f32[n, d]` are `n` and `d`: `zeros(n, d)`"
_LIKE = "`normal_like(x)` and `uniform_like(x)` draw as many numbers as a tensor has"
_SCALED = "`mean + deviation * normal(n, m)` has another mean and deviation than 0 and 1"
_KEYWORDS = {
    **dict.fromkeys(("std", "mean", "loc", "scale", "low", "high"), _SCALED),
    **dict.fromkeys(("size", "shape"), "sizes stand alone: `normal(n, m)`"),
}


def _shape_of_tensor(arguments: Arguments) -> tuple[tuple[Size, ...], dict[str, tuple[Any, Span]]]:
    if len(arguments.positional) != 1 or not isinstance(arguments.positional[0][0], Value):
        raise fail("not-a-tensor", "draws in the shape of a tensor take that tensor", arguments.span,
                   help="`normal(n, m)` and `uniform(n, m)` take sizes")  # fmt: skip
    return arguments.positional[0][0].type.shape, dict(arguments.keywords)


def _uniform(
    context: Context, shape: tuple[Size, ...], given: dict[str, tuple[Any, Span]], arguments: Arguments
) -> Value:
    b = context.builder
    with b.at(arguments.span):
        bits = b.cast(_draw(context, shape, given, arguments), dtype="f32")
        return b.add(b.mul(bits, 2.0**-32 * (1 - 2.0**-23)), 0.5)  # the factor keeps both ends out, in f32 too


def _normal(
    context: Context, shape: tuple[Size, ...], given: dict[str, tuple[Any, Span]], arguments: Arguments
) -> Value:
    """Box & Muller 1958."""
    b = context.builder
    radius = _uniform(context, shape, dict(given), arguments)
    angle = _uniform(context, shape, dict(given), arguments)
    with b.at(arguments.span):
        return b.mul(b.sqrt(b.mul(b.log(radius), -2.0)), b.cos(b.mul(angle, 2 * math.pi)))


def _draw(context: Context, shape: tuple[Size, ...], given: dict[str, tuple[Any, Span]], arguments: Arguments) -> Value:
    """Random i32 numbers: a new draw each step, equal for equal seed, step and place in the program."""
    b = context.builder
    seed, span = given.pop("seed", (None, arguments.span))
    for name, (_, place) in given.items():
        raise fail(
            "unknown-argument", f"random draws have no `{name}`", place, help=_KEYWORDS.get(name, "they have `seed`")
        )
    with b.at(arguments.span):
        if seed is None:
            key, step = context.run_input("seed"), context.run_input("step")
        elif isinstance(seed, Value) and seed.type == TensorType("i64"):
            key, step = seed, b.constant(0, "i64")
        elif isinstance(seed, int) and not isinstance(seed, bool):
            key, step = b.constant(seed, "i64"), b.constant(0, "i64")
        else:
            raise fail("type-mismatch", "a seed is a whole number: i64", span, describe(seed))
        for depth, region in enumerate(context.regions):
            if region.round is not None:  # every round draws numbers of its own
                done = b.mul(b.add(region.round(), 1), _ROUNDS[depth % len(_ROUNDS)])
                key = b.add(key, done)
        site = context.random_site()
        first = context.run_input("first") if site in context.row_sites else b.constant(0, "i64")
        return b.random_bits(key, step, first, shape=shape, site=site)


_ROUNDS = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F
"""Factors of the numbers of rounds, for iterations inside each other; well mixed, as in MurmurHash3 and xxHash."""


def zeros(context: Context, arguments: Arguments) -> Value:
    """`zeros(n, m)`: a tensor of zeros, f32."""
    return _constant(context, arguments, 0.0)


def ones(context: Context, arguments: Arguments) -> Value:
    """`ones(n, m)`: a tensor of ones, f32."""
    return _constant(context, arguments, 1.0)


def _constant(context: Context, arguments: Arguments, value: float) -> Value:
    shape, given = _shape(arguments, _FILLED)
    for name, (_, place) in given.items():
        raise fail("unknown-argument", f"there is no `{name}` here", place, help="`zeros` and `ones` take sizes")
    with context.builder.at(arguments.span):
        return context.builder.full(shape=shape, value=value)


def tensor(context: Context, arguments: Arguments) -> Value:
    """`tensor([[1, 2], [3, 4]])`: a constant of these numbers, f32 or i64; another element type stands behind them."""
    if not 1 <= len(arguments.positional) <= 2 or arguments.keywords:
        raise fail("missing-argument", "`tensor` takes a list of numbers", arguments.span,
                   help="write `tensor([0.5, 2])`, or `tensor([1, 2], i32)`")  # fmt: skip
    (items, span), *rest = arguments.positional
    dtype = rest[0][0] if rest else None
    if dtype is not None and not isinstance(dtype, DType):
        raise fail("type-mismatch", "behind its numbers `tensor` takes an element type", rest[0][1], describe(dtype))
    try:
        array = np.array(items)
    except ValueError:
        raise fail("shape-mismatch", "the rows of a tensor are of one length", span) from None
    if array.dtype.kind not in "biuf":
        raise fail("type-mismatch", "`tensor` takes numbers or truth values", span, describe(items))
    natural = {"b": "bool", "f": "f32"}.get(array.dtype.kind, "i64")
    name = dtype.name if dtype is not None else natural
    if array.size:
        fractions = array[array != np.floor(array)] if array.dtype.kind == "f" else array
        for number in (*fractions.flat[:1], array.min(), array.max()):
            require_fit(number.item(), name, span)
    with context.builder.at(arguments.span):
        return context.builder.constant(array, name)


INTRINSICS: dict[str, Intrinsic] = {
    function.__name__: Intrinsic(function.__name__, function)
    for function in (
        identity,
        sizes,
        product,
        rearrange,
        rank,
        as_logits,
        uniform,
        uniform_like,
        normal,
        normal_like,
        bernoulli_like,
        zeros,
        ones,
        tensor,
        grad,
        vjp,
        jvp,
    )
}
