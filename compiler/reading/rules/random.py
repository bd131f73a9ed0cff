"""Reads operators that draw random numbers: by the graph's own counter, so that a seed decides what they draw.

In the body of a control-flow operator, where the counter would draw the same in each round, they stay foreign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netlang.dims import Size
from netlang.types import FLOATS, TensorType

from ..onnx_types import DTYPES

if TYPE_CHECKING:
    from ...builder import Builder
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader

Results = Sequence["Value | None"]

SEEDS = {"seed": "seed of the random numbers", "step": "number of the step, which changes them"}
"""The inputs that the draws of a graph depend on, by role."""


# --- draws ---------------------------------------------------------------------------------------------------------


def uniform(reader: Reader, shape: Sequence[Size]) -> Value:
    """New random f32 numbers, uniform between 0 and 1 without the ends."""
    b = reader.b
    site = sum(node.op == "random_bits" for node in b.nodes)
    seed, step = (_seed(reader, role) for role in SEEDS)
    bits = b.random_bits(seed, step, b.constant(0, "i64"), shape=tuple(shape), site=site)
    return b.add(b.mul(b.cast(bits, dtype="f32"), 2.0**-32 * (1 - 2.0**-23)), 0.5)


def normal(reader: Reader, shape: Sequence[Size]) -> Value:
    """New normal random f32 numbers (Box and Muller 1958)."""
    b, radius, angle = reader.b, uniform(reader, shape), uniform(reader, shape)
    return b.mul(b.sqrt(b.mul(b.log(radius), -2.0)), b.cos(b.mul(angle, 2 * math.pi)))


def _seed(reader: Reader, role: str) -> Value:
    """The graph's input with this role."""
    for item in reader.b.inputs:
        if item.role == role:
            return item.value
    return reader.b.input(reader.model.names.unique(role), TensorType("i64"), role, doc=SEEDS[role])


# --- operators -----------------------------------------------------------------------------------------------------


def dropout(reader: Reader, call: Call) -> Results | None:
    """Dropout-7 to -22. Until version 11, and unless the third input says otherwise, a node is one of inference."""
    b, x = reader.b, call.inputs[0]
    assert x is not None
    training = call.input(2)
    known = reader.constant(training)
    ratio = call.input(1) if call.input(1) is not None else b.constant(0.5)
    assert ratio is not None
    if training is None or (known is not None and not known) or reader.constant(ratio) == 0:
        return x, (_all_kept(b, call, x) if call.asks(1) else None)
    if b.outer is not None:
        return None
    ratio = b.cast(ratio, dtype="f32")
    kept = b.greater_equal(uniform(reader, x.type.shape), ratio)
    factor = b.div(1.0, b.sub(1.0, ratio))
    if known is None:
        kept = b.logical_or(kept, b.logical_not(training))
        factor = b.select(training, factor, 1.0)
    return b.mul(x, b.mul(b.cast(kept, dtype=x.type.dtype), b.cast(factor, dtype=x.type.dtype))), kept


def _all_kept(b: Builder, call: Call, x: Value) -> Value:
    mask = b.full(shape=x.type.shape, value=1.0, dtype=x.type.dtype)
    return mask if call.version < 10 else b.cast(mask, dtype="bool")


def random_uniform(reader: Reader, call: Call) -> Results | None:
    """RandomUniform-1 to -22 and RandomUniformLike-1 to -22."""
    drawn = _filled(reader, call, uniform)
    if drawn is None:
        return _foreign(reader, call)
    b, low, high = reader.b, call.attribute("low", 0.0), call.attribute("high", 1.0)
    return (b.add(b.mul(drawn, high - low), low),)


def random_normal(reader: Reader, call: Call) -> Results | None:
    """RandomNormal-1 to -22 and RandomNormalLike-1 to -22."""
    drawn = _filled(reader, call, normal)
    if drawn is None:
        return _foreign(reader, call)
    return (reader.b.add(reader.b.mul(drawn, call.attribute("scale", 1.0)), call.attribute("mean", 0.0)),)


def _filled(reader: Reader, call: Call, draw: Any) -> Value | None:
    """Draws of the shape and dtype that the node states, or those of its input; None where that cannot be done."""
    like = call.input(0)
    shape = tuple(call.attribute("shape", ())) if like is None else like.type.shape
    dtype = DTYPES.get(call.attribute("dtype", 1))
    if like is not None and "dtype" not in call.attributes:
        dtype = like.type.dtype
    if reader.b.outer is not None or dtype not in FLOATS:
        return None
    return reader.b.cast(draw(reader, shape), dtype=dtype)


def bernoulli(reader: Reader, call: Call) -> Results | None:
    """Bernoulli-15 and -22: true with the probability that the input states."""
    b, x = reader.b, call.inputs[0]
    assert x is not None
    stated = call.attribute("dtype")
    dtype = x.type.dtype if stated is None else DTYPES.get(stated)
    if b.outer is not None or dtype is None:
        return _foreign(reader, call)
    return (b.cast(b.less(uniform(reader, x.type.shape), b.cast(x, dtype="f32")), dtype=dtype),)


def multinomial(reader: Reader, call: Call) -> Results | None:
    """Multinomial-7 and -22: the class with the largest sum of logarithm and Gumbel noise (Gumbel 1954)."""
    b, x = reader.b, call.inputs[0]
    assert x is not None
    batch, classes = x.type.shape
    dtype = DTYPES.get(call.attribute("dtype", 6))
    if b.outer is not None or dtype is None:
        return _foreign(reader, call)
    drawn = uniform(reader, (batch, call.attribute("sample_size", 1), classes))
    noisy = b.sub(b.reshape(b.cast(x, dtype="f32"), shape=(batch, 1, classes)), b.log(b.neg(b.log(drawn))))
    return (b.cast(b.argmax(noisy, axis=-1), dtype=dtype),)


def _foreign(reader: Reader, call: Call) -> Results:
    """The node as it is; what it draws does not depend on its input in a way that has a gradient."""
    inputs = tuple(None if x is None else reader.b.stop_gradient(x) for x in call.inputs)
    return reader.foreign(replace(call, inputs=inputs))


RULES = {
    "Dropout": dropout,
    "RandomUniform": random_uniform,
    "RandomUniformLike": random_uniform,
    "RandomNormal": random_normal,
    "RandomNormalLike": random_normal,
    "Bernoulli": bernoulli,
    "Multinomial": multinomial,
}
