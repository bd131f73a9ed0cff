"""The meaning of a graph in NumPy: slow, plain, and the oracle of the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from netlang.types import FLOATS, TensorType

from .builder import Builder
from .dtypes import dtype_name, numpy_dtype
from .ir import Graph, Node, Value
from .op import Op
from .ops import OPS
from .shapes import bind_symbols, substitute_all, symbol_sources

Precision = Literal["f64"] | None


def evaluate(graph: Graph, feeds: Mapping[str, Any], precision: Precision = None) -> dict[str, np.ndarray]:
    """The outputs of `graph`, by name, for inputs and variables fed by name.

    With `precision="f64"` every float of the graph is float64, constants and casts included: what finite differences
    need. Raises ValueError where a feed is missing, unknown, or of another dtype or shape than its type says.
    """
    sources = list(graph.sources())
    values = _feed(sources, feeds, precision)
    symbols = bind_symbols(sources, {value: array.shape for value, array in values.items()})
    with np.errstate(all="ignore"):  # infinities and NaNs are results here, as they are in ONNX
        _run_nodes(graph, values, symbols, precision)
    return {output.name: values[output.value] for output in graph.outputs}


def run_node(
    node: Node, inputs: Sequence[np.ndarray], symbols: dict[str, int], precision: Precision = None
) -> tuple[np.ndarray, ...]:
    """The results of one node; what they determine is added to `symbols`.

    Raises AssertionError where they are not of the types that the node declares.
    """
    op = OPS[node.op]
    attributes = {key: substitute_all(value, symbols) for key, value in node.attrs}
    attributes |= dict.fromkeys(op.determines)
    if precision == "f64":
        attributes |= dict.fromkeys(_float_dtype_attributes(node), "f64")
    results = _meaning(op, inputs, attributes, symbols, precision)
    arrays = tuple(
        np.asarray(result, _dtype(output.type, precision)) for result, output in zip(results, node.outputs, strict=True)
    )
    for array, output in zip(arrays, node.outputs, strict=True):
        _determine(output, array, symbols)
        expected = substitute_all(output.type.shape, symbols)
        assert array.shape == expected, f"{node.op} gave shape {array.shape}, its type says {output.type} = {expected}"
    return arrays


def _run_nodes(graph: Graph, values: dict[Value, np.ndarray], symbols: dict[str, int], precision: Precision) -> None:
    for node in graph.nodes:
        results = run_node(node, [values[x] for x in node.inputs], symbols, precision)
        values.update(zip(node.outputs, results, strict=True))


def _meaning(
    op: Op, inputs: Sequence[np.ndarray], attributes: dict[str, Any], symbols: Mapping[str, int], precision: Precision
) -> tuple[Any, ...]:
    if op.numpy is None:
        return _composite(op, inputs, attributes, precision)
    if any(attribute.type == "graph" for attribute in op.signature.attributes):
        attributes["run"] = _Run(symbols, precision)
    results = op.numpy(*inputs, **attributes)
    return results if isinstance(results, tuple) else (results,)


class _Run:
    """Runs the bodies of one node: the symbols of the graph around are known in them."""

    def __init__(self, symbols: Mapping[str, int], precision: Precision) -> None:
        self._symbols = symbols
        self._precision: Precision = precision

    def __call__(self, body: Graph, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        values = dict(zip(body.sources(), arrays, strict=True))
        symbols = dict(self._symbols)
        for value, array in values.items():
            _determine(value, array, symbols)
        _run_nodes(body, values, symbols, self._precision)
        return [values[output.value] for output in body.outputs]

    def empty(self, type_: TensorType) -> np.ndarray:
        return np.zeros((0, *substitute_all(type_.shape, self._symbols)), _dtype(type_, self._precision))


def _composite(
    op: Op, inputs: Sequence[np.ndarray], attributes: dict[str, Any], precision: Precision
) -> tuple[np.ndarray, ...]:
    """A composite means what its body means."""
    assert op.body is not None
    b = Builder(op.name)
    attributes |= {name: b.fresh(op.name) for name in op.determines}
    feeds = {f"x{i}": array for i, array in enumerate(inputs)}
    operands = [b.input(name, TensorType(dtype_name(x.dtype), x.shape)) for name, x in feeds.items()]
    results = op.body(b, *operands, **attributes)
    for i, result in enumerate(results if isinstance(results, tuple) else (results,)):
        b.output(f"y{i}", result)
    return tuple(evaluate(b.graph(), feeds, precision).values())


def _determine(value: Value, array: np.ndarray, symbols: dict[str, int]) -> None:
    """Adds the symbols that only the shape of `array` tells."""
    for name, source in symbol_sources([value]).items():
        if name not in symbols and array.ndim == value.type.rank:
            solution = source.solve(array.shape[source.axis])
            if solution is not None:
                symbols[name] = solution


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
