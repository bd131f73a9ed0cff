"""Products and determinants. As PyTorch's samples use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, refuse_if


def _product(x: torch.Tensor, y: torch.Tensor) -> Use:
    refuse_if(min(x.dim(), y.dim()) < 2, "vectors")
    return Use((x, y), lambda b, x, y: b.matmul(x, y))


def _vectors(x: torch.Tensor, y: torch.Tensor) -> Use:
    equation = {(1, 1): "i,i->", (2, 1): "ij,j->i"}.get((x.dim(), y.dim()))
    refuse_if(equation is None, "other ranks")
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
    refuse_if(x.dim() < 2 or weight.dim() < 2, "vectors")

    def build(b: Builder, x: Value, w: Value, bias: Value | None = None) -> Value:
        y = b.matmul(x, b.t(w))
        return y if bias is None else b.add(y, bias)

    return Use((x, weight) if bias is None else (x, weight, bias), build)


COUNTERPARTS: dict[str, Adapter] = {
    "matmul": _product,
    "mm": _product,
    "bmm": _product,
    "__rmatmul__": lambda x, y: _product(y, x),
    "linalg.det": lambda x: Use((x,), lambda b, x: b.det(x)),
    "dot": _vectors,
    "inner": _vectors,
    "mv": _vectors,
    "outer": _outer,
    "einsum": _einsum,
    "addmm": _added_product("ij,jk->ik"),
    "baddbmm": _added_product("bij,bjk->bik"),
    "addbmm": _added_product("bij,bjk->ik"),
    "addmv": _added_product("ij,j->i"),
    "addr": _added_product("i,j->ij"),
    "nn.functional.linear": _linear,
}
"""By the name of the OpInfo, with its variant after a dot."""
