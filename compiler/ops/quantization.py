"""Between floats and the small integers that stand for them: x ≈ scale (q - zero)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Size
from netlang.types import TensorType, broadcast

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value, listed, normal_axis, shape_mismatch
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

_VALUES = np.array([[-3.0, -1.26, -0.24, 0.0], [0.26, 0.74, 1.49, 300.0]], np.float32)
_BYTES = np.array([[0, 5, 128, 255], [1, 7, 3, 250]], np.uint8)
_SIGNED = np.array([[1, -7, 3], [0, 5, -2], [4, 4, -9], [-3, 8, 1]], np.int8)
_HALF = np.array(0.5, np.float32)
_COLUMNS = np.array([0.5, 0.25, 2.0, 1.0], np.float32)
_BLOCKS = np.array([[0.5, 2.0], [1.0, 0.25]], np.float32)
_ROUNDED = "its result is rounded: `fake_quantize` has a gradient that passes through"


def _check(x: TensorType, scale: TensorType, axis: int, block: int) -> None:
    """Raises DiagnosticError where `scale` is neither one number, nor one for each position or block of an axis."""
    if not scale.rank:
        return
    at = normal_axis(axis, x.rank)
    if block < 0:
        raise bad_value("`block` is the number of neighbours that share a scale", "0 or more", block)
    count: Size = -(-x.shape[at] // block) if block else x.shape[at]
    expected = (*x.shape[:at], count, *x.shape[at + 1 :]) if block else (count,)
    if scale.shape != expected:
        title = f"the scales of {listed(x.shape)} do not fit its axis {at}"
        raise shape_mismatch(title, listed(expected), listed(scale.shape))


def _quantized(x: TensorType, scale: TensorType, zero: TensorType, axis: int, block: int) -> TensorType:
    _check(x, scale, axis, block)
    return TensorType(zero.dtype, x.shape)


def _dequantized(x: TensorType, scale: TensorType, zero: TensorType, axis: int, block: int) -> TensorType:
    _check(x, scale, axis, block)
    return TensorType(scale.dtype, x.shape)


def _faked(x: TensorType, scale: TensorType, zero: TensorType, axis: int, block: int) -> TensorType:
    _check(x, scale, axis, block)
    return x


def _spread(b: Builder, values: Value, x: Value, axis: int, block: int) -> Value:
    """Scales or zero points in a shape that broadcasts against `x`."""
    if not values.type.rank:
        return values
    at = normal_axis(axis, x.type.rank)
    if not block:
        return b.reshape(values, shape=(x.type.shape[at], *(1,) * (x.type.rank - at - 1)))
    before, count, after = values.type.shape[:at], values.type.shape[at], values.type.shape[at + 1 :]
    column = b.reshape(values, shape=(*before, count, 1, *after))
    repeated = b.expand(column, shape=(*before, count, block, *after))
    joined = b.reshape(repeated, shape=(*before, count * block, *after))
    if joined.type.shape == x.type.shape:
        return joined
    return b.slice(joined, starts=0, stops=x.type.shape[at], axes=at, steps=1)


def _spread_numpy(values: np.ndarray, x: np.ndarray, axis: int, block: int) -> np.ndarray:
    if not values.ndim:
        return values
    if not block:
        return values.reshape(-1, *(1,) * (x.ndim - axis % x.ndim - 1))
    return np.take(np.repeat(values, block, axis), np.arange(x.shape[axis]), axis)


def _rounded_numpy(x: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int, block: int) -> np.ndarray:
    limits = np.iinfo(zero.dtype)
    scale, zero = (_spread_numpy(values, x, axis, block) for values in (scale, zero))
    return np.clip(np.round(x / scale) + zero.astype(x.dtype), limits.min, limits.max)


def _quantize_numpy(x: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int, block: int) -> np.ndarray:
    return _rounded_numpy(x, scale, zero, axis, block).astype(zero.dtype)


def _dequantize_numpy(x: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int, block: int) -> np.ndarray:
    scale, zero = (_spread_numpy(values, x, axis, block) for values in (scale, zero))
    return (x.astype(scale.dtype) - zero.astype(scale.dtype)) * scale


def _fake_numpy(x: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int, block: int) -> np.ndarray:
    found = _rounded_numpy(x, scale, zero, axis, block)
    scale, zero = (_spread_numpy(values, x, axis, block) for values in (scale, zero))
    return (found - zero.astype(x.dtype)) * scale


def _dequantize_body(b: Builder, x: Value, scale: Value, zero: Value, axis: int, block: int) -> Value:
    dtype = scale.type.dtype
    scale, zero = (_spread(b, values, x, axis, block) for values in (scale, zero))
    return b.mul(b.sub(b.cast(x, dtype=dtype), b.cast(zero, dtype=dtype)), scale)


def _fake_body(b: Builder, x: Value, scale: Value, zero: Value, axis: int, block: int) -> Value:
    limits = np.iinfo(numpy_dtype(zero.type.dtype))
    scale, zero = (_spread(b, values, x, axis, block) for values in (scale, zero))
    origin = b.cast(zero, dtype=x.type.dtype)
    steps = b.clip(b.add(b.round(b.div(x, scale)), origin), low=float(limits.min), high=float(limits.max))
    return b.mul(b.sub(steps, origin), scale)


def _onnx(op_type: str) -> Callable[..., str]:
    def lower(e: Emitter, node: Node, *inputs: str) -> str:
        return e.node(op_type, *inputs, **_granularity(node))

    return lower


def _fake_onnx(e: Emitter, node: Node, x: str, scale: str, zero: str) -> str:
    granularity = _granularity(node)
    steps = e.node("QuantizeLinear", x, scale, zero, **granularity)
    return e.node("DequantizeLinear", steps, scale, zero, **granularity)


def _granularity(node: Node) -> dict[str, int]:
    axis, block = node.attributes["axis"], node.attributes["block"]
    if not node.inputs[1].type.rank:
        return {}
    return {"axis": axis, "block_size": block} if block else {"axis": axis}


def _product_shape(x: TensorType, w: TensorType, x_zero: TensorType, w_zero: TensorType) -> TensorType:
    if {x.dtype, w.dtype} - {"i8", "u8"}:
        found = f"{x.dtype} and {w.dtype}"
        raise fail("type-mismatch", "quantised matrices are of 8 bits", expected="i8 or u8", found=found)
    if x_zero.shape != () or w_zero.shape not in ((), w.shape[-1:]):
        title = "zeros are one for the left matrix, and one or one for each column for the right"
        raise shape_mismatch(
            title, f"[] and [] or {listed(w.shape[-1:])}", f"{listed(x_zero.shape)} and {listed(w_zero.shape)}"
        )
    return TensorType("i32", (*broadcast(x.shape[:-2], w.shape[:-2]), x.shape[-2], w.shape[-1]))


def _product_numpy(x: np.ndarray, w: np.ndarray, x_zero: np.ndarray, w_zero: np.ndarray) -> np.ndarray:
    return np.matmul(x.astype(np.int32) - x_zero.astype(np.int32), w.astype(np.int32) - w_zero.astype(np.int32))


def _dynamic_numpy(x: np.ndarray) -> tuple[np.ndarray, ...]:
    low, high = min(float(np.min(x)), 0.0), max(float(np.max(x)), 0.0)
    scale = np.float32((high - low) / 255 if high > low else 1.0)
    zero = np.clip(np.round(-low / scale), 0, 255).astype(np.uint8)
    return _quantize_numpy(x, np.asarray(scale), np.asarray(zero), 0, 0), np.asarray(scale), np.asarray(zero)


def _torch_dequantize(x: Any, scale: Any, zero: Any) -> Any:
    return (x.float() - zero) * scale


def _torch_fake(x: Any, scale: Any, zero: Any, axis: int = 1, block: int = 0) -> Any:
    """Esser et al. 2020, as PyTorch's quantisation-aware training has it."""
    if not scale.ndim:
        learnable = torch._fake_quantize_learnable_per_tensor_affine
        return learnable(x, scale.reshape(1), zero.reshape(1).float(), 0, 255)
    return torch._fake_quantize_learnable_per_channel_affine(x, scale, zero.float(), axis, 0, 255)


OPERATORS: tuple[Op, ...] = (
    Op(
        "quantize_linear(x: f[*s], scale: f[*k], zero: i[*k], axis: int = 1, block: int = 0) -> i",
        doc="x / scale rounded (halves to the even number), plus zero, limited to the dtype of `zero`. Scale and zero "
        "are one number, one for each position of `axis`, or one for each `block` of positions (Jacob et al. 2018).",
        numpy=_quantize_numpy,
        nondiff=_ROUNDED,
        shape=_quantized,
        onnx=_onnx("QuantizeLinear"),
        since=21,
        samples=(
            S(_VALUES, _HALF, np.array(5, np.uint8)),
            S(_VALUES, _COLUMNS, np.array([0, 1, -5, 100], np.int8)),
            S(_VALUES, np.array([0.5, 3.0], np.float32), np.array([1, 2], np.int16), axis=-2),
            S(_VALUES, _BLOCKS, np.array([[1, 2], [3, 4]], np.uint8), block=2),
            S(_VALUES[:, :3], _BLOCKS, np.array([[1, 2], [3, 4]], np.uint8), block=2),
            Bad(_VALUES, np.ones(3, np.float32), np.ones(3, np.uint8), code="shape-mismatch"),
            Bad(_VALUES, _COLUMNS, np.ones(3, np.uint8), code="shape-mismatch"),
            Bad(_VALUES, _COLUMNS, np.ones(4, np.uint8), axis=2, code="bad-axis"),
            Bad(_VALUES, _BLOCKS, np.ones((2, 2), np.uint8), block=-1, code="bad-value"),
        ),
    ),
    Op(
        "dequantize_linear(x: i[*s], scale: f[*k], zero: i[*k], axis: int = 1, block: int = 0) -> f",
        doc="(x - zero) scale, with scales and zeros as `quantize_linear` has them. The scale has a gradient.",
        numpy=_dequantize_numpy,
        body=_dequantize_body,
        shape=_dequantized,
        onnx=_onnx("DequantizeLinear"),
        since=21,
        samples=(
            S(_BYTES, _HALF, np.array(5, np.uint8), torch=_torch_dequantize),
            S(_BYTES, _COLUMNS, np.array([0, 1, 5, 100], np.uint8), torch=_torch_dequantize),
            S(_BYTES, _BLOCKS, np.array([[1, 2], [3, 4]], np.uint8), axis=-1, block=2),
            S(_BYTES[:, :3], _BLOCKS, np.array([[1, 2], [3, 4]], np.uint8), block=2),
            Bad(_BYTES, _COLUMNS[:3], np.ones(3, np.uint8), code="shape-mismatch"),
        ),
    ),
    Op(
        "fake_quantize(x: f[*s], scale: f[*k], zero: i[*k], axis: int = 1, block: int = 0) -> f",
        doc="`dequantize_linear` of `quantize_linear`: x as far as its quantised form keeps it, for quantisation-aware "
        "training. The gradient passes through the rounding, to x where it is not limited (Esser et al. 2020).",
        numpy=_fake_numpy,
        body=_fake_body,
        shape=_faked,
        onnx=_fake_onnx,
        since=21,
        samples=(
            S(_VALUES, _HALF, np.array(5, np.uint8), torch=_torch_fake),
            S(_VALUES, _COLUMNS, np.array([0, 1, 5, 100], np.uint8), torch=_torch_fake),
            S(_VALUES, _BLOCKS, np.array([[1, 2], [3, 4]], np.int8), block=2),
            Bad(_VALUES, _COLUMNS[:3], np.ones(3, np.uint8), code="shape-mismatch"),
        ),
    ),
    Op(
        "matmul_integer(x: i1[*B, m, k], w: i2[*B, k, n], x_zero: i1[*p], w_zero: i2[*q]) -> i32",
        doc="The matrix product of quantised matrices less their zeros: (x - x_zero) (w - w_zero), in i32. The zero of "
        "w is one number, or one for each column.",
        numpy=_product_numpy,
        nondiff="whole numbers have no derivative",
        shape=_product_shape,
        onnx="MatMulInteger",
        samples=(
            S(_BYTES, _SIGNED, np.array(5, np.uint8), np.array(-3, np.int8)),
            S(_BYTES, _SIGNED, np.array(0, np.uint8), np.array([1, -2, 0], np.int8)),
            S(np.stack([_BYTES, _BYTES]), _SIGNED, np.array(5, np.uint8), np.array(1, np.int8)),
            Bad(_BYTES, _SIGNED, np.array([1, 2], np.uint8), np.array(1, np.int8), code="shape-mismatch"),
            Bad(_BYTES, _SIGNED[:3], np.array(1, np.uint8), np.array(1, np.int8), code="shape-mismatch"),
            Bad(*(np.ones((2, 2), np.int32),) * 2, *(np.array(1, np.int32),) * 2, code="type-mismatch"),
        ),
    ),
    Op(
        "dynamic_quantize_linear(x: f32[*s]) -> (u8[*s], f32, u8)",
        doc="x quantised so that its range, with 0 in it, fills 0 … 255; then the scale; then the zero.",
        numpy=_dynamic_numpy,
        nondiff=_ROUNDED,
        onnx="DynamicQuantizeLinear",
        samples=(S(_VALUES), S(np.array([1.0, 2.0, 5.0], np.float32)), S(np.array([-1.0, -3.5], np.float32))),
    ),
)
