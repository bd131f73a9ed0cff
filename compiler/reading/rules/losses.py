"""Reads the losses of classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader


def nll_loss(reader: Reader, call: Call) -> Value:
    """NegativeLogLikelihoodLoss-12 to -22."""
    return _loss(reader, call, "nll_loss")


def cross_entropy(reader: Reader, call: Call) -> Sequence[Value | None]:
    """SoftmaxCrossEntropyLoss-12 and -13."""
    scores = call.input(0)
    log_p = reader.b.log_softmax(scores, axis=1) if call.asks(1) else None
    return _loss(reader, call, "cross_entropy"), log_p


def _loss(reader: Reader, call: Call, name: str) -> Value:
    operands = [value for value in call.inputs if value is not None]
    attrs = {"ignore_index": call.attribute("ignore_index"), "reduction": call.attribute("reduction", "mean")}
    result = reader.b.apply(name if len(operands) == 2 else f"weighted_{name}", operands, attrs)
    assert not isinstance(result, tuple)
    return result


RULES = {"NegativeLogLikelihoodLoss": nll_loss, "SoftmaxCrossEntropyLoss": cross_entropy}
