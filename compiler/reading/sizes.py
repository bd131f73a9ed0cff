"""What is known of small integer tensors while compiling: sizes of inputs, and arithmetic on them."""

from __future__ import annotations

import math
import operator
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


def _each(inputs: int, function: Callable[..., Any], dtype: type = object) -> Callable[..., Any]:
    """`function` of `inputs` numbers, element by element."""
    apply = np.frompyfunc(function, inputs, 1)
    return lambda *arrays, **_: np.asarray(apply(*arrays), dtype)


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


def _reduced(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
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


def _rounded(function: Callable[[float], int]) -> Callable[[Any], Any]:
    return lambda x: function(x) if isinstance(x, float) else x


def _equal(x: Size, y: Size) -> bool:
    return _decided(decide_equal(x, y))


def _less(x: Size, y: Size) -> bool:
    return _decided(decide_less(x, y))


def _by_numpy(name: str) -> Callable[..., Any]:
    numpy = OPS[name].numpy
    assert numpy is not None
    return numpy


def _gather(x: np.ndarray, index: np.ndarray, **attrs: Any) -> np.ndarray:
    return _by_numpy("gather")(x, index.astype(np.int64), **attrs)


_MOVING = ("concat", "expand", "reshape", "slice", "split", "transpose")
"""Operators that only move elements, whatever they are."""

RULES: dict[str, Callable[..., Any]] = {
    **{name: _by_numpy(name) for name in _MOVING},
    "gather": _gather,
    "dim": lambda size: size,
    "iota": _iota,
    "cast": _same,
    "floor": _each(1, _rounded(math.floor)),
    "ceil": _each(1, _rounded(math.ceil)),
    "neg": _each(1, operator.neg),
    "add": _each(2, operator.add),
    "sub": _each(2, operator.sub),
    "mul": _each(2, _product),
    "div": _each(2, _quotient),
    "truncated_divide": _each(2, _quotient),
    "floor_divide": _each(2, operator.floordiv),
    "mod": _each(2, operator.mod),
    "maximum": _each(2, maximum),
    "minimum": _each(2, minimum),
    "equal": _each(2, _equal, bool),
    "not_equal": _each(2, lambda x, y: not _equal(x, y), bool),
    "less": _each(2, _less, bool),
    "greater": _each(2, lambda x, y: _less(y, x), bool),
    "less_equal": _each(2, lambda x, y: not _less(y, x), bool),
    "greater_equal": _each(2, lambda x, y: not _less(x, y), bool),
    "logical_not": np.logical_not,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "select": np.where,
    "sum": _reduced(operator.add),
    "prod": _reduced(operator.mul),
    "max": _reduced(maximum),
    "min": _reduced(minimum),
}
"""What an operator of the table does to sizes: like its `numpy`, but open sizes are compared only where certain."""
