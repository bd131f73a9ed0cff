"""Functions of two tensors, element by element, broadcasting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netlang.types import FLOATS

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

_INTEGERS = np.array([7, -7, 7, -7, 6, -6, 0])
_DIVISORS = np.array([3, 3, -3, -3, 3, 3, -3])
_SEVENS = np.array([7.5, -7.5, 7.5, -7.5, 6.0, -6.0, 0.0], np.float32)
_THREES = _DIVISORS.astype(np.float32)


def _div_vjp(b: Builder, g: Value, y: Value, x: Value, d: Value) -> tuple[Value, Value]:
    share = b.div(g, d)
    return share, b.neg(b.mul(share, y))


def _pow_vjp(b: Builder, g: Value, y: Value, x: Value, p: Value) -> tuple[Value, Value | None]:
    exponent = b.constant_value(p)
    slope = b.mul(g, b.mul(p, b.pow(x, b.sub(p, 1.0))))
    if exponent is None or not exponent.all():
        slope = b.select(b.equal(p, 0.0), 0.0, slope)  # x⁰ is 1 for every x, though p xᵖ⁻¹ is 0 · ∞ at x = 0
    if exponent is not None:
        return slope, None
    positive = b.greater(x, 0.0)
    logarithm = b.log(b.select(positive, x, 1.0))
    return slope, b.mul(g, b.select(positive, b.mul(y, logarithm), 0.0))


def _extremum_vjp(b: Builder, g: Value, first: Value, both: Value) -> tuple[Value, Value]:
    """The gradients where `first` says that x is the result, and `both` that x or, in a tie, x and y are."""
    dtype = g.type.dtype
    weight = b.mul(b.add(b.cast(first, dtype=dtype), b.cast(both, dtype=dtype)), 0.5)
    share = b.mul(g, weight)
    return share, b.sub(g, share)


def _mod_vjp(b: Builder, g: Value, y: Value, x: Value, d: Value) -> tuple[Value, Value]:
    return g, b.neg(b.mul(g, b.floor_divide(x, d)))


def _truncated_divide_numpy(x: np.ndarray, d: np.ndarray) -> np.ndarray:
    return np.floor_divide(x - np.fmod(x, d), d)


def _fmod_vjp(b: Builder, g: Value, y: Value, x: Value, d: Value) -> tuple[Value, Value]:
    return g, b.neg(b.mul(g, b.stop_gradient(b.div(b.sub(x, y), d))))


def _clamp_body(b: Builder, x: Value, low: Value, high: Value) -> Value:
    raised = b.select(b.less(x, low), low, x)
    return b.select(b.greater(raised, high), high, raised)


def _mod_onnx(e: Emitter, node: Node, x: str, d: str) -> str:
    dtype = node.inputs[0].type.dtype
    if dtype not in FLOATS:
        return e.node("Mod", x, d)
    remainder = e.node("Mod", x, d, fmod=1)  # has the sign of x
    zero = e.constant(np.zeros((), numpy_dtype(dtype)))
    differ = e.node("Xor", e.node("Less", remainder, zero), e.node("Less", d, zero))
    wrong = e.node("And", differ, e.node("Not", e.node("Equal", remainder, zero)))
    return e.node("Where", wrong, e.node("Add", remainder, d), remainder)


def _floor_divide_onnx(e: Emitter, node: Node, x: str, d: str) -> str:
    quotient = e.node("Div", e.node("Sub", x, _mod_onnx(e, node, x, d)), d)
    return quotient if node.inputs[0].type.dtype not in FLOATS else e.node("Round", quotient)


OPERATORS: tuple[Op, ...] = (
    Op(
        "add(x: n[*B], y: n[*B]) -> n[*B]",
        doc="x + y.",
        numpy=np.add,
        vjp=lambda b, g, z, x, y: (g, g),
        onnx="Add",
        samples=(
            S((2, 3), (2, 3), torch=lambda x, y: x + y),
            S((2, 3), (3,), torch=lambda x, y: x + y),
            S((2, 1, 4), (3, 1), torch=lambda x, y: x + y),
            S((), (2, 2), torch=lambda x, y: x + y),
            S(np.array([1, 2]), np.array([3, -4]), torch=lambda x, y: x + y),
            Bad((2, 64), (32,), code="shape-mismatch"),
            Bad((2,), np.array([1, 2]), code="type-mismatch"),
        ),
    ),
    Op(
        "sub(x: n[*B], y: n[*B]) -> n[*B]",
        doc="x - y.",
        numpy=np.subtract,
        vjp=lambda b, g, z, x, y: (g, b.neg(g)),
        onnx="Sub",
        samples=(
            S((2, 3), (2, 3), torch=lambda x, y: x - y),
            S((3, 1), (2, 1, 4), torch=lambda x, y: x - y),
            S(np.array([1, 2]), np.array(3), torch=lambda x, y: x - y),
        ),
    ),
    Op(
        "mul(x: n[*B], y: n[*B]) -> n[*B]",
        doc="x y.",
        numpy=np.multiply,
        vjp=lambda b, g, z, x, y: (b.mul(g, y), b.mul(g, x)),
        onnx="Mul",
        samples=(
            S((2, 3), (2, 3), torch=lambda x, y: x * y),
            S((2, 3), (1,), torch=lambda x, y: x * y),
            S((3, 1), (2, 1, 4), torch=lambda x, y: x * y),
            S((2, 0), (0,), torch=lambda x, y: x * y),
            S(np.array([1, 2]), np.array([3, -4]), torch=lambda x, y: x * y),
        ),
    ),
    Op(
        "div(x: f[*B], y: f[*B]) -> f[*B]",
        doc="x / y.",
        numpy=np.divide,
        vjp=_div_vjp,
        onnx="Div",
        samples=(
            S((2, 3), (2, 3), torch=lambda x, y: x / y, positive=True),
            S((2, 3), (2, 1), torch=lambda x, y: x / y, positive=True),
            Bad(np.array([4]), np.array([2]), code="type-mismatch"),
        ),
    ),
    Op(
        "pow(x: f[*B], y: f[*B]) -> f[*B]",
        doc="x to the power y. The gradient of y is 0 where x is not positive; that of x is 0 where y is 0.",
        numpy=np.power,
        vjp=_pow_vjp,
        onnx="Pow",
        samples=(
            S((2, 3), (2, 3), torch=lambda x, y: x**y, positive=True),
            S((2, 3), np.array(3.0, np.float32), torch=lambda x, y: x**y, positive=True),
            S((3,), (2, 1), torch=lambda x, y: x**y, positive=True),
        ),
    ),
    Op(
        "maximum(x: n[*B], y: n[*B]) -> n[*B]",
        doc="The larger of x and y. In a tie each has half of the gradient.",
        numpy=np.maximum,
        vjp=lambda b, g, z, x, y: _extremum_vjp(b, g, b.greater(x, y), b.greater_equal(x, y)),
        onnx="Max",
        samples=(
            S((2, 3), (2, 3), torch=torch.maximum),
            S((2, 3), (2, 1), torch=torch.maximum),
            S(np.array([1, 5]), np.array([3, -4]), torch=torch.maximum),
        ),
    ),
    Op(
        "minimum(x: n[*B], y: n[*B]) -> n[*B]",
        doc="The smaller of x and y. In a tie each has half of the gradient.",
        numpy=np.minimum,
        vjp=lambda b, g, z, x, y: _extremum_vjp(b, g, b.less(x, y), b.less_equal(x, y)),
        onnx="Min",
        samples=(
            S((2, 3), (2, 3), torch=torch.minimum),
            S((3,), (2, 1), torch=torch.minimum),
            S(np.array([1, 5]), np.array([3, -4]), torch=torch.minimum),
        ),
    ),
    Op(
        "mod(x: n[*B], y: n[*B]) -> n[*B]",
        doc="x - y ⌊x / y⌋: the remainder, with the sign of y. The gradient of y is -⌊x / y⌋.",
        numpy=np.mod,
        vjp=_mod_vjp,
        onnx=_mod_onnx,
        samples=(
            S(_INTEGERS, _DIVISORS, torch=lambda x, y: x % y),
            S(_INTEGERS, np.array(4), torch=lambda x, y: x % y),
            S(_SEVENS, _THREES, torch=lambda x, y: x % y, differentiable=False),
            S(_SEVENS[:4], _THREES[:4], torch=lambda x, y: x % y),
        ),
    ),
    Op(
        "floor_divide(x: n[*B], y: n[*B]) -> n[*B]",
        doc="⌊x / y⌋, so that x is y floor_divide(x, y) + mod(x, y).",
        numpy=np.floor_divide,
        nondiff="constant between its steps",
        onnx=_floor_divide_onnx,
        samples=(
            S(_INTEGERS, _DIVISORS, torch=lambda x, y: x // y),
            S(_SEVENS, _THREES, torch=lambda x, y: x // y),
            S(np.array([1.0, 0.3], np.float32), np.array(0.1, np.float32), torch=lambda x, y: x // y),
        ),
    ),
    Op(
        "truncated_divide(x: i[*B], y: i[*B]) -> i[*B]",
        doc="The whole part of x / y: the quotient rounded towards 0.",
        numpy=_truncated_divide_numpy,
        nondiff="constant between its steps",
        onnx="Div",
        samples=(
            S(_INTEGERS, _DIVISORS, torch=lambda x, y: torch.div(x, y, rounding_mode="trunc")),
            S(_INTEGERS.astype(np.int32), np.array(4, np.int32)),
            Bad((2,), (2,), code="type-mismatch"),
        ),
    ),
    Op(
        "fmod(x: n[*B], y: n[*B]) -> n[*B]",
        doc="x - y trunc(x / y): the remainder, with the sign of x. The gradient of y is -trunc(x / y).",
        numpy=np.fmod,
        vjp=_fmod_vjp,
        onnx=lambda e, node, x, y: e.node("Mod", x, y, fmod=1),
        samples=(
            S(_INTEGERS, _DIVISORS, torch=torch.fmod),
            S(_SEVENS, _THREES, torch=torch.fmod, differentiable=False),
            S(_SEVENS[:4], _THREES[:4], torch=torch.fmod),
        ),
    ),
    Op(
        "clamp(x: f[*B], low: f[*B], high: f[*B]) -> f[*B]",
        doc="x limited to the closed interval from low to high, which are tensors; high where they cross. The gradient "
        "passes to the one that is the result, to x at the ends.",
        numpy=lambda x, low, high: np.minimum(np.maximum(x, low), high),
        body=_clamp_body,
        onnx=lambda e, node, x, low, high: e.node("Min", e.node("Max", x, low), high),
        samples=(
            S((2, 3), np.array(-0.5, np.float32), np.array(0.5, np.float32), torch=torch.clamp),
            S((2, 3), (3,), (2, 1), torch=torch.clamp),
        ),
    ),
)
