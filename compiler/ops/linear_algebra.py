"""Products of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..op import Bad, Op, S
from .common import product

if TYPE_CHECKING:
    from ..builder import Builder
    from ..ir import Value


def _matmul_vjp(b: Builder, g: Value, y: Value, x: Value, w: Value) -> tuple[Value, Value]:
    """The gradient of a matrix that multiplies a batch is one product over the whole batch, not a sum of products."""
    if w.type.rank == 2 and x.type.rank > 2:
        rows = product(x.type.shape[:-1])
        x_rows = b.reshape(x, shape=(rows, x.type.shape[-1]))
        g_rows = b.reshape(g, shape=(rows, g.type.shape[-1]))
        return b.matmul(g, b.t(w)), b.matmul(b.t(x_rows), g_rows)
    return b.matmul(g, b.t(w)), b.matmul(b.t(x), g)


OPERATORS: tuple[Op, ...] = (
    Op(
        "matmul(x: f[*B, m, k], w: f[*B, k, n]) -> f[*B, m, n]",
        doc="Matrix product over the last two axes; the axes before them broadcast.",
        numpy=np.matmul,
        vjp=_matmul_vjp,
        onnx="MatMul",
        samples=(
            S((3, 4), (4, 5), torch=lambda x, w: x @ w),
            S((2, 3, 4), (4, 5), torch=lambda x, w: x @ w),
            S((2, 3, 4), (2, 4, 1), torch=lambda x, w: x @ w),
            S((2, 1, 3, 4), (5, 4, 2), torch=lambda x, w: x @ w),
            S((3, 4), (2, 4, 5), torch=lambda x, w: x @ w),
            Bad((2, 64), (32, 8), code="shape-mismatch"),
            Bad((64,), (64, 8), code="rank-mismatch"),
        ),
    ),
)
