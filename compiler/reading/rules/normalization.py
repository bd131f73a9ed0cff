"""Reads normalisation by mean and variance, by root mean square, by neighbours and by a norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlang.dims import Size

from ...ops.common import normal_axis, product
from .windows import per_channel

if TYPE_CHECKING:
    from ...builder import Builder
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader


# --- batch ---------------------------------------------------------------------------------------------------------


def batch_normalization(reader: Reader, call: Call) -> Sequence[Value | None] | None:
    """BatchNormalization-7 to -15. Until version 13, a node that asks for statistics is one of training."""
    x, scale, shift, mean, variance = call.inputs
    if not call.attribute("spatial", 1):
        return None
    eps = call.attribute("epsilon", 1e-5)
    if not (call.attribute("training_mode", 0) or (call.version < 14 and any(map(call.asks, range(1, 5))))):
        return (reader.b.batch_normalize(x, scale, shift, mean, variance, eps=eps),)
    return _batch_training(reader.b, call, eps)


def _batch_training(b: Builder, call: Call, eps: float) -> Sequence[Value | None]:
    """By the statistics of the batch; then the running ones, moved towards them (and, of old, those of the batch)."""
    x, scale, shift, mean, variance = call.inputs
    assert x is not None
    rows = b.reshape(x, shape=(*x.type.shape[:2], product(x.type.shape[2:])))
    center = b.mean(rows, axis=(0, 2))
    spread = b.sub(rows, b.reshape(center, shape=(x.type.shape[1], 1)))
    found = b.mean(b.mul(spread, spread), axis=(0, 2))
    y = b.reshape(b.batch_normalize(rows, scale, shift, center, found, eps=eps), shape=x.type.shape)
    momentum = call.attribute("momentum", 0.9)

    def moved(running: Value | None, towards: Value) -> Value:
        assert running is not None
        return b.add(b.mul(running, momentum), b.mul(towards, 1 - momentum))

    return y, moved(mean, center), moved(variance, found), center, found


# --- channels ------------------------------------------------------------------------------------------------------


def instance_normalization(reader: Reader, call: Call) -> Value:
    """InstanceNormalization-6 to -22."""
    return reader.b.instance_norm(*call.inputs, eps=call.attribute("epsilon", 1e-5))


def group_normalization(reader: Reader, call: Call) -> Value:
    """GroupNormalization-18 and -21; the first scales groups, not channels."""
    b, (x, scale, shift) = reader.b, call.inputs
    assert x is not None and scale is not None and shift is not None
    groups, channels = call.attribute("num_groups"), x.type.shape[1]
    if call.version < 21:
        scale, shift = (_repeated(b, values, channels // groups) for values in (scale, shift))
    eps = call.attribute("epsilon", 1e-5)
    if not _wide(call, x):
        return b.group_norm(x, scale, shift, groups=groups, eps=eps)
    ones, zeros = (b.full(shape=(channels,), value=value, dtype="f32") for value in (1.0, 0.0))
    normal = b.cast(b.group_norm(b.cast(x, dtype="f32"), ones, zeros, groups=groups, eps=eps), dtype=x.type.dtype)
    return b.add(b.mul(normal, per_channel(b, scale, x.type.rank)), per_channel(b, shift, x.type.rank))


def _repeated(b: Builder, values: Value, times: Size) -> Value:
    """Each element of a vector so many times."""
    (count,) = values.type.shape
    column = b.reshape(values, shape=(count, 1))
    return b.reshape(b.expand(column, shape=(count, times)), shape=(count * times,))


def response_normalization(reader: Reader, call: Call) -> Value:
    """LRN-1 and -13."""
    return reader.b.local_response_norm(
        call.inputs[0],
        size=call.attribute("size"),
        alpha=call.attribute("alpha", 1e-4),
        beta=call.attribute("beta", 0.75),
        k=call.attribute("bias", 1.0),
    )


# --- trailing axes -------------------------------------------------------------------------------------------------


def layer_normalization(reader: Reader, call: Call) -> Sequence[Value | None]:
    """LayerNormalization-17. A scale or shift that is not shaped as what is normalised is applied afterwards."""
    b, (x, scale), shift = reader.b, call.inputs[:2], call.input(2)
    assert x is not None and scale is not None
    rows, leading = _rows(b, call, x)
    fits = not _wide(call, x) and all(value is None or _along(value, x, leading) for value in (scale, shift))
    factor = _vector(b, scale if fits else None, rows, 1.0)
    offset = _vector(b, shift if fits else None, rows, 0.0)
    y, mean, inverse = b.layer_normalize(rows, factor, offset, eps=call.attribute("epsilon", 1e-5))
    y = _shaped(b, y, x)
    if not fits:
        y = b.mul(y, scale)
        y = y if shift is None else b.add(y, shift)
    kept = (*x.type.shape[:leading], *(1,) * (x.type.rank - leading))
    return y, b.reshape(mean, shape=kept), b.reshape(inverse, shape=kept)


def rms_normalization(reader: Reader, call: Call) -> Value:
    """RMSNormalization-23. A scale that is not shaped as what is normalised is applied afterwards."""
    b, (x, scale) = reader.b, call.inputs
    assert x is not None and scale is not None
    rows, leading = _rows(b, call, x)
    fits = not _wide(call, x) and _along(scale, x, leading)
    factor = _vector(b, scale if fits else None, rows, 1.0)
    y = _shaped(b, b.rms_norm(rows, factor, eps=call.attribute("epsilon", 1e-5)), x)
    return y if fits else b.mul(y, scale)


def _rows(b: Builder, call: Call, x: Value) -> tuple[Value, int]:
    """x as [leading axes, elements], in the precision in which it is normalised; and the number of leading axes."""
    leading = normal_axis(call.attribute("axis", -1), x.type.rank)
    if _wide(call, x):
        x = b.cast(x, dtype="f32")
    return b.reshape(x, shape=(*x.type.shape[:leading], product(x.type.shape[leading:]))), leading


def _along(values: Value, x: Value, leading: int) -> bool:
    """Whether there is one value for each element of what is normalised."""
    return values.type.shape == x.type.shape[leading:]


def _vector(b: Builder, values: Value | None, rows: Value, default: float) -> Value:
    """Values along the last axis of rows; without any, all are the default."""
    size = rows.type.shape[-1:]
    return b.full(shape=size, value=default, dtype=rows.type.dtype) if values is None else b.reshape(values, shape=size)


def _shaped(b: Builder, rows: Value, x: Value) -> Value:
    """`rows` with the shape and dtype of x."""
    y = b.reshape(rows, shape=x.type.shape)
    return y if y.type.dtype == x.type.dtype else b.cast(y, dtype=x.type.dtype)


def _wide(call: Call, x: Value) -> bool:
    """Whether half precision is to be normalised in single precision."""
    return x.type.dtype in ("f16", "bf16") and call.attribute("stash_type", 1) == 1


# --- any axes ------------------------------------------------------------------------------------------------------


def lp_normalization(reader: Reader, call: Call) -> Value:
    """LpNormalization-1 and -22."""
    return reader.b.lp_normalize(call.inputs[0], p=call.attribute("p", 2), axis=call.attribute("axis", -1))


def mean_variance_normalization(reader: Reader, call: Call) -> Value:
    """MeanVarianceNormalization-9 and -13."""
    return reader.b.mean_variance_normalize(call.inputs[0], axis=tuple(call.attribute("axes", (0, 2, 3))))


RULES = {
    "BatchNormalization": batch_normalization,
    "InstanceNormalization": instance_normalization,
    "GroupNormalization": group_normalization,
    "LRN": response_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "LpNormalization": lp_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
}
