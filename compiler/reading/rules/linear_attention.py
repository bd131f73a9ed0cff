"""Reads attention without softmax: a matrix of state for each head, updated step by step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlang.dims import Size, floor_divide
from netlang.types import TensorType

from ...control import scan

if TYPE_CHECKING:
    from ...builder import Builder
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader

GATED = ("gated", "gated_delta")
DELTA = ("delta", "gated_delta")


def linear_attention(reader: Reader, call: Call) -> Sequence[Value]:
    """LinearAttention-27: linear attention (Katharopoulos et al. 2020), gated (Yang et al. 2023), with the delta rule
    (Schlag et al. 2021), or both (Yang et al. 2024). Computed in float32 at least."""
    b = reader.b
    q, k, v, past, decay, beta = _operands(reader, call)
    dtype = q.type.dtype
    groups, heads = call.attribute("kv_num_heads"), call.attribute("q_num_heads")
    queries = _by_step(b, q, (groups, heads // groups, floor_divide(q.type.shape[2], heads)))
    keys = _by_step(b, k, (groups, 1, floor_divide(k.type.shape[2], groups)))
    values = _by_step(b, v, (groups, 1, floor_divide(v.type.shape[2], groups)))
    depth, width = keys.type.shape[-1], values.type.shape[-1]
    assert isinstance(depth, int)
    scale = call.attribute("scale", 0.0) or 1 / math.sqrt(depth)
    sequences = [b.mul(queries, scale), keys, values]
    if decay is not None:
        sequences.append(b.exp(_by_step(b, decay, (groups, floor_divide(decay.type.shape[2], groups), 1))))
    if beta is not None:
        sequences.append(_by_step(b, beta, (beta.type.shape[2], 1, 1)))
    shape = (q.type.shape[0], groups, depth, width)
    state = b.full(shape=shape, value=0.0, dtype=queries.type.dtype) if past is None else _widened(b, past)
    last, result = _recurrence(b, state, sequences, decay is not None, beta is not None)
    joined = b.reshape(b.transpose(result, perm=(1, 0, 2, 3, 4)), shape=(*q.type.shape[:2], heads * width))
    return b.cast(joined, dtype=dtype), b.cast(last, dtype=dtype if past is None else past.type.dtype)


def _operands(reader: Reader, call: Call) -> tuple[Value, Value, Value, Value | None, Value | None, Value | None]:
    """The inputs, after a check that the update rule has what it needs and nothing else."""
    rule = call.attribute("update_rule", "gated_delta")
    heads, groups = call.attribute("q_num_heads"), call.attribute("kv_num_heads")
    q, k, v, past, decay, beta = (call.input(index) for index in range(6))
    if rule not in ("linear", *GATED, *DELTA):
        raise reader.refuse(call, f"there is no update rule `{rule}`")
    if (decay is not None) != (rule in GATED) or (beta is not None) != (rule in DELTA):
        raise reader.refuse(call, f"the update rule `{rule}` takes other inputs")
    if not heads or not groups or heads % groups or q is None or k is None or v is None:
        raise reader.refuse(call, "its heads of queries do not share those of keys evenly")
    if not isinstance(k.type.shape[-1], int):
        raise reader.refuse(call, "the width of its keys is open")
    return q, k, v, past, decay, beta


def _by_step(b: Builder, x: Value, parts: tuple[Size, Size, Size]) -> Value:
    """[b, t, n] as [t, b, *parts]: one step after the other."""
    batch, steps, _ = x.type.shape
    return b.transpose(b.reshape(_widened(b, x), shape=(batch, steps, *parts)), perm=(1, 0, 2, 3, 4))


def _widened(b: Builder, x: Value) -> Value:
    return b.cast(x, dtype="f64" if x.type.dtype == "f64" else "f32")


def _recurrence(
    b: Builder, state: Value, sequences: Sequence[Value], gated: bool, corrected: bool
) -> tuple[Value, Value]:
    """The last state [b, g, d, e], and the results [t, b, g, h/g, e]."""
    body = b.inner("step")
    memory = body.input("state", state.type)
    q, k, v, *rates = (
        body.input(f"x{index}", TensorType(value.type.dtype, value.type.shape[1:]))
        for index, value in enumerate(sequences)
    )
    if gated:
        memory = body.mul(memory, rates[0])
    if corrected:
        v = body.mul(body.sub(v, body.matmul(k, memory)), rates[-1])
    memory = body.add(memory, body.mul(body.t(k), v))
    body.output("state", memory)
    body.output("y", body.matmul(q, memory))
    (last,), (results,) = scan(b, body, [state], sequences)
    return last, results


RULES = {"LinearAttention": linear_attention}
