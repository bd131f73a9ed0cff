"""What the tests of passes share: building small graphs, comparing their meaning, and drawing random ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import strategies as st
from netlang.compiler.builder import Builder
from netlang.compiler.dtypes import numpy_dtype
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph, Value
from netlang.compiler.verify import verify

from netlang.dims import symbol
from netlang.types import TensorType

N, M = symbol("n"), symbol("m")
SIZES = {"n": 3, "m": 2}


def tensor(*shape, dtype: str = "f32") -> TensorType:
    return TensorType(dtype, shape)


def build(make: Callable[..., Value], *types: TensorType) -> Graph:
    """The graph of `make(b, x0, x1, …)` with inputs of these types, and its result as the output y.

    One more input fixes the sizes that are open.
    """
    b = Builder()
    b.input("sizes", tensor(N, M))
    inputs = [b.input(f"x{i}", type_) for i, type_ in enumerate(types)]
    b.output("y", make(b, *inputs))
    return b.graph()


def operators(graph: Graph) -> list[str]:
    """Names of the operators of a graph, constants left out."""
    return [node.op for node in graph.nodes if node.op != "constant"]


def feeds(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = {}
    for value in graph.sources():
        shape = [size if isinstance(size, int) else SIZES[str(size)] for size in value.type.shape]
        numbers = rng.standard_normal(shape) * 2
        arrays[value.name] = numbers.astype(numpy_dtype(value.type.dtype))
    return arrays


def assert_equal(before: Graph, after: Graph, rtol: float = 0.0) -> None:
    """Both are well formed, have the same inputs and outputs, and compute the same."""
    verify(before)
    verify(after)
    arrays = feeds(before)
    expected = evaluate(before, arrays)
    kept = {value.name for value in after.sources()}
    found = evaluate(after, {name: array for name, array in arrays.items() if name in kept})
    assert list(found) == list(expected)
    for name, array in found.items():
        assert array.dtype == expected[name].dtype
        np.testing.assert_allclose(array, expected[name], rtol=rtol, atol=rtol, err_msg=name)


UNARY = ("abs", "neg", "exp", "relu", "tanh", "stop_gradient", "floor")
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "pow")
NUMBERS = (-1.0, 0.0, 0.5, 1.0, 2.0)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A random graph of element-wise operators, reductions and moves over small tensors, some sizes open."""
    b = Builder()
    shapes = st.sampled_from([(), (1,), (4,), (2, 1), (N,), (N, 4), (2, 4), (1, N, 4)])
    values = [b.input(f"x{i}", tensor(*draw(shapes))) for i in range(2)]
    for _ in range(draw(st.integers(1, 12))):
        values.append(_step(draw, b, values))
    for i, value in enumerate(draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))):
        b.output(f"y{i}", value)
    b.output("last", values[-1])
    return b.graph()


def _step(draw: st.DrawFn, b: Builder, values: Sequence[Value]) -> Value:
    x = draw(st.sampled_from(values))
    choice = draw(st.sampled_from(["unary", "binary", "number", "full", "reduce", "move"]))
    match choice:
        case "unary":
            return getattr(b, draw(st.sampled_from(UNARY)))(x)
        case "binary":
            fitting = [y for y in values if _broadcasts(x, y)]
            return _binary(b, draw(st.sampled_from(BINARY)), [x, draw(st.sampled_from(fitting))])
        case "number":
            operands = draw(st.permutations([x, draw(st.sampled_from(NUMBERS))]))
            return _binary(b, draw(st.sampled_from(BINARY)), operands)
        case "full":
            return b.full(shape=x.type.shape, value=draw(st.sampled_from(NUMBERS)))
        case "reduce":
            axes = draw(st.sets(st.integers(0, x.type.rank - 1))) if x.type.rank else set()
            operator = draw(st.sampled_from(["sum", "mean", "max", "min", "prod"]))
            return getattr(b, operator)(x, axis=tuple(sorted(axes)), keepdims=draw(st.booleans()))
    return _move(draw, b, x)


def _binary(b: Builder, name: str, operands: Sequence[Value | float]) -> Value:
    """An operator of two; what it divides by, or raises to a power, is kept away from 0, whose sign is not ours."""
    x, y = operands
    if name == "div" and isinstance(y, Value):
        y = b.add(b.abs(y), 0.5)
    if name == "pow" and isinstance(x, Value):
        x = b.add(b.abs(x), 0.5)
    return getattr(b, name)(x, y)


def _move(draw: st.DrawFn, b: Builder, x: Value) -> Value:
    shape, rank = x.type.shape, x.type.rank
    match draw(st.sampled_from(["transpose", "expand", "ones", "pad", "slice", "concat"])):
        case "transpose":
            return b.transpose(x, perm=tuple(draw(st.permutations(range(rank)))))
        case "expand":
            return b.expand(x, shape=(2, *(4 if size == 1 else size for size in shape)))
        case "ones":
            return b.reshape(x, shape=(1, *shape))
        case "pad":
            width = draw(st.integers(0, 1))
            return b.pad(x, before=(width,) * rank, after=(0,) * rank, value=0.0)
        case "slice" if rank and isinstance(shape[-1], int):
            start = draw(st.integers(0, shape[-1] - 1))
            return b.slice(x, starts=(start,), stops=(shape[-1],), axes=(rank - 1,), steps=(1,))
        case "concat" if rank:
            return b.concat(x, x, axis=0)
    return b.reshape(x, shape=(*shape, 1))


def _broadcasts(x: Value, y: Value) -> bool:
    shorter = min(x.type.rank, y.type.rank)
    pairs = zip(x.type.shape[x.type.rank - shorter :], y.type.shape[y.type.rank - shorter :], strict=True)
    return all(a == b or 1 in (a, b) for a, b in pairs)
