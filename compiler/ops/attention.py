"""Scaled dot-product attention, and rotation of queries and keys by their positions.

Onnxruntime's own Attention operator is no faster on the CPU than the products and the softmax that it is made of, and
needs operator set 23; attention is always emitted in its parts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Size, decide_less
from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import listed, shape_mismatch
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

_VISIBLE = np.array([[True, False, True, True], [False, False, False, False], [True, True, True, False]])


# --- attention -----------------------------------------------------------------------------------------------------


def attention_scores(b: Builder, q: Value, k: Value, scale: float | None) -> Value:
    """q kᵀ · scale, of shape [b, h, t, s], for queries [b, h, t, d] and keys [b, g, s, d]; h / g heads share a key.

    `scale` is 1 / √d where it is None.
    """
    batch, heads, queries, depth = q.type.shape
    scaled = _by_root(b, q, depth) if scale is None else b.mul(q, scale)
    scores = b.matmul(_by_group(b, scaled, k.type.shape[1]), b.t(k))
    return b.reshape(scores, shape=(batch, heads, queries, k.type.shape[2]))


def attention_result(b: Builder, weights: Value, v: Value) -> Value:
    """The values [b, g, s, e] averaged with weights [b, h, t, s]: [b, h, t, e]."""
    batch, heads, queries, _ = weights.type.shape
    result = b.matmul(_by_group(b, weights, v.type.shape[1]), v)
    return b.reshape(result, shape=(batch, heads, queries, v.type.shape[3]))


def capped(b: Builder, scores: Value, softcap: float) -> Value:
    """Scores kept within ±softcap by a tanh (Gemma Team 2024); as they are where it is 0."""
    return b.mul(b.tanh(b.mul(scores, 1 / softcap)), softcap) if softcap else scores


def additive_mask(b: Builder, mask: Value, dtype: str) -> tuple[Value, Value]:
    """What to add to scores, finite throughout; and 1 for each row that may see anything, 0 for others."""
    lowest = -3e4 if dtype == "f16" else -1e38
    if mask.type.dtype == "bool":
        bias = b.select(mask, b.constant(0.0, dtype), b.constant(lowest, dtype))
        alive = b.greater(b.max(bias, axis=-1, keepdims=True), lowest)
    else:
        bias = b.maximum(mask, lowest)
        alive = b.greater(b.max(mask, axis=-1, keepdims=True), -math.inf)
    return bias, b.cast(alive, dtype=dtype)


def causal_mask(b: Builder, queries: Size, keys: Size) -> Value:
    """True where the column is not after the row: [queries, keys]."""
    return b.less_equal(b.iota(count=keys), b.reshape(b.iota(count=queries), shape=(queries, 1)))


def _by_group(b: Builder, x: Value, groups: Size) -> Value:
    """[b, h, t, n] as [b, g, h/g · t, n]: the heads that share a key, one below the other. Moves nothing."""
    batch, heads, rows, columns = x.type.shape
    if heads == groups:
        return x
    return b.reshape(x, shape=(batch, groups, heads // groups * rows, columns))


def _by_root(b: Builder, x: Value, depth: Size) -> Value:
    """x / √depth."""
    if isinstance(depth, int):
        return b.mul(x, 1 / math.sqrt(depth))
    return b.div(x, b.sqrt(b.cast(b.dim(size=depth), dtype=x.type.dtype)))


def _attention(b: Builder, q: Value, k: Value, v: Value, causal: bool, scale: float | None, softcap: float) -> Value:
    scores = capped(b, attention_scores(b, q, k, scale), softcap)
    if causal:
        bias, _ = additive_mask(b, causal_mask(b, q.type.shape[2], k.type.shape[2]), q.type.dtype)
        scores = b.add(scores, bias)
    return attention_result(b, b.softmax(scores, axis=-1), v)


def _masked_attention(
    b: Builder, q: Value, k: Value, v: Value, mask: Value, scale: float | None, softcap: float
) -> Value:
    bias, alive = additive_mask(b, mask, q.type.dtype)
    scores = b.add(capped(b, attention_scores(b, q, k, scale), softcap), bias)
    return b.mul(attention_result(b, b.softmax(scores, axis=-1), v), alive)


def _attention_shape(q: TensorType, k: TensorType, v: TensorType, **attrs: Any) -> TensorType:
    heads, shared = q.shape[1], k.shape[1]
    if heads != shared and not (isinstance(heads, int) and isinstance(shared, int) and heads % shared == 0):
        raise shape_mismatch("heads of queries share those of keys evenly", f"a multiple of {shared} heads", heads)
    return TensorType(q.dtype, (*q.shape[:3], v.shape[3]))


def _masked_shape(q: TensorType, k: TensorType, v: TensorType, mask: TensorType, **attrs: Any) -> TensorType:
    scores = (*q.shape[:3], k.shape[2])
    if mask.dtype not in ("bool", q.dtype):
        raise fail("type-mismatch", "a mask says what is seen, or is added", expected=f"bool or {q.dtype}", found=mask)
    if mask.rank > 4 or any(size not in (1, full) for size, full in zip(mask.shape[::-1], scores[::-1], strict=False)):
        raise shape_mismatch("the mask broadcasts to the scores", listed(scores), listed(mask.shape))
    return _attention_shape(q, k, v)


def _torch_attention(q: Any, k: Any, v: Any, causal: bool = False, scale: float | None = None) -> Any:
    return torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=causal, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )


def _torch_capped(q: Any, k: Any, v: Any, softcap: float) -> Any:
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return ((scores / softcap).tanh() * softcap).softmax(-1) @ v


def _torch_masked(q: Any, k: Any, v: Any, mask: Any) -> Any:
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask)


# --- rotary positions ----------------------------------------------------------------------------------------------


def _rotary(b: Builder, x: Value, cos: Value, sin: Value, interleaved: bool) -> Value:
    batch, heads, rows, _ = x.type.shape
    half = cos.type.shape[-1]
    turned, kept = _cut(b, x, 2 * half)
    first, second = _pairs(b, turned, half, interleaved)
    cos, sin = (b.reshape(value, shape=(value.type.shape[0], 1, rows, half)) for value in (cos, sin))
    real = b.sub(b.mul(first, cos), b.mul(second, sin))
    imaginary = b.add(b.mul(first, sin), b.mul(second, cos))
    if interleaved:
        columns = (b.reshape(value, shape=(batch, heads, rows, half, 1)) for value in (real, imaginary))
        parts = [b.reshape(b.concat(*columns, axis=-1), shape=turned.type.shape)]
    else:
        parts = [real, imaginary]
    parts += [] if kept is None else [kept]
    return b.concat(*parts, axis=-1) if len(parts) > 1 else parts[0]


def _cut(b: Builder, x: Value, width: Size) -> tuple[Value, Value | None]:
    """The first `width` columns, and the others where there are any."""
    depth = x.type.shape[-1]
    if width == depth:
        return x, None
    return _columns(b, x, 0, width), _columns(b, x, width, depth)


def _pairs(b: Builder, x: Value, half: Size, interleaved: bool) -> tuple[Value, Value]:
    """The two parts of complex numbers: neighbours where interleaved, else columns that are `half` apart."""
    if interleaved:
        pairs = b.reshape(x, shape=(*x.type.shape[:-1], half, 2))
        return tuple(b.reshape(part, shape=(*x.type.shape[:-1], half)) for part in b.split(pairs, parts=2, axis=-1))
    return b.split(x, parts=2, axis=-1)


def _columns(b: Builder, x: Value, start: Size, stop: Size) -> Value:
    return b.slice(x, starts=start, stops=stop, axes=-1, steps=1)


def _rotary_shape(x: TensorType, cos: TensorType, sin: TensorType, interleaved: bool) -> TensorType:
    batch, half = cos.shape[0], cos.shape[-1]
    if batch not in (1, x.shape[0]):
        raise shape_mismatch("the angles are one row for each sequence, or one for all", f"1 or {x.shape[0]}", batch)
    if decide_less(x.shape[-1], 2 * half):
        raise shape_mismatch("each angle turns two columns", f"at least {2 * half} columns", x.shape[-1])
    return x


def _rotary_onnx(e: Emitter, node: Node, x: str, cos: str, sin: str) -> str:
    batch, _, rows, depth = node.inputs[0].type.shape
    half = node.inputs[1].type.shape[-1]
    if node.inputs[1].type.shape[0] != batch:
        cos, sin = (e.node("Expand", value, e.sizes([batch, rows, half])) for value in (cos, sin))
    width = 0 if 2 * half == depth else 2 * half
    interleaved = int(node.attributes["interleaved"])
    return e.node("RotaryEmbedding", x, cos, sin, interleaved=interleaved, rotary_embedding_dim=width)


def _torch_rotary(x: Any, cos: Any, sin: Any, interleaved: bool = False) -> Any:
    half = cos.shape[-1]
    turned, kept = x[..., : 2 * half], x[..., 2 * half :]
    first, second = (turned[..., 0::2], turned[..., 1::2]) if interleaved else turned.chunk(2, -1)
    parts = torch.view_as_real(torch.complex(first, second) * torch.complex(cos, sin)[:, None])
    return torch.cat(((parts if interleaved else parts.mT).flatten(-2), kept), -1)


OPERATORS: tuple[Op, ...] = (
    Op(
        "scaled_dot_product_attention(q: f[b, h, t, d], k: f[b, g, s, d], v: f[b, g, s, e], causal: bool = false, "
        "scale: float = none, softcap: float = 0.0) -> f[b, h, t, e]",
        doc="softmax(q kᵀ · scale) v; `scale` is 1 / √d unless it is given (Vaswani et al. 2017). Where `causal`, row "
        "i sees the columns up to i. h / g heads of queries in turn share a head of keys (Ainslie et al. 2023). A "
        "softcap keeps scores within ±softcap by a tanh.",
        body=_attention,
        shape=_attention_shape,
        samples=(
            S((2, 3, 4, 8), (2, 3, 5, 8), (2, 3, 5, 6), torch=_torch_attention),
            S((2, 3, 4, 8), (2, 3, 4, 8), (2, 3, 4, 8), causal=True, torch=_torch_attention),
            S((1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2), causal=True, scale=0.5, torch=_torch_attention),
            S((2, 4, 3, 2), (2, 1, 5, 2), (2, 1, 5, 3), torch=_torch_attention),
            S((2, 1, 3, 4), (2, 1, 3, 4), (2, 1, 3, 4), softcap=0.7, torch=_torch_capped),
            Bad((2, 3, 4, 8), (2, 2, 5, 8), (2, 2, 5, 6), code="shape-mismatch"),
            Bad((2, 3, 4, 8), (2, 3, 5, 7), (2, 3, 5, 6), code="shape-mismatch"),
            Bad((2, 3, 4), (2, 3, 4), (2, 3, 4), code="rank-mismatch"),
        ),
    ),
    Op(
        "masked_attention(q: f[b, h, t, d], k: f[b, g, s, d], v: f[b, g, s, e], mask: t[*m], scale: float = none, "
        "softcap: float = 0.0) -> f[b, h, t, e]",
        doc="Attention with a mask that broadcasts to the scores [b, h, t, s]: true where a row sees a column, or "
        "numbers that are added to the scores, -∞ hiding. The result is 0 in a row that sees nothing.",
        body=_masked_attention,
        shape=_masked_shape,
        samples=(
            S((2, 1, 3, 8), (2, 1, 4, 8), (2, 1, 4, 8), _VISIBLE, torch=_torch_masked),
            S((2, 2, 3, 8), (2, 2, 4, 8), (2, 2, 4, 6), (2, 1, 3, 4), torch=_torch_masked),
            S((2, 2, 3, 8), (2, 2, 4, 8), (2, 2, 4, 6), (4,), torch=_torch_masked),
            S((2, 4, 3, 2), (2, 2, 4, 2), (2, 2, 4, 2), _VISIBLE[2:], scale=1.0, softcap=2.0),
            Bad((2, 1, 3, 8), (2, 1, 4, 8), (2, 1, 4, 8), (3, 3), code="shape-mismatch"),
            Bad((2, 1, 3, 8), (2, 1, 4, 8), (2, 1, 4, 8), np.array([1, 0, 1, 1]), code="type-mismatch"),
        ),
    ),
    Op(
        "rotary_embedding(x: f[b, h, t, d], cos: f[c, t, r], sin: f[c, t, r], interleaved: bool = false) "
        "-> f[b, h, t, d]",
        doc="Rotary positions: column pairs as complex numbers, each turned by the angle with this cosine and sine "
        "(Su et al. 2021). Pairs are neighbours where `interleaved`, else columns r apart; columns from 2r stay.",
        body=_rotary,
        shape=_rotary_shape,
        onnx=_rotary_onnx,
        since=23,
        samples=(
            S((2, 3, 4, 6), (2, 4, 3), (2, 4, 3), torch=_torch_rotary),
            S((2, 3, 4, 6), (2, 4, 3), (2, 4, 3), interleaved=True, torch=_torch_rotary),
            S((2, 1, 4, 8), (1, 4, 3), (1, 4, 3), torch=_torch_rotary),
            S((2, 1, 4, 8), (1, 4, 3), (1, 4, 3), interleaved=True, torch=_torch_rotary),
            Bad((2, 3, 4, 6), (2, 4, 4), (2, 4, 4), code="shape-mismatch"),
            Bad((2, 3, 4, 6), (3, 4, 3), (3, 4, 3), code="shape-mismatch"),
        ),
    ),
)
