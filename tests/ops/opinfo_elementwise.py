"""Operators that work element by element. As PyTorch's samples use them."""

from __future__ import annotations

from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, composed, refuse_if


def _unary(name: str, **attrs: Any) -> Adapter:
    def adapter(x: torch.Tensor, **kwargs: Any) -> Use:
        refuse_if(set(kwargs) - {"inplace"}, "options")
        return Use((x,), lambda b, x: getattr(b, name)(x, **attrs))

    return adapter


def _with(name: str, **renamed: str) -> Adapter:
    """One tensor, and numbers that are attributes: `_with("elu", alpha="alpha")`."""

    def adapter(x: torch.Tensor, *args: Any, **kwargs: Any) -> Use:
        given = dict(zip(renamed, args, strict=False)) | {k: v for k, v in kwargs.items() if k != "inplace"}
        refuse_if(set(given) - set(renamed), f"options {sorted(set(given) - set(renamed))}")
        attrs = {renamed[key]: value for key, value in given.items()}
        return Use((x,), lambda b, x: getattr(b, name)(x, **attrs))

    return adapter


def _binary(name: str, *, swapped: bool = False, scaled: bool = False) -> Adapter:
    """Two tensors, or a tensor and a number."""

    def adapter(x: torch.Tensor, y: Any, *, alpha: float = 1, **kwargs: Any) -> Use:
        refuse_if(set(kwargs) - {"rounding_mode"} or kwargs.get("rounding_mode"), "a rounding mode")
        refuse_if(alpha != 1 and not scaled, "alpha")
        tensors = (x, y) if isinstance(y, torch.Tensor) else (x,)
        refuse_if(len({t.dtype for t in tensors}) > 1, "operands of two dtypes")
        refuse_if(isinstance(y, complex), "complex numbers")

        def build(b: Builder, x: Value, y: Any = y) -> Value:
            first, second = (y, x) if swapped else (x, y)
            if alpha != 1:
                second = b.mul(second, alpha) if isinstance(second, Value) else alpha * second
            return getattr(b, name)(first, second)

        return Use(tensors, build)

    return adapter


def _clamp(x: torch.Tensor, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None) -> Use:
    low, high = min if low is None else low, max if high is None else high
    bounds = [bound for bound in (low, high) if bound is not None]
    if not any(isinstance(bound, torch.Tensor) for bound in bounds):
        return Use((x,), lambda b, x: b.clip(x, low=low, high=high))
    bounds = [torch.as_tensor(bound).to(x.dtype) for bound in bounds]
    if len(bounds) == 2:
        return Use((x, *bounds), lambda b, x, low, high: b.clamp(x, low, high))
    name = "maximum" if low is not None else "minimum"
    return Use((x, *bounds), lambda b, x, bound: getattr(b, name)(x, bound))


def _where(x: torch.Tensor, condition: torch.Tensor, y: torch.Tensor) -> Use:
    refuse_if(x.dtype != y.dtype, "operands of two dtypes")
    return Use((condition, x, y), lambda b, c, x, y: b.select(c, x, y))


def _masked_fill(x: torch.Tensor, mask: torch.Tensor, value: Any) -> Use:
    refuse_if(isinstance(value, torch.Tensor) and value.dtype != x.dtype, "operands of two dtypes")
    tensors = (x, mask, value) if isinstance(value, torch.Tensor) else (x, mask)
    return Use(tensors, lambda b, x, mask, value=value: b.select(mask, value, x))


def _reverse_pow(x: torch.Tensor, base: Any) -> Use:
    refuse_if(
        bool((torch.as_tensor(base) <= 0).any()), "a base below 0, where the exponent's gradient is 0 here, NaN there"
    )
    return _binary("pow", swapped=True)(x, base)


def _lerp(x: torch.Tensor, end: torch.Tensor, weight: Any) -> Use:
    tensors = (x, end, weight) if isinstance(weight, torch.Tensor) else (x, end)
    return Use(tensors, lambda b, x, end, weight=weight: b.add(x, b.mul(b.sub(end, x), weight)))


def _addc(name: str) -> Adapter:
    def adapter(x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, *, value: float = 1) -> Use:
        return Use((x, first, second), lambda b, x, u, v: b.add(x, b.mul(getattr(b, name)(u, v), float(value))))

    return adapter


def _prelu(x: torch.Tensor, weight: torch.Tensor) -> Use:
    shape = (1, -1) if x.dim() > 1 and weight.numel() > 1 else None
    sizes = (weight.numel(), *(1,) * max(0, x.dim() - 2)) if shape else (1,) * min(1, x.dim())
    return Use((x, weight), lambda b, x, w: b.prelu(x, b.reshape(w, shape=sizes)))


def _threshold(x: torch.Tensor, threshold: float, value: float, inplace: bool = False) -> Use:
    if value == 0:
        return Use((x,), lambda b, x: b.thresholded_relu(x, alpha=float(threshold)))
    return Use((x,), lambda b, x: b.select(b.greater(x, float(threshold)), x, float(value)))


def _softplus(x: torch.Tensor, beta: float = 1, threshold: float = 20) -> Use:
    def build(b: Builder, x: Value) -> Value:
        scaled = b.mul(x, float(beta))
        return b.select(b.greater(scaled, float(threshold)), x, b.div(b.softplus(scaled), float(beta)))

    return Use((x,), build)


def _gelu(x: torch.Tensor, *, approximate: str = "none") -> Use:
    return Use((x,), lambda b, x: b.gelu_tanh(x) if approximate == "tanh" else b.gelu(x))


def _glu(x: torch.Tensor, dim: int = -1) -> Use:
    def build(b: Builder, x: Value) -> Value:
        first, second = b.split(x, parts=2, axis=dim)
        return b.mul(first, b.sigmoid(second))

    return Use((x,), build)


FUNCTIONS = (
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "floor", "log"),
    *("neg", "reciprocal", "sigmoid", "sign", "sin", "sinh", "sqrt", "tan", "tanh"),
)
ACTIVATIONS = ("relu", "selu", "mish", "softsign", "hardsigmoid", "hardswish", "silu")

COUNTERPARTS: dict[str, Adapter] = {
    **{name: _unary(name) for name in FUNCTIONS},
    **{f"nn.functional.{name}": _unary(name) for name in ACTIVATIONS},
    "square": composed(lambda b, x: b.mul(x, x)),
    "rsqrt": composed(lambda b, x: b.reciprocal(b.sqrt(x))),
    "log1p": composed(lambda b, x: b.log(b.add(x, 1.0))),
    "expm1": composed(lambda b, x: b.sub(b.exp(x), 1.0)),
    "exp2": composed(lambda b, x: b.pow(2.0, x)),
    "erfc": composed(lambda b, x: b.sub(1.0, b.erf(x))),
    "nn.functional.logsigmoid": composed(lambda b, x: b.neg(b.softplus(b.neg(x)))),
    "nn.functional.tanhshrink": composed(lambda b, x: b.sub(x, b.tanh(x))),
    "nn.functional.relu6": lambda x, inplace=False: Use((x,), lambda b, x: b.clip(x, low=0.0, high=6.0)),
    "nn.functional.leaky_relu": _with("leaky_relu", negative_slope="slope"),
    "nn.functional.elu": _with("elu", alpha="alpha"),
    "nn.functional.celu": _with("celu", alpha="alpha"),
    "nn.functional.hardtanh": lambda x, min_val=-1.0, max_val=1.0: _clamp(x, min_val, max_val),
    "nn.functional.hardshrink": _with("shrink", lambd="threshold"),
    "nn.functional.softshrink": lambda x, lambd=0.5: Use((x,), lambda b, x: b.shrink(x, threshold=lambd, bias=lambd)),
    "nn.functional.threshold": _threshold,
    "nn.functional.softplus": _softplus,
    "nn.functional.gelu": _gelu,
    "nn.functional.glu": _glu,
    "nn.functional.prelu": _prelu,
    "add": _binary("add", scaled=True),
    "sub": _binary("sub", scaled=True),
    "mul": _binary("mul"),
    "div.no_rounding_mode": _binary("div"),
    "true_divide": _binary("div"),
    "pow": _binary("pow"),
    "__radd__": _binary("add"),
    "__rmul__": _binary("mul"),
    "__rsub__": _binary("sub", swapped=True),
    "__rdiv__": _binary("div", swapped=True),
    "__rpow__": _reverse_pow,
    "rsub": _binary("sub", swapped=True, scaled=True),
    "maximum": _binary("maximum"),
    "minimum": _binary("minimum"),
    "max.binary": _binary("maximum"),
    "min.binary": _binary("minimum"),
    "fmod": _binary("fmod"),
    "remainder": _binary("mod"),
    "clamp": _clamp,
    "where": _where,
    "masked_fill": _masked_fill,
    "lerp": _lerp,
    "addcmul": _addc("mul"),
    "addcdiv": _addc("div"),
}
"""By the name of the OpInfo, with its variant after a dot."""
