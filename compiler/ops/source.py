"""Tensors made from nothing: constants, filled tensors, ranges, sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netlang.dims import Size, decide_less
from netlang.types import TensorType

from ..dtypes import dtype_name, numpy_dtype
from ..ir import Constant
from ..op import Bad, Op, S
from .common import bad_value
from .reference import torch

if TYPE_CHECKING:
    from ..emit import Emitter
    from ..ir import Node

_NO_INPUT = "it has no input to differentiate by"


def check_sizes(*sizes: Size) -> None:
    """Raises DiagnosticError (`bad-value`) where a size is surely below 0."""
    for size in sizes:
        if decide_less(size, 0):
            raise bad_value("a tensor has a size below 0", "0 or more", size)


def _constant_shape(value: Constant) -> TensorType:
    return TensorType(dtype_name(value.array.dtype), value.array.shape)


def _constant_onnx(e: Emitter, node: Node) -> str:
    return e.constant(node.attributes["value"].array)


def _full_shape(shape: tuple[Size, ...], value: float, dtype: str) -> TensorType:
    check_sizes(*shape)
    return TensorType(dtype, shape)


def _full_onnx(e: Emitter, node: Node) -> str:
    value = np.array(node.attributes["value"], numpy_dtype(node.attributes["dtype"]))
    shape = node.attributes["shape"]
    return e.node("Expand", e.constant(value), e.sizes(shape)) if shape else e.constant(value)


def _full_numpy(shape: tuple[int, ...], value: float, dtype: str) -> np.ndarray:
    return np.full(shape, value, numpy_dtype(dtype))


def _iota_shape(count: Size) -> TensorType:
    check_sizes(count)
    return TensorType("i64", (count,))


def _iota_onnx(e: Emitter, node: Node) -> str:
    zero, one = (e.constant(np.array(i, np.int64)) for i in (0, 1))
    return e.node("Range", zero, e.size(node.attributes["count"]), one)


def _eye_shape(rows: Size, columns: Size, diagonal: int, dtype: str) -> TensorType:
    check_sizes(rows, columns)
    return TensorType(dtype, (rows, columns))


def _eye_onnx(e: Emitter, node: Node) -> str:
    attributes = node.attributes
    zeros = e.node("ConstantOfShape", e.sizes([attributes["rows"], attributes["columns"]]))
    found = e.node("EyeLike", zeros, k=attributes["diagonal"])
    return found if attributes["dtype"] == "f32" else e.node("Cast", found, to=e.onnx_dtype(attributes["dtype"]))


def _dim_numpy(size: Size) -> np.ndarray:
    return np.array(size, np.int64)


OPERATORS: tuple[Op, ...] = (
    Op(
        "constant(value: constant) -> t",
        doc="A tensor known while compiling.",
        numpy=lambda value: value.array,
        nondiff=_NO_INPUT,
        shape=_constant_shape,
        onnx=_constant_onnx,
        samples=(
            S(value=Constant(np.array([[1.5, 2.0]], np.float32))),
            S(value=Constant(np.array(3))),
            S(value=Constant(np.array([True, False]))),
        ),
    ),
    Op(
        "full(shape: sizes, value: float, dtype: dtype = f32) -> dtype[*shape]",
        doc="A tensor of equal elements.",
        numpy=_full_numpy,
        nondiff=_NO_INPUT,
        shape=_full_shape,
        onnx=_full_onnx,
        samples=(
            S(shape=(2, 3), value=1.5, torch=lambda shape, value: torch.zeros(shape) + value),
            S(shape=(), value=1.0),
            S(shape=(4,), value=1.0, dtype="bool"),
            S(shape=(2, 0), value=7.0, dtype="i64"),
            Bad(shape=(2, -1), value=1.0, code="bad-value"),
        ),
    ),
    Op(
        "iota(count: size) -> i64[count]",
        doc="0, 1, 2, … count - 1.",
        numpy=lambda count: np.arange(count, dtype=np.int64),
        nondiff=_NO_INPUT,
        shape=_iota_shape,
        onnx=_iota_onnx,
        samples=(S(count=5, torch=lambda count: torch.arange(0, count)), S(count=0), Bad(count=-1, code="bad-value")),
    ),
    Op(
        "eye(rows: size, columns: size, diagonal: int = 0, dtype: dtype = f32) -> dtype[rows, columns]",
        doc="1 on a diagonal and 0 elsewhere. Diagonal 0 is the main one; those above it count from 1 on, those below "
        "from -1 down.",
        numpy=lambda rows, columns, diagonal, dtype: np.eye(rows, columns, diagonal, numpy_dtype(dtype)),
        nondiff=_NO_INPUT,
        shape=_eye_shape,
        onnx=_eye_onnx,
        samples=(
            S(rows=3, columns=3, torch=lambda rows, columns: torch.eye(rows, m=columns)),
            S(rows=2, columns=4, diagonal=1, dtype="i64"),
            S(rows=4, columns=2, diagonal=-2, dtype="bool"),
            S(rows=2, columns=2, diagonal=5),
            Bad(rows=2, columns=-1, code="bad-value"),
        ),
    ),
    Op(
        "dim(size: size) -> i64",
        doc="A size, as a number of the graph.",
        numpy=_dim_numpy,
        nondiff=_NO_INPUT,
        onnx=lambda e, node: e.size(node.attributes["size"]),
        samples=(S(size=5),),
    ),
)
