"""Comparisons, truth values, and the choice between two tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..op import Bad, Op, S
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

_LEFT = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)
_RIGHT = np.array([2.0, 2.0, 2.0], np.float32)
_MASK = np.array([[True, False, True], [False, False, True]])
_OTHER = np.array([True, True, False])
_TRUTH = "the result is a truth value"


def _select_vjp(b: Builder, g: Value, z: Value, condition: Value, x: Value, y: Value) -> tuple[Value | None, ...]:
    # Not by products with a mask: a NaN of the branch that was not taken must not pass.
    return None, b.select(condition, g, 0.0), b.select(condition, 0.0, g)


def _not_equal_onnx(e: Emitter, node: Node, x: str, y: str) -> str:
    return e.node("Not", e.node("Equal", x, y))


OPERATORS: tuple[Op, ...] = (
    Op(
        "equal(x: t[*B], y: t[*B]) -> bool[*B]",
        doc="Whether x is y.",
        numpy=np.equal,
        nondiff=_TRUTH,
        onnx="Equal",
        samples=(
            S(_LEFT, _RIGHT, torch=lambda x, y: x == y),
            S(np.array([1, 2]), np.array([[2], [1]]), torch=lambda x, y: x == y),
            S(_MASK, _OTHER, torch=lambda x, y: x == y),
            Bad((2,), np.array([1, 2]), code="type-mismatch"),
        ),
    ),
    Op(
        "not_equal(x: t[*B], y: t[*B]) -> bool[*B]",
        doc="Whether x is not y.",
        numpy=np.not_equal,
        nondiff=_TRUTH,
        onnx=_not_equal_onnx,
        samples=(S(_LEFT, _RIGHT, torch=lambda x, y: x != y), S(_MASK, _OTHER, torch=lambda x, y: x != y)),
    ),
    Op(
        "less(x: n[*B], y: n[*B]) -> bool[*B]",
        doc="Whether x is below y.",
        numpy=np.less,
        nondiff=_TRUTH,
        onnx="Less",
        samples=(S(_LEFT, _RIGHT, torch=lambda x, y: x < y), S(np.array([1, 2]), np.array(2))),
    ),
    Op(
        "less_equal(x: n[*B], y: n[*B]) -> bool[*B]",
        doc="Whether x is not above y.",
        numpy=np.less_equal,
        nondiff=_TRUTH,
        onnx="LessOrEqual",
        samples=(S(_LEFT, _RIGHT, torch=lambda x, y: x <= y), S(np.array([1, 2]), np.array(2))),
    ),
    Op(
        "greater(x: n[*B], y: n[*B]) -> bool[*B]",
        doc="Whether x is above y.",
        numpy=np.greater,
        nondiff=_TRUTH,
        onnx="Greater",
        samples=(S(_LEFT, _RIGHT, torch=lambda x, y: x > y), S(np.array([1, 2]), np.array(2))),
    ),
    Op(
        "greater_equal(x: n[*B], y: n[*B]) -> bool[*B]",
        doc="Whether x is not below y.",
        numpy=np.greater_equal,
        nondiff=_TRUTH,
        onnx="GreaterOrEqual",
        samples=(S(_LEFT, _RIGHT, torch=lambda x, y: x >= y), S(np.array([1, 2]), np.array(2))),
    ),
    Op(
        "logical_not(x: bool[*s]) -> bool[*s]",
        doc="Whether x is false.",
        numpy=np.logical_not,
        nondiff=_TRUTH,
        onnx="Not",
        samples=(S(_MASK, torch=lambda x: ~x), Bad((2,), code="type-mismatch")),
    ),
    Op(
        "logical_and(x: bool[*B], y: bool[*B]) -> bool[*B]",
        doc="Whether x and y are true.",
        numpy=np.logical_and,
        nondiff=_TRUTH,
        onnx="And",
        samples=(S(_MASK, _OTHER, torch=lambda x, y: x & y),),
    ),
    Op(
        "logical_or(x: bool[*B], y: bool[*B]) -> bool[*B]",
        doc="Whether x or y is true.",
        numpy=np.logical_or,
        nondiff=_TRUTH,
        onnx="Or",
        samples=(S(_MASK, _OTHER, torch=lambda x, y: x | y),),
    ),
    Op(
        "logical_xor(x: bool[*B], y: bool[*B]) -> bool[*B]",
        doc="Whether one of x and y is true.",
        numpy=np.logical_xor,
        nondiff=_TRUTH,
        onnx="Xor",
        samples=(S(_MASK, _OTHER, torch=lambda x, y: x ^ y),),
    ),
    Op(
        "select(condition: bool[*B], x: t[*B], y: t[*B]) -> t[*B]",
        doc="x where the condition holds, else y. The gradient passes to the one that was taken.",
        numpy=np.where,
        vjp=_select_vjp,
        onnx="Where",
        samples=(
            S(_MASK, (2, 3), (2, 3), torch=torch.where),
            S(_OTHER, (2, 3), (), torch=torch.where),
            S(_MASK, (3,), (4, 1, 1), torch=torch.where),
            S(_OTHER, np.array([1, 2, 3]), np.array(0), torch=torch.where),
            Bad((2, 3), (2, 3), (2, 3), code="type-mismatch"),
        ),
    ),
)
