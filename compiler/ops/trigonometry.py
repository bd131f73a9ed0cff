"""Circular and hyperbolic functions and their inverses, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .reference import torch

if TYPE_CHECKING:
    from ..emit import Emitter
    from ..ir import Node

_INSIDE = np.array([-0.9, -0.5, 0.0, 0.25, 0.75], np.float32)
_ABOVE_ONE = np.array([1.1, 1.5, 3.0, 20.0], np.float32)
_NEAR_POLES = np.array([-1.5, -1.0, 0.0, 1.5, 4.7], np.float32)


def _cosh_onnx(e: Emitter, node: Node, x: str) -> str:
    """q + 1 / (4 q), where q is e^|x| / 2: an eighth of the time of ONNX Runtime's Cosh, and it has this in f64.

    The exponential is of |x| / 2, so that nothing overflows before the result does.
    """
    half, quarter = (e.constant(np.array(number, numpy_dtype(node.inputs[0].type.dtype))) for number in (0.5, 0.25))
    root = e.node("Exp", e.node("Mul", e.node("Abs", x), half))
    q = e.node("Mul", root, e.node("Mul", root, half))
    return e.node("Add", q, e.node("Div", quarter, q))


OPERATORS: tuple[Op, ...] = (
    Op(
        "sin(x: f[*s]) -> f[*s]",
        doc="Sine of an angle in radians.",
        numpy=np.sin,
        vjp=lambda b, g, y, x: (b.mul(g, b.cos(x)),),
        onnx="Sin",
        samples=(S((2, 3), torch=torch.sin),),
    ),
    Op(
        "cos(x: f[*s]) -> f[*s]",
        doc="Cosine of an angle in radians.",
        numpy=np.cos,
        vjp=lambda b, g, y, x: (b.neg(b.mul(g, b.sin(x))),),
        onnx="Cos",
        samples=(S((2, 3), torch=torch.cos),),
    ),
    Op(
        "tan(x: f[*s]) -> f[*s]",
        doc="Tangent of an angle in radians.",
        numpy=np.tan,
        # A third of the time of ONNX Runtime's Tan, with a gradient of three passes instead of six.
        vjp=lambda b, g, y, x: (b.mul(g, b.add(b.mul(y, y), 1.0)),),
        onnx=lambda e, node, x: e.node("Div", e.node("Sin", x), e.node("Cos", x)),
        samples=(S((2, 3), torch=torch.tan), S(_NEAR_POLES, torch=torch.tan, differentiable=False)),
    ),
    Op(
        "asin(x: f[*s]) -> f[*s]",
        doc="Angle in -π/2 … π/2 whose sine is x; NaN outside -1 … 1. The gradient at -1 and 1 is infinite.",
        numpy=np.arcsin,
        vjp=lambda b, g, y, x: (b.div(g, b.sqrt(b.sub(1.0, b.mul(x, x)))),),
        onnx="Asin",
        samples=(S(_INSIDE, torch=torch.asin), Bad(np.array([0, 1]), code="type-mismatch")),
    ),
    Op(
        "acos(x: f[*s]) -> f[*s]",
        doc="Angle in 0 … π whose cosine is x; NaN outside -1 … 1. The gradient at -1 and 1 is infinite.",
        numpy=np.arccos,
        vjp=lambda b, g, y, x: (b.neg(b.div(g, b.sqrt(b.sub(1.0, b.mul(x, x))))),),
        onnx="Acos",
        samples=(S(_INSIDE, torch=torch.acos),),
    ),
    Op(
        "atan(x: f[*s]) -> f[*s]",
        doc="Angle in -π/2 … π/2 whose tangent is x.",
        numpy=np.arctan,
        vjp=lambda b, g, y, x: (b.div(g, b.add(b.mul(x, x), 1.0)),),
        onnx="Atan",
        samples=(S((2, 3), torch=torch.atan), S(_ABOVE_ONE, torch=torch.atan)),
    ),
    Op(
        "sinh(x: f[*s]) -> f[*s]",
        doc="Hyperbolic sine.",
        numpy=np.sinh,
        vjp=lambda b, g, y, x: (b.mul(g, b.cosh(x)),),
        onnx=lambda e, node, x: e.node("Mul", e.node("Tanh", x), _cosh_onnx(e, node, x)),
        samples=(S((2, 3), torch=torch.sinh),),
    ),
    Op(
        "cosh(x: f[*s]) -> f[*s]",
        doc="Hyperbolic cosine.",
        numpy=np.cosh,
        vjp=lambda b, g, y, x: (b.mul(g, b.sinh(x)),),
        onnx=_cosh_onnx,
        samples=(S((2, 3), torch=torch.cosh),),
    ),
    Op(
        "tanh(x: f[*s]) -> f[*s]",
        doc="Hyperbolic tangent.",
        numpy=np.tanh,
        vjp=lambda b, g, y, x: (b.mul(g, b.sub(1.0, b.mul(y, y))),),
        onnx="Tanh",
        samples=(S((2, 3), torch=torch.tanh),),
    ),
    Op(
        "asinh(x: f[*s]) -> f[*s]",
        doc="Inverse of the hyperbolic sine.",
        numpy=np.arcsinh,
        vjp=lambda b, g, y, x: (b.div(g, b.sqrt(b.add(b.mul(x, x), 1.0))),),
        onnx="Asinh",
        samples=(S((2, 3), torch=torch.asinh), S(_ABOVE_ONE, torch=torch.asinh)),
    ),
    Op(
        "acosh(x: f[*s]) -> f[*s]",
        doc="Inverse of the hyperbolic cosine; NaN below 1. The gradient at 1 is infinite.",
        numpy=np.arccosh,
        vjp=lambda b, g, y, x: (b.div(g, b.sqrt(b.sub(b.mul(x, x), 1.0))),),
        onnx="Acosh",
        samples=(S(_ABOVE_ONE, torch=torch.acosh),),
    ),
    Op(
        "atanh(x: f[*s]) -> f[*s]",
        doc="Inverse of the hyperbolic tangent; infinite at -1 and 1, as the gradient is, and NaN beyond.",
        numpy=np.arctanh,
        vjp=lambda b, g, y, x: (b.div(g, b.sub(1.0, b.mul(x, x))),),
        onnx="Atanh",
        samples=(S(_INSIDE, torch=torch.atanh),),
    ),
)
