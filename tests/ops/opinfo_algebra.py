"""Products and determinants. As PyTorch's samples use them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, composed, given, refuse_if


def _product(x: torch.Tensor, y: torch.Tensor) -> Use:
    return Use((x, y), _times)


def _times(b: Builder, x: Value, y: Value) -> Value:
    """The product of matrices, or of vectors: a row on the left, a column on the right."""
    row, column = x.type.rank == 1, y.type.rank == 1
    x = b.reshape(x, shape=(1, *x.type.shape)) if row else x
    y = b.reshape(y, shape=(*y.type.shape, 1)) if column else y
    z = b.matmul(x, y)
    kept = z.type.shape[:-2] + z.type.shape[-2:][int(row) : 2 - int(column)]
    return b.reshape(z, shape=kept)


def _inner(x: torch.Tensor, y: torch.Tensor) -> Use:
    letters, others = "abcdef"[: x.dim() - 1], "ghijkl"[: y.dim() - 1]
    equation = f"{letters}z,{others}z->{letters}{others}" if x.dim() and y.dim() else "...,...->..."
    return Use((x, y), lambda b, x, y: b.einsum(x, y, equation=equation))


def _outer(x: torch.Tensor, y: torch.Tensor) -> Use:
    return Use((x, y), lambda b, x, y: b.einsum(x, y, equation="i,j->ij"))


def _einsum(tensors: Sequence[torch.Tensor], equation: str) -> Use:
    return Use(tuple(tensors), lambda b, *values: b.einsum(*values, equation=equation))


def _added_product(equation: str) -> Adapter:
    def adapter(x: torch.Tensor, u: torch.Tensor, v: torch.Tensor, *, alpha: Any = 1, beta: Any = 1) -> Use:
        refuse_if(beta == 0, "x is left out, whatever it holds")

        def build(b: Builder, x: Value, u: Value, v: Value) -> Value:
            product = b.mul(b.einsum(u, v, equation=equation), float(alpha))
            return b.add(b.mul(x, float(beta)), product)

        return Use((x, u, v), build)

    return adapter


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: Any = None) -> Use:
    def build(b: Builder, x: Value, w: Value, bias: Value | None = None) -> Value:
        y = _times(b, x, b.t(w) if w.type.rank > 1 else w)
        return y if bias is None else b.add(y, bias)

    return Use(given(x, weight, bias), build)


def _bilinear(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, bias: Any = None) -> Use:
    def build(b: Builder, x: Value, y: Value, w: Value, bias: Value | None = None) -> Value:
        z = b.einsum(x, w, y, equation="...i,oij,...j->...o")
        return z if bias is None else b.add(z, bias)

    return Use(given(x, y, weight, bias), build)


def _cross(x: torch.Tensor, y: torch.Tensor, dim: int | None = None) -> Use:
    axis = next(i for i, size in enumerate(x.shape) if size == 3) if dim is None else dim % x.dim()

    def build(b: Builder, x: Value, y: Value) -> Value:
        (x1, x2), (y1, y2) = ([b.gather(v, b.constant(np.array(i)), axis=axis) for i in ([1, 2, 0], [2, 0, 1])]
                              for v in (x, y))  # fmt: skip
        return b.sub(b.mul(x1, y2), b.mul(x2, y1))

    return Use((x, y), build)


def _sign_and_log(b: Builder, x: Value) -> tuple[Value, Value]:
    size = b.det(x)
    return b.sign(size), b.log(b.abs(size))


def _log_det(x: torch.Tensor) -> Use:
    return Use((x,), lambda b, x: b.log(b.det(x)))


def _chain(tensors: Sequence[torch.Tensor]) -> Use:
    return Use(tuple(tensors), lambda b, *values: reduce(partial(_times, b), values))


def _vector_dots(x: torch.Tensor, y: torch.Tensor, *, dim: int = -1) -> Use:
    return Use((x, y), lambda b, x, y: b.sum(b.mul(x, y), axis=dim))


def _kronecker(b: Builder, x: Value, y: Value) -> Value:
    (rows, columns), (m, n) = x.type.shape, y.type.shape
    return b.reshape(b.einsum(x, y, equation="ij,kl->ikjl"), shape=(rows * m, columns * n))


def _tensordot(x: torch.Tensor, y: torch.Tensor, dims: Any) -> Use:
    ours, theirs = (range(x.dim() - dims, x.dim()), range(dims)) if isinstance(dims, int) else dims
    letters, others = list("abcdef"[: x.dim()]), list("ghijkl"[: y.dim()])
    for i, j in zip(ours, theirs, strict=True):
        others[j] = letters[i]
    kept = [*(a for a in letters if a not in others), *(a for a in others if a not in letters)]
    equation = f"{''.join(letters)},{''.join(others)}->{''.join(kept)}"
    return Use((x, y), lambda b, x, y: b.einsum(x, y, equation=equation))


def _trace(x: torch.Tensor) -> Use:
    size = min(x.shape)

    def build(b: Builder, x: Value) -> Value:
        square = b.slice(x, starts=[0, 0], stops=[size, size], axes=[0, 1], steps=[1, 1])
        return b.einsum(square, equation="ii->")

    return Use((x,), build)


def _vandermonde(x: torch.Tensor, *, N: int | None = None) -> Use:
    count = (x.shape or (1,))[-1] if N is None else N

    def build(b: Builder, x: Value) -> Value:
        shape = x.type.shape or (1,)
        ones = b.full(shape=(*shape, 1), value=1.0)
        factors = b.expand(b.reshape(x, shape=(*shape, 1)), shape=(*shape, count - 1))
        return b.concat(ones, b.cumprod(factors))

    return Use((x,), build)


COUNTERPARTS: dict[str, Adapter] = {
    "matmul": _product,
    "mm": _product,
    "bmm": _product,
    "__rmatmul__": lambda x, y: _product(y, x),
    "linalg.det": lambda x: Use((x,), lambda b, x: b.det(x)),
    "linalg.slogdet": composed(_sign_and_log),
    "logdet": _log_det,
    "linalg.multi_dot": _chain,
    "linalg.cross": _cross,
    "cross": _cross,
    "linalg.vecdot": _vector_dots,
    "linalg.vander": _vandermonde,
    "vdot": _product,
    "dot": _product,
    "mv": _product,
    "inner": _inner,
    "kron": composed(_kronecker),
    "tensordot": _tensordot,
    "trace": _trace,
    "outer": _outer,
    "einsum": _einsum,
    "addmm.decomposed": _added_product("ij,jk->ik"),
    "addmm": _added_product("ij,jk->ik"),
    "baddbmm": _added_product("bij,bjk->bik"),
    "addbmm": _added_product("bij,bjk->ik"),
    "addmv": _added_product("ij,j->i"),
    "addr": _added_product("i,j->ij"),
    "nn.functional.linear": _linear,
    "nn.functional.bilinear": _bilinear,
}
"""By the name of the OpInfo, with its variant after a dot."""
