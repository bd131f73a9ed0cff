"""Inverses and solutions of linear equations, by determinants. As PyTorch's samples use them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from netlang.compiler.autodiff import pull_back
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, composed, refuse_if


def inverse(b: Builder, x: Value) -> Value:
    """The transpose of the gradient of log |det x|: the adjugate matrix over the determinant (Cramer 1750)."""
    log = b.log(b.abs(b.det(x)))
    (gradient,) = pull_back(b, [(log, b.full(shape=log.type.shape, value=1.0))], [x])
    assert gradient is not None
    return b.t(gradient)


def _power(x: torch.Tensor, n: int) -> Use:
    def build(b: Builder, x: Value) -> Value:
        base = inverse(b, x) if n < 0 else x
        y = b.expand(b.eye(rows=x.type.shape[-1], columns=x.type.shape[-1]), shape=x.type.shape)
        for _ in range(abs(n)):
            y = b.matmul(y, base)
        return y

    return Use((x,), build)


def _solved(x: torch.Tensor, y: torch.Tensor, *, left: bool = True) -> Use:
    """For a vector, or several of them as columns, where the shapes say so as PyTorch reads them."""
    vectors = y.dim() == 1 or (y.dim() == x.dim() - 1 and y.shape == x.shape[:-1])

    def build(b: Builder, x: Value, y: Value) -> Value:
        if vectors:
            y = b.reshape(y, shape=(*y.type.shape, 1))
        z = b.matmul(inverse(b, x), y) if left else b.matmul(y, inverse(b, x))
        return b.reshape(z, shape=z.type.shape[:-1]) if vectors else z

    return Use((x, y), build)


def _triangle(b: Builder, x: Value, upper: bool, ones: bool) -> Value:
    """One triangle of x, with a diagonal of ones where it is not read."""
    if not ones:
        return b.triu(x) if upper else b.tril(x)
    part = b.triu(x, diagonal=1) if upper else b.tril(x, diagonal=-1)
    return b.add(part, b.eye(rows=x.type.shape[-1], columns=x.type.shape[-1]))


def _triangular(x: torch.Tensor, y: torch.Tensor, *, upper: bool, left: bool = True,
                unitriangular: bool = False) -> Use:  # fmt: skip
    def build(b: Builder, x: Value, y: Value) -> Value:
        inverted = inverse(b, _triangle(b, x, upper, unitriangular))
        return b.matmul(inverted, y) if left else b.matmul(y, inverted)

    return Use((x, y), build)


def _old_triangular(y: torch.Tensor, x: torch.Tensor, upper: bool = True, transpose: bool = False,
                    unitriangular: bool = False) -> Use:  # fmt: skip
    """The second result is x itself."""

    def build(b: Builder, y: Value, x: Value) -> list[Value]:
        inverted = inverse(b, _triangle(b, x, upper, unitriangular))
        return [b.matmul(b.t(inverted) if transpose else inverted, y), x]

    return Use((y, x), build)


def _squared(b: Builder, factor: Value, upper: bool) -> Value:
    """The matrix of which this is the Cholesky factor, whose other triangle has a gradient in PyTorch too."""
    return b.matmul(b.t(factor), factor) if upper else b.matmul(factor, b.t(factor))


def _cholesky_inverse(factor: torch.Tensor, *, upper: bool = False) -> Use:
    return Use((factor,), lambda b, factor: inverse(b, _squared(b, factor, upper)))


def _cholesky_solve(y: torch.Tensor, factor: torch.Tensor, *, upper: bool = False) -> Use:
    return Use((y, factor), lambda b, y, factor: b.matmul(inverse(b, _squared(b, factor, upper)), y))


def _pseudoinverse(x: torch.Tensor, *, rtol: Any = None, hermitian: bool = False) -> Use:
    """That of matrices which have an inverse."""
    refuse_if(rtol is not None, "singular values that count as 0")
    return Use((x,), inverse)


def _tensor_inverse(x: torch.Tensor, ind: int = 2) -> Use:
    rows, columns = x.shape[:ind], x.shape[ind:]
    shape = (math.prod(rows), math.prod(columns))
    return Use((x,), lambda b, x: b.reshape(inverse(b, b.reshape(x, shape=shape)), shape=(*columns, *rows)))


def _tensor_solution(x: torch.Tensor, y: torch.Tensor, dims: Sequence[int] | None = None) -> Use:
    moved = [axis % x.dim() for axis in dims or ()]
    perm = [*(axis for axis in range(x.dim()) if axis not in moved), *moved]
    count = y.numel()

    def build(b: Builder, x: Value, y: Value) -> Value:
        x = b.transpose(x, perm=perm)
        columns = x.type.shape[y.type.rank :]
        square = b.reshape(x, shape=(count, math.prod(columns)))
        return b.reshape(b.matmul(inverse(b, square), b.reshape(y, shape=(count, 1))), shape=columns)

    return Use((x, y), build)


COUNTERPARTS: dict[str, Adapter] = {
    "linalg.inv": composed(inverse),
    "linalg.inv_ex": composed(inverse),
    "linalg.solve": _solved,
    "linalg.solve_ex": _solved,
    "linalg.matrix_power": _power,
    "linalg.solve_triangular": _triangular,
    "triangular_solve": _old_triangular,
    "cholesky_inverse": _cholesky_inverse,
    "cholesky_solve": _cholesky_solve,
    "pinverse": _pseudoinverse,
    "linalg.pinv": _pseudoinverse,
    "linalg.tensorinv": _tensor_inverse,
    "linalg.tensorsolve": _tensor_solution,
}
"""By the name of the OpInfo, with its variant after a dot."""
