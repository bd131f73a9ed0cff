"""Between the types of ONNX and those of the language."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx
from onnx import helper

from netlang.dims import Dim, Size
from netlang.types import TensorType

from ..emit import ONNX_DTYPES
from ..ops.foreign import OpaqueType

DTYPES = {number: name for name, number in ONNX_DTYPES.items()}
"""The language's name of each of ONNX's element types."""


def tensor_type(proto: onnx.TypeProto, known: Mapping[str, Size], fresh: Callable[[], Size]) -> TensorType | None:
    """The type that `proto` describes; None where it says no element type or no rank.

    A dimension with a name in `known` is that size; one without a name, or with another, is `fresh()`. Sequences,
    optional values and maps are opaque.
    """
    if proto.WhichOneof("value") not in ("tensor_type", None):
        return OpaqueType.of(proto)
    tensor = proto.tensor_type
    if tensor.elem_type not in DTYPES or not tensor.HasField("shape"):
        return None
    return TensorType(DTYPES[tensor.elem_type], tuple(_size(dim, known, fresh) for dim in tensor.shape.dim))


def type_proto(type_: TensorType) -> onnx.TypeProto:
    """The type in ONNX; open sizes are named by how they print."""
    if isinstance(type_, OpaqueType):
        return type_.proto
    shape = [size if isinstance(size, int) else str(size) for size in type_.shape]
    return helper.make_tensor_type_proto(ONNX_DTYPES[type_.dtype], shape)


def size_names(*types: TensorType) -> dict[str, Size]:
    """The open sizes of `types` by the names that `type_proto` gives them."""
    return {str(size): size for type_ in types for size in type_.shape if isinstance(size, Dim)}


def _size(dim: onnx.TensorShapeProto.Dimension, known: Mapping[str, Size], fresh: Callable[[], Size]) -> Size:
    if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0:
        return dim.dim_value
    return known[dim.dim_param] if dim.dim_param in known else fresh()
