"""Operators on the bits of integers, broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netlang.diagnostics import fail
from netlang.types import TensorType, broadcast

from ..op import Bad, Op, S
from .reference import torch

_LEFT = np.array([[12, -1, 7], [0, 255, -128]], np.int32)
_RIGHT = np.array([10, 3, -8], np.int32)
_WORDS = np.array([[1, 3, 0x80000001], [0, 255, 5]], np.uint32)
_SHIFTS = np.array([0, 1, 31], np.uint32)
_BITS = "bits have no derivative"


def _shifted(x: TensorType, y: TensorType) -> TensorType:
    if not x.dtype.startswith("u"):
        raise fail("type-mismatch", "bits are shifted in unsigned integers", expected="u8, u32 or u64", found=x)
    return TensorType(x.dtype, broadcast(x.shape, y.shape))


def _shift(direction: str) -> Callable[..., str]:
    return lambda e, node, x, y: e.node("BitShift", x, y, direction=direction)


OPERATORS: tuple[Op, ...] = (
    Op(
        "bitwise_and(x: i[*B], y: i[*B]) -> i[*B]",
        doc="The bits that x and y have.",
        numpy=np.bitwise_and,
        nondiff=_BITS,
        onnx="BitwiseAnd",
        samples=(S(_LEFT, _RIGHT, torch=torch.bitwise_and), Bad((2,), (2,), code="type-mismatch")),
    ),
    Op(
        "bitwise_or(x: i[*B], y: i[*B]) -> i[*B]",
        doc="The bits that x or y has.",
        numpy=np.bitwise_or,
        nondiff=_BITS,
        onnx="BitwiseOr",
        samples=(S(_LEFT, _RIGHT, torch=torch.bitwise_or),),
    ),
    Op(
        "bitwise_xor(x: i[*B], y: i[*B]) -> i[*B]",
        doc="The bits that one of x and y has.",
        numpy=np.bitwise_xor,
        nondiff=_BITS,
        onnx="BitwiseXor",
        samples=(S(_LEFT, _RIGHT, torch=torch.bitwise_xor),),
    ),
    Op(
        "bitwise_not(x: i[*s]) -> i[*s]",
        doc="The bits that x does not have.",
        numpy=np.invert,
        nondiff=_BITS,
        onnx="BitwiseNot",
        samples=(S(_LEFT, torch=torch.bitwise_not), Bad((2,), code="type-mismatch")),
    ),
    Op(
        "bitwise_left_shift(x: i[*B], y: i[*B]) -> i[*B]",
        doc="The bits of x moved up by y places, for unsigned integers; y is below their width.",
        numpy=np.left_shift,
        nondiff=_BITS,
        shape=_shifted,
        onnx=_shift("LEFT"),
        samples=(
            S(_WORDS, _SHIFTS),
            S(_WORDS.astype(np.uint64), np.array(40, np.uint64)),
            Bad(_LEFT, _RIGHT, code="type-mismatch"),
        ),
    ),
    Op(
        "bitwise_right_shift(x: i[*B], y: i[*B]) -> i[*B]",
        doc="The bits of x moved down by y places, for unsigned integers; y is below their width.",
        numpy=np.right_shift,
        nondiff=_BITS,
        shape=_shifted,
        onnx=_shift("RIGHT"),
        samples=(S(_WORDS, _SHIFTS), S(_WORDS.astype(np.uint8), np.array(3, np.uint8))),
    ),
)
