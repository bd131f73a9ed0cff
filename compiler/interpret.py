"""The meaning of a graph in NumPy: slow, plain, and the oracle of the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from netlang.types import FLOATS, TensorType

from .dtypes import dtype_name, numpy_dtype
from .ir import Graph, Node, Value
from .ops import OPS
from .shapes import bind_symbols, substitute_all


def evaluate(graph: Graph, feeds: Mapping[str, Any], precision: Literal["f64"] | None = None) -> dict[str, np.ndarray]:
    """The outputs of `graph`, by name, for inputs and variables fed by name.

    With `precision="f64"` every float of the graph is float64, constants and casts included: what finite differences
    need. Raises ValueError where a feed is missing, unknown, or of another dtype or shape than its type says.
    """
    sources = list(graph.sources())
    values = _feed(sources, feeds, precision)
    symbols = bind_symbols(sources, {value: array.shape for value, array in values.items()})
    with np.errstate(all="ignore"):  # infinities and NaNs are results here, as they are in ONNX
        for node in graph.nodes:
            results = run_node(node, [values[x] for x in node.inputs], symbols, precision)
            values.update(zip(node.outputs, results, strict=True))
    return {output.name: values[output.value] for output in graph.outputs}


def run_node(
    node: Node, inputs: list[np.ndarray], symbols: Mapping[str, int], precision: Literal["f64"] | None = None
) -> tuple[np.ndarray, ...]:
    """The results of one node. Raises AssertionError where they are not of the types that the node declares."""
    attributes = {key: substitute_all(value, symbols) for key, value in node.attrs}
    if precision == "f64":
        attributes |= dict.fromkeys(_float_dtype_attributes(node), "f64")
    results = OPS[node.op].numpy(*inputs, **attributes)
    results = results if isinstance(results, tuple) else (results,)
    arrays = tuple(
        np.asarray(result, _dtype(output.type, precision)) for result, output in zip(results, node.outputs, strict=True)
    )
    for array, output in zip(arrays, node.outputs, strict=True):
        expected = substitute_all(output.type.shape, symbols)
        assert array.shape == expected, f"{node.op} gave shape {array.shape}, its type says {output.type} = {expected}"
    return arrays


def _feed(sources: list[Value], feeds: Mapping[str, Any], precision: str | None) -> dict[Value, np.ndarray]:
    names = [value.name for value in sources]
    missing = [name for name in names if name not in feeds]
    extra = sorted(feeds.keys() - set(names))
    if missing:
        raise ValueError(f"no value given for {', '.join(f'`{name}`' for name in missing)}")
    if extra:
        raise ValueError(f"the graph has no input {', '.join(f'`{name}`' for name in extra)}; it has {names}")
    return {value: _array(value, feeds[value.name], precision) for value in sources}


def _array(value: Value, feed: Any, precision: str | None) -> np.ndarray:
    """The feed as an array: plain numbers and lists take the dtype of the input; arrays must have it already."""
    wanted = _dtype(value.type, precision)
    if not isinstance(feed, np.ndarray | np.generic):
        return np.asarray(feed, wanted)
    array = np.asarray(feed)
    widened = precision == "f64" and dtype_name(array.dtype) in FLOATS and value.type.dtype in FLOATS
    if array.dtype != wanted and not widened:
        raise ValueError(f"`{value.name}` must be {value.type}, found dtype {array.dtype}")
    return array.astype(wanted, copy=False)


def _dtype(type_: TensorType, precision: str | None) -> np.dtype[Any]:
    return numpy_dtype("f64" if precision == "f64" and type_.dtype in FLOATS else type_.dtype)


def _float_dtype_attributes(node: Node) -> list[str]:
    declared = {attribute.name for attribute in OPS[node.op].signature.attributes if attribute.type == "dtype"}
    return [key for key, value in node.attrs if key in declared and value in FLOATS]
