"""Products of matrices, and determinants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Size

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import behind_reshape, product, swaps_last
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value


_SINGULAR = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 1.0, -1.0]], np.float32)


def _matmul_vjp(b: Builder, g: Value, y: Value, x: Value, w: Value) -> tuple[Value, Value]:
    """The gradient of a matrix that multiplies a batch is one product over the whole batch, not a sum of products."""
    if w.type.rank == 2 and x.type.rank > 2:
        rows = product(x.type.shape[:-1])
        x_rows = b.reshape(x, shape=(rows, x.type.shape[-1]))
        g_rows = b.reshape(g, shape=(rows, g.type.shape[-1]))
        return b.matmul(g, b.t(w)), b.matmul(b.t(x_rows), g_rows)
    return b.matmul(g, b.t(w)), b.matmul(b.t(x), g)


def _matmul_onnx(e: Emitter, node: Node, x: str, w: str) -> str:
    """A product over no elements is zeros, which ONNX Runtime's FusedMatMul writes into the first matrix only."""
    type_, types = node.outputs[0].type, [value.type for value in node.inputs]
    known = [size for size in type_.shape if isinstance(size, int)]
    inner = types[0].shape[-1]
    if inner == 0 and len(known) == type_.rank:
        return e.constant(np.zeros(known, numpy_dtype(type_.dtype)))
    both = min(each.rank for each in types) > 2
    x, w = (_apart(e, name, each.shape, inner, both) for name, each in zip((x, w), types, strict=True))
    return e.node("MatMul", x, w)


def _apart(e: Emitter, name: str, shape: Sequence[Size], inner: Size, both: bool) -> str:
    """A factor of a product, of `both` batches or of one, kept from becoming one FusedMatMul with its transposition
    where that is wrong: where there may be no elements to multiply, or where the axis that was moved behind the batch
    may be empty, by which ONNX Runtime ends the process."""
    perm, last = e.transposition(name), len(shape) - 1
    if perm is None or last < 2:
        return name
    moves = both and perm in ((*range(1, last), 0, last), (*range(1, last + 1), 0))
    sizes = (inner, shape[perm.index(0)]) if moves else (inner,)
    if not (moves or swaps_last(perm)) or all(isinstance(size, int) and size for size in sizes):
        return name
    return behind_reshape(e, name, len(shape))


def _det_vjp(b: Builder, g: Value, y: Value, x: Value) -> tuple[Value]:
    """The gradient is the matrix of cofactors: determinants again, so it needs no inverse and differentiates again."""
    count = x.type.shape[-1]
    if not isinstance(count, int):
        raise fail("no-gradient", "`det` has a gradient for matrices of a known size", expected="a number", found=count)
    last = b.reshape(g, shape=(*g.type.shape, 1, 1))
    if count < 2:  # there are no minors: the determinant is the element itself, or 1
        return (b.expand(last, shape=x.type.shape),)
    signs = (-1.0) ** np.add.outer(np.arange(count), np.arange(count))
    return (b.mul(last, b.mul(b.det(_minors(b, x, count)), b.cast(b.constant(signs), dtype=x.type.dtype))),)


def _minors(b: Builder, x: Value, count: int) -> Value:
    """[*s, n, n, n - 1, n - 1]: for each element the matrix without its row and its column."""
    batch = x.type.shape[:-2]
    others = np.array([[j for j in range(count) if j != i] for i in range(count)])
    positions = others[:, None, :, None] * count + others[None, :, None, :]
    elements = b.t(b.reshape(x, shape=(product(batch), count * count)))
    found = b.gather(elements, positions)
    moved = b.transpose(found, perm=(4, 0, 1, 2, 3))
    return b.reshape(moved, shape=(*batch, count, count, count - 1, count - 1))


OPERATORS: tuple[Op, ...] = (
    Op(
        "matmul(x: n[*B, m, k], w: n[*B, k, n]) -> n[*B, m, n]",
        doc="Matrix product over the last two axes; the axes before them broadcast.",
        numpy=np.matmul,
        vjp=_matmul_vjp,
        onnx=_matmul_onnx,
        samples=(
            S((3, 4), (4, 5), torch=lambda x, w: x @ w),
            S((2, 3, 4), (4, 5), torch=lambda x, w: x @ w),
            S((2, 3, 4), (2, 4, 1), torch=lambda x, w: x @ w),
            S((2, 1, 3, 4), (5, 4, 2), torch=lambda x, w: x @ w),
            S((2, 3, 0), (2, 0, 3), torch=lambda x, w: x @ w),
            S((3, 4), (2, 4, 5), torch=lambda x, w: x @ w),
            S(np.arange(6).reshape(2, 3), np.arange(3).reshape(3, 1), torch=lambda x, w: x @ w),
            Bad((2, 64), (32, 8), code="shape-mismatch"),
            Bad((64,), (64, 8), code="rank-mismatch"),
        ),
    ),
    Op(
        "det(x: f[*s, n, n]) -> f[*s]",
        doc="Determinant of the matrices in the last two axes.",
        numpy=lambda x: np.asarray(np.linalg.det(x), x.dtype),
        vjp=_det_vjp,
        onnx="Det",
        samples=(
            S((3, 3), torch=torch.det),
            S((2, 2, 2), torch=torch.det),
            S((2, 1, 4, 4), torch=torch.det),
            S((2, 1, 1), torch=torch.det),
            S(_SINGULAR, torch=torch.det),
            Bad((2, 3), code="shape-mismatch"),
            Bad((3,), code="rank-mismatch"),
        ),
    ),
)
