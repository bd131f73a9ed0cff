"""Functions of one or two numbers that ONNX has no operator for, composed. As PyTorch's samples use them."""

from __future__ import annotations

import math
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, composed, refuse_if


def _truncated(b: Builder, x: Value) -> Value:
    return b.select(b.less(x, 0.0), b.ceil(x), b.floor(x))


def _rounded(x: torch.Tensor, *, decimals: int = 0) -> Use:
    """Without the gradient that ours passes through (the straight-through estimator); PyTorch's is 0."""
    scale = 10.0 ** abs(decimals)

    def build(b: Builder, x: Value) -> Value:
        x = b.stop_gradient(x)
        if decimals < 0:
            return b.mul(b.round(b.div(x, scale)), scale)
        return b.div(b.round(b.mul(x, scale)), scale)

    return Use((x,), build)


def _divided(x: torch.Tensor, y: torch.Tensor, *, rounding_mode: str) -> Use:
    if rounding_mode == "floor":
        return Use((x, y), lambda b, x, y: b.floor_divide(x, y))
    return Use((x, y), lambda b, x, y: _truncated(b, b.div(x, y)))


def _atan2(b: Builder, y: Value, x: Value) -> Value:
    half_turn = b.select(b.less(y, 0.0), -math.pi, b.full(shape=(), value=math.pi))
    return b.add(b.atan(b.div(y, x)), b.select(b.less(x, 0.0), half_turn, 0.0))


def _with_sign(x: torch.Tensor, y: Any) -> Use:
    tensors = (x, y) if isinstance(y, torch.Tensor) else (x,)

    def build(b: Builder, x: Value, y: Any = y) -> Value:
        sign = b.select(b.less(y, 0.0), -1.0, b.full(shape=(), value=1.0)) if isinstance(y, Value) else y / abs(y)
        return b.mul(b.abs(x), sign)

    return Use(tensors, build)


def _float_power(x: torch.Tensor, y: Any) -> Use:
    refuse_if(bool((x <= 0).any()), "a base below 0, where the exponent's gradient is 0 here, NaN there")
    tensors = (x, y) if isinstance(y, torch.Tensor) else (x,)

    def build(b: Builder, x: Value, y: Any = y) -> Value:
        return b.pow(b.cast(x, dtype="f64"), b.cast(y, dtype="f64") if isinstance(y, Value) else float(y))

    return Use(tensors, build)


def log_sum(b: Builder, x: Value, y: Value) -> Value:
    """log(eˣ + eʸ)."""
    return b.add(x, b.softplus(b.sub(y, x)))


def _log_sum_2(b: Builder, x: Value, y: Value) -> Value:
    """The same to the base 2."""
    return b.div(log_sum(b, b.mul(x, math.log(2)), b.mul(y, math.log(2))), math.log(2))


def _x_log(b: Builder, x: Value, y: Value) -> Value:
    """x log(y), 0 where x is 0."""
    return b.select(b.equal(x, 0.0), 0.0, b.mul(x, b.log(y)))


def _entropy(x: torch.Tensor) -> Use:
    refuse_if(bool((x < 0).any()), "numbers below 0, where the gradient is -∞ times 0 here, NaN there")

    def build(b: Builder, x: Value) -> Value:
        return b.neg(_x_log(b, x, x))

    return Use((x,), build)


def _sinc(b: Builder, x: Value) -> Value:
    angle = b.mul(b.select(b.equal(x, 0.0), 1.0, x), math.pi)
    return b.select(b.equal(x, 0.0), 1.0, b.div(b.sin(angle), angle))


def _logit(x: torch.Tensor, eps: Any = None) -> Use:
    def build(b: Builder, x: Value) -> Value:
        x = x if eps is None else b.clip(x, low=eps, high=1 - eps)
        return b.log(b.div(x, b.sub(1.0, x)))

    return Use((x,), build)


def _normal_distribution(b: Builder, x: Value) -> Value:
    return b.mul(b.add(b.erf(b.mul(x, math.sqrt(0.5))), 1.0), 0.5)


def _mantissa(b: Builder, x: Value) -> Value:
    """x without its exponent, which its bits hold: 0.5 up to 1."""
    bits = b.bitwise_right_shift(b.bit_cast(x, dtype="u32"), b.constant(23, "u32"))
    exponent = b.bitwise_and(bits, b.constant(255, "u32"))
    return b.mul(x, b.pow(2.0, b.sub(126.0, b.cast(exponent, dtype="f32"))))


def _next(b: Builder, x: Value, y: Value) -> Value:
    """The number after x in the format, towards y; the bits of a number count away from 0."""
    one = b.full(shape=(), value=1, dtype="i32")
    away = b.select(b.equal(b.greater(y, x), b.greater(x, 0.0)), one, b.neg(one))
    found = b.bit_cast(b.add(b.bit_cast(x, dtype="i32"), away), dtype="f32")
    return b.add(x, b.stop_gradient(b.sub(b.select(b.equal(x, y), x, found), x)))


def _finite(b: Builder, x: Value) -> Value:
    largest = torch.finfo(torch.float32).max
    return b.clip(b.select(b.is_nan(x), 0.0, x), low=-largest, high=largest)


def _cast(dtype: str) -> Adapter:
    return lambda x, **_: Use((x,), lambda b, x: b.cast(x, dtype=dtype))


def _to(x: torch.Tensor, *args: Any, **_: Any) -> Use:
    dtype = next((arg for arg in args if isinstance(arg, torch.dtype)), x.dtype)
    other = next((arg for arg in args if isinstance(arg, torch.Tensor)), None)
    wide = (dtype if other is None else other.dtype) == torch.float64
    return Use((x,), lambda b, x: b.cast(x, dtype="f64" if wide else "f32"))


def _filled(x: torch.Tensor, value: float = 0.0) -> Use:
    return Use((x,), lambda b, x: b.full(shape=x.type.shape, value=float(value)))


def _dropout(trains: bool) -> Adapter:
    """Where nothing is left to chance."""

    def adapter(x: torch.Tensor, p: float = 0.5, training: bool = trains, **_: Any) -> Use:
        refuse_if(training and 0 < p < 1, "random numbers")
        factor = float(not training or p == 0)
        return Use((x,), lambda b, x: b.mul(x, factor))

    return adapter


def _random_leaky(x: torch.Tensor, *, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Use:
    refuse_if(training, "random numbers")
    return Use((x,), lambda b, x: b.leaky_relu(x, slope=(lower + upper) / 2))


def _same(x: torch.Tensor) -> Use:
    return Use((x,), lambda b, x: x)


SAME = ("clone", "contiguous", "positive", "conj", "conj_physical", "resolve_conj", "resolve_neg", "alias_copy", "real")
"""What leaves real numbers as they are."""

COUNTERPARTS: dict[str, Adapter] = {
    **dict.fromkeys(SAME, _same),
    "round": _rounded,
    "round.decimals_0": _rounded,
    "round.decimals_3": _rounded,
    "round.decimals_neg_3": _rounded,
    "trunc": composed(_truncated),
    "frac": composed(lambda b, x: b.sub(x, _truncated(b, x))),
    "div.trunc_rounding": _divided,
    "div.floor_rounding": _divided,
    "__rmod__": composed(lambda b, x, y: b.mod(y, x)),
    "clamp_min": composed(lambda b, x, y: b.maximum(x, y)),
    "clamp_max": composed(lambda b, x, y: b.minimum(x, y)),
    "fmax": composed(lambda b, x, y: b.maximum(x, y)),
    "fmin": composed(lambda b, x, y: b.minimum(x, y)),
    "sgn": composed(lambda b, x: b.sign(x)),
    "copysign": _with_sign,
    "nan_to_num": composed(_finite),
    "deg2rad": composed(lambda b, x: b.mul(x, math.pi / 180)),
    "rad2deg": composed(lambda b, x: b.mul(x, 180 / math.pi)),
    "log2": composed(lambda b, x: b.div(b.log(x), math.log(2))),
    "log10": composed(lambda b, x: b.div(b.log(x), math.log(10))),
    "atan2": composed(_atan2),
    "hypot": composed(lambda b, x, y: b.sqrt(b.add(b.mul(x, x), b.mul(y, y)))),
    "float_power": _float_power,
    "frexp": composed(_mantissa),
    "nextafter": composed(_next),
    "ldexp": composed(lambda b, x, y: b.mul(x, b.pow(2.0, y))),
    "logaddexp": composed(log_sum),
    "logaddexp2": composed(_log_sum_2),
    "xlogy": composed(_x_log),
    "special.xlog1py": composed(lambda b, x, y: _x_log(b, x, b.add(y, 1.0))),
    "special.entr": _entropy,
    "special.ndtr": composed(_normal_distribution),
    "sinc": composed(_sinc),
    "logit": _logit,
    "double": _cast("f64"),
    "float": _cast("f32"),
    "half": _cast("f16"),
    "to": _to,
    "fill": _filled,
    "zero_": _filled,
    **{f"nn.functional.dropout{axes}": _dropout(True) for axes in ("", "2d", "3d")},
    "nn.functional.alpha_dropout": _dropout(False),
    **{f"nn.functional.feature_alpha_dropout.{use}": _dropout(False) for use in ("with_train", "without_train")},
    "nn.functional.rrelu": _random_leaky,
    "native_dropout_backward": lambda g, mask, scale: Use(
        (g, mask), lambda b, g, mask: b.mul(g, b.mul(b.cast(mask, dtype="f32"), scale))
    ),
}
"""By the name of the OpInfo, with its variant after a dot."""
