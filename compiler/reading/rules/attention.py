"""Reads attention and rotary positions: heads side by side, caches, masks of every kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from netlang.dims import Size, floor_divide

from ...ops.attention import additive_mask, attention_result, attention_scores, capped
from ..onnx_types import DTYPES

if TYPE_CHECKING:
    from ...builder import Builder
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader


def attention(reader: Reader, call: Call) -> Sequence[Value | None]:
    """Attention-23 to -25."""
    b = reader.b
    q, k, v, _, past_key, past_value = (call.input(index) for index in range(6))
    assert q is not None and k is not None and v is not None
    packed = q.type.rank == 3
    if packed:
        heads, groups = call.attribute("q_num_heads"), call.attribute("kv_num_heads")
        q, k, v = (heads_apart(b, x, count) for x, count in ((q, heads), (k, groups), (v, groups)))
    past: Size = 0
    if past_key is not None and past_value is not None:
        past = past_key.type.shape[2]
        k, v = b.concat(past_key, k, axis=2), b.concat(past_value, v, axis=2)
    y, scores = _attend(reader, call, q, k, b.cast(v, dtype=q.type.dtype), past)
    return heads_joined(b, y) if packed else y, k, v, scores


def heads_apart(b: Builder, x: Value, count: int) -> Value:
    """[b, t, h · d] as [b, h, t, d]."""
    batch, rows, width = x.type.shape
    return b.transpose(b.reshape(x, shape=(batch, rows, count, floor_divide(width, count))), perm=(0, 2, 1, 3))


def heads_joined(b: Builder, x: Value) -> Value:
    """[b, h, t, d] as [b, t, h · d]."""
    batch, heads, rows, depth = x.type.shape
    return b.reshape(b.transpose(x, perm=(0, 2, 1, 3)), shape=(batch, rows, heads * depth))


def _attend(reader: Reader, call: Call, q: Value, k: Value, v: Value, past: Size) -> tuple[Value, Value | None]:
    """The result, and the scores where they are asked for."""
    b = reader.b
    causal = bool(call.attribute("is_causal", 0))
    windowed = any(call.attribute(f"{side}_window_size", -1) >= 0 for side in ("left", "right"))
    masked = windowed or call.input(3) is not None or call.input(6) is not None or (causal and past != 0)
    mask = _mask(b, call, q, k, past) if masked or (causal and call.asks(3)) else None
    scale, softcap = call.attribute("scale"), call.attribute("softcap", 0.0)
    precision = DTYPES.get(call.attribute("softmax_precision"), q.type.dtype)
    if call.asks(3) or precision != q.type.dtype:
        return _in_steps(b, call, (q, k, v), mask, precision)
    if mask is not None:
        return b.masked_attention(q, k, v, mask, scale=scale, softcap=softcap), None
    return b.scaled_dot_product_attention(q, k, v, causal=causal, scale=scale, softcap=softcap), None


def _in_steps(
    b: Builder, call: Call, operands: tuple[Value, Value, Value], mask: Value | None, precision: str
) -> tuple[Value, Value]:
    """Attention whose scores are a result as well, or whose softmax is computed in another precision."""
    q, k, v = operands
    raw = attention_scores(b, q, k, call.attribute("scale"))
    bounded = biased = finite = capped(b, raw, call.attribute("softcap", 0.0))
    alive = None
    if mask is not None:
        bias, alive = additive_mask(b, mask, q.type.dtype)
        finite, biased = b.add(bounded, bias), _hidden(b, bounded, mask)
    weights = b.cast(b.softmax(b.cast(finite, dtype=precision), axis=-1), dtype=q.type.dtype)
    weights = weights if alive is None else b.mul(weights, alive)
    stages = (raw, bounded, biased, weights)
    return attention_result(b, weights, v), stages[call.attribute("qk_matmul_output_mode", 0)]


def _hidden(b: Builder, scores: Value, mask: Value) -> Value:
    """Scores as ONNX states them under a mask: -∞ where a row sees nothing."""
    if mask.type.dtype != "bool":
        return b.add(scores, mask)
    return b.select(mask, scores, b.constant(-math.inf, scores.type.dtype))


def _mask(b: Builder, call: Call, q: Value, k: Value, past: Size) -> Value:
    """What all of the call's masks together let a row see, as one mask."""
    given, filled = call.input(3), call.input(6)
    allowed = _positional(b, call, q, k, past)
    if filled is not None:
        allowed.append(b.less(b.iota(count=k.type.shape[2]), _column(b, filled)))
    if given is not None:
        given = _full_width(b, given, k.type.shape[2])
        if given.type.dtype != "bool":
            given = b.cast(given, dtype=q.type.dtype)
            hidden = b.constant(-math.inf, q.type.dtype)
            return b.select(reduce(b.logical_and, allowed), given, hidden) if allowed else given
        allowed.append(given)
    return reduce(b.logical_and, allowed)


def _positional(b: Builder, call: Call, q: Value, k: Value, past: Size) -> list[Value]:
    """What causality and the window let each row see."""
    left, right = call.attribute("left_window_size", -1), call.attribute("right_window_size", -1)
    if call.attribute("is_causal", 0):
        right = 0
    if left < 0 and right < 0:
        return []
    rows, columns = q.type.shape[2], b.iota(count=k.type.shape[2])
    row = b.reshape(b.iota(count=rows), shape=(rows, 1))
    filled = call.input(6)
    if filled is not None:
        row = b.add(row, b.sub(_column(b, filled), b.dim(size=rows)))
    elif past != 0:
        row = b.add(row, b.dim(size=past))
    allowed: list[Value] = []
    if left >= 0:
        allowed.append(b.greater_equal(columns, b.sub(row, left)))
    if right >= 0:
        allowed.append(b.less_equal(columns, b.add(row, right)))
    return allowed


def _column(b: Builder, counts: Value) -> Value:
    """A number for each sequence, against [b, h, t, s]."""
    return b.reshape(counts, shape=(counts.type.shape[0], 1, 1, 1))


def _full_width(b: Builder, mask: Value, columns: Size) -> Value:
    """The mask with columns that nobody sees added at its end, until there are as many as keys."""
    if mask.type.rank == 0 or mask.type.shape[-1] in (1, columns):
        return mask
    missing = (*mask.type.shape[:-1], columns - mask.type.shape[-1])
    hides = b.constant(False if mask.type.dtype == "bool" else -math.inf, mask.type.dtype)
    return b.concat(mask, b.expand(hides, shape=missing), axis=-1)


def rotary_embedding(reader: Reader, call: Call) -> Value:
    """RotaryEmbedding-23."""
    b = reader.b
    x, cos, sin, positions = (call.input(index) for index in range(4))
    assert x is not None and cos is not None and sin is not None
    packed = x.type.rank == 3
    heads = heads_apart(b, x, call.attribute("num_heads")) if packed else x
    if positions is not None:
        cos, sin = b.gather(cos, positions), b.gather(sin, positions)
    turned = b.rotary_embedding(heads, cos, sin, interleaved=bool(call.attribute("interleaved", 0)))
    return heads_joined(b, turned) if packed else turned


def flex_attention(reader: Reader, call: Call) -> Value:
    """FlexAttention-1: sub-graphs of the model change the scores and the weights (Dong et al. 2024)."""
    b = reader.b
    q, k, v = call.inputs
    assert q is not None and k is not None and v is not None
    precision = DTYPES.get(call.attribute("softmax_precision"), "f64" if q.type.dtype == "f64" else "f32")
    scores = b.cast(attention_scores(b, q, k, call.attribute("scale")), dtype=precision)
    weights = b.softmax(_modified(reader, call, "score_mod", scores), axis=-1)
    weights = b.cast(_modified(reader, call, "prob_mod", weights), dtype=q.type.dtype)
    return attention_result(b, weights, v)


def _modified(reader: Reader, call: Call, name: str, value: Value) -> Value:
    """What the sub-graph in the attribute called `name` makes of a value; the value itself where there is none."""
    graph = call.attribute(name)
    if graph is None:
        return value
    inner = reader.inner(reader.b)
    for tensor in graph.initializer:
        inner.bind(tensor.name, inner.literal(tensor))
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise reader.refuse(call, f"`{name}` takes one tensor and gives one")
    inner.bind(graph.input[0].name, value)
    inner.nodes(graph.node)
    return inner.value(graph.output[0].name)


RULES = {
    "Attention": attention,
    "RotaryEmbedding": rotary_embedding,
    "ai.onnx.preview:FlexAttention": flex_attention,
}
