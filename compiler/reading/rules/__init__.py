"""The rules that read ONNX operators, by family: `RULES` has them all by name, with the domain where it is not ONNX's.

An operator of the table that is lowered to the ONNX operator of the same meaning is read back by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...ir import Value
from ...op import Op
from ...ops import ALL
from . import (
    attention,
    control,
    convolution,
    data_sized,
    elementwise,
    image,
    indexing,
    linear_algebra,
    linear_attention,
    losses,
    normalization,
    pooling,
    quantization,
    random,
    recurrent,
    reduction,
    scatter,
    sequences,
    shape,
    signal,
    training,
)

if TYPE_CHECKING:
    from ..call import Call
    from ..reader import Reader

Result = Value | Sequence[Value | None] | None
Rule = Callable[["Reader", "Call"], Result]
"""Gives the results of a call; None leaves it to the operator's definition in ONNX, or else keeps the node foreign."""


def _by_table(op: Op) -> Rule:
    def rule(reader: Reader, call: Call) -> Result:
        inputs = [x for x in call.inputs if x is not None]
        plain = not call.attributes and len(inputs) == len(op.signature.tensors) and len(call.outputs) == 1
        return reader.b.apply(op.name, inputs, {}) if plain else None

    return rule


RULES: dict[str, Rule] = {
    **{op.onnx: _by_table(op) for op in ALL if isinstance(op.onnx, str) and op.onnx != "Identity"},
    "Identity": lambda reader, call: call.inputs,
    **control.RULES,
    **elementwise.RULES,
    **reduction.RULES,
    **linear_algebra.RULES,
    **quantization.RULES,
    **shape.RULES,
    **sequences.RULES,
    **scatter.RULES,
    **indexing.RULES,
    **data_sized.RULES,
    **attention.RULES,
    **losses.RULES,
    **recurrent.RULES,
    **image.RULES,
    **signal.RULES,
    **training.RULES,
    **linear_attention.RULES,
    **convolution.RULES,
    **pooling.RULES,
    **normalization.RULES,
    **random.RULES,
}
