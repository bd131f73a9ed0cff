"""What is known of small integer tensors while compiling: sizes of inputs, and arithmetic on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from netlang.dims import Dim, Size, decide_equal, decide_less, maximum, minimum
from netlang.types import INTEGERS

from ..builder import Builder
from ..ir import Node, Value
from ..ops import OPS

LIMIT = 64
"""Largest number of elements that are followed."""


class SizeTracker:
    """Evaluates the nodes that compute a value on arrays of sizes. Remembers what it found."""

    def __init__(self) -> None:
        self._known: dict[Value, np.ndarray | None] = {}

    def of(self, b: Builder, value: Value) -> np.ndarray | None:
        """The content of an integer tensor as an array of sizes (dtype object), or None where it is not known."""
        if value.type.dtype not in INTEGERS:
            return None
        return self._content(b, value)

    def _content(self, b: Builder, value: Value) -> np.ndarray | None:
        if value not in self._known:
            self._known[value] = self._computed(b, value)
        return self._known[value]

    def _computed(self, b: Builder, value: Value) -> np.ndarray | None:
        if not _small(value):
            return None
        constant = b.constant_value(value)
        if constant is not None:
            return _exact(constant)
        node = b.producer(value)
        rule = None if node is None else RULES.get(node.op)
        if node is None or rule is None:
            return None
        inputs = [self._content(b, x) for x in node.inputs]
        if any(x is None for x in inputs):
            return None
        return _applied(rule, node, inputs, node.outputs.index(value))


def _applied(rule: Callable[..., Any], node: Node, inputs: list[Any], index: int) -> np.ndarray | None:
    try:
        results = rule(*inputs, **node.attributes)
    except (_Unknown, TypeError, ZeroDivisionError, ValueError):
        return None  # of values that no size describes
    result = _objects(results[index] if isinstance(results, tuple | list) else results)
    return result if result.shape == node.outputs[index].type.shape else None


class _Unknown(Exception):
    """What a rule asks is true for some values of the symbols only."""


def _small(value: Value) -> bool:
    shape = value.type.shape
    return all(isinstance(size, int) for size in shape) and int(np.prod(shape, dtype=np.int64)) <= LIMIT  # type: ignore


def _exact(array: np.ndarray) -> np.ndarray | None:
    """A constant as integers; None where it holds others."""
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind not in "iu" and not (np.isfinite(array).all() and (array == np.floor(array)).all()):
        return array.astype(object)
    return _objects(np.vectorize(int, otypes=[object])(array) if array.size else array.astype(object))


def _objects(value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value if value.dtype == bool else value.astype(object)
    array = np.empty((), object)
    array[()] = value
    return array


def _elementwise(function: Callable[..., Any], dtype: type = object) -> Callable[..., Any]:
    apply = np.frompyfunc(function, function.__code__.co_argcount, 1)
    return lambda *inputs, **_: np.asarray(apply(*inputs), dtype)


def _decided(answer: bool | None) -> bool:
    if answer is None:
        raise _Unknown
    return answer


def _whole(number: Any) -> Any:
    """A number that is a size where it is whole."""
    return int(number) if isinstance(number, float) and number == int(number) else number


def _quotient(x: Any, y: Any) -> Any:
    if isinstance(x, Dim) or isinstance(y, Dim):
        return _whole(x) // _whole(y)
    return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)  # ONNX divides towards zero


def _product(x: Any, y: Any) -> Any:
    return _whole(x) * _whole(y)


def _reduced(function: Callable[[Size, Size], Size]) -> Callable[..., Any]:
    ufunc = np.frompyfunc(function, 2, 1)

    def reduce(x: np.ndarray, axis: tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
        axes = range(x.ndim) if axis is None else sorted(one % x.ndim for one in axis)
        for one in reversed(axes):
            x = _objects(ufunc.reduce(x, axis=one, keepdims=keepdims))
        return x

    return reduce


def _iota(count: Size) -> np.ndarray:
    return _objects(np.arange(count)) if isinstance(count, int) else _objects(None)


def _same(x: np.ndarray, **_: Any) -> np.ndarray:
    return x


def _by_numpy(name: str) -> Callable[..., Any]:
    return lambda *inputs, **attrs: OPS[name].numpy(*inputs, **attrs)  # type: ignore[misc]


def _gather(x: np.ndarray, index: np.ndarray, **attrs: Any) -> np.ndarray:
    return OPS["gather"].numpy(x, index.astype(np.int64), **attrs)  # type: ignore[misc]


_MOVING = ("concat", "expand", "reshape", "slice", "split", "stack", "squeeze", "tile", "transpose")
"""Operators that only move elements, whatever they are."""

RULES: dict[str, Callable[..., Any]] = {
    **{name: _by_numpy(name) for name in _MOVING},
    "gather": _gather,
    "dim": lambda size: size,
    "iota": _iota,
    "cast": _same,
    "floor": _elementwise(lambda x: _whole(x) if not isinstance(x, float) else int(x // 1)),
    "ceil": _elementwise(lambda x: _whole(x) if not isinstance(x, float) else int(-(-x // 1))),
    "neg": _elementwise(lambda x: -x),
    "add": _elementwise(lambda x, y: x + y),
    "sub": _elementwise(lambda x, y: x - y),
    "mul": _elementwise(_product),
    "div": _elementwise(_quotient),
    "truncated_divide": _elementwise(_quotient),
    "floor_divide": _elementwise(lambda x, y: x // y),
    "mod": _elementwise(lambda x, y: x % y),
    "maximum": _elementwise(lambda x, y: maximum(x, y)),
    "minimum": _elementwise(lambda x, y: minimum(x, y)),
    "equal": _elementwise(lambda x, y: _decided(decide_equal(x, y)), bool),
    "not_equal": _elementwise(lambda x, y: not _decided(decide_equal(x, y)), bool),
    "less": _elementwise(lambda x, y: _decided(decide_less(x, y)), bool),
    "greater": _elementwise(lambda x, y: _decided(decide_less(y, x)), bool),
    "less_equal": _elementwise(lambda x, y: not _decided(decide_less(y, x)), bool),
    "greater_equal": _elementwise(lambda x, y: not _decided(decide_less(x, y)), bool),
    "logical_not": _elementwise(lambda x: not x, bool),
    "logical_and": _elementwise(lambda x, y: x and y, bool),
    "logical_or": _elementwise(lambda x, y: x or y, bool),
    "select": lambda condition, x, y: np.where(condition, x, y),
    "sum": _reduced(lambda x, y: x + y),
    "prod": _reduced(lambda x, y: x * y),
    "max": _reduced(lambda x, y: maximum(x, y)),
    "min": _reduced(lambda x, y: minimum(x, y)),
}
"""What an operator of the table does to sizes: like its `numpy`, but open sizes are compared only where certain."""
