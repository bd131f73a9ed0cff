"""Runs samples of operators: through NumPy, through onnxruntime, through PyTorch, and their gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import netlang.compiler.autodiff as autodiff
import numpy as np
import onnxruntime
import torch
from netlang.compiler.builder import Builder
from netlang.compiler.dtypes import dtype_name, numpy_dtype
from netlang.compiler.emit import emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph, Value
from netlang.compiler.op import BadSample, Op, Sample
from netlang.compiler.ops import ALL
from netlang.dims import Size, symbol
from netlang.types import FLOATS, TensorType

Arrays = dict[str, np.ndarray]

N = symbol("n")


@dataclass(frozen=True)
class Case:
    """One sample of one operator, with a name for the test report."""

    op: Op
    sample: Sample
    index: int

    def __str__(self) -> str:
        return f"{self.op.name}-{self.index}"


@dataclass
class Built:
    """The graph of a case: inputs called x0, x1, …, results called y0, y1, …."""

    builder: Builder
    inputs: list[Value]
    results: tuple[Value, ...]
    floats: list[int] = field(default_factory=list)

    @property
    def graph(self) -> Graph:
        return self.builder.graph()


def cases(*, differentiable: bool = False) -> list[Case]:
    """Every sample of the table; those only that the gradient tests may use where `differentiable`."""
    return [
        Case(op, sample, index)
        for op in ALL
        for index, sample in enumerate(op.samples)
        if isinstance(sample, Sample) and (not differentiable or (op.vjp and sample.differentiable and _floats(op, sample)))
    ]


def bad_cases() -> list[tuple[Op, BadSample]]:
    return [(op, sample) for op in ALL for sample in op.samples if isinstance(sample, BadSample)]


def arrays(case: Case, seed: int = 0) -> list[np.ndarray]:
    """The inputs of a sample, drawn where it gives a shape only."""
    rng = np.random.default_rng([seed, *map(ord, str(case))])
    return [_array(item, case.sample.positive, rng) for item in case.sample.inputs]


def _array(item: Any, positive: bool, rng: np.random.Generator) -> np.ndarray:
    if isinstance(item, np.ndarray):
        return item
    drawn = rng.standard_normal(item)
    return np.asarray(np.abs(drawn) + 0.1 if positive else drawn, np.float32)


def _floats(op: Op, sample: Sample) -> list[int]:
    return [i for i, x in enumerate(sample.inputs) if not isinstance(x, np.ndarray) or dtype_name(x.dtype) in FLOATS]


def build(case: Case, types: Sequence[TensorType] | None = None, attrs: Mapping[str, Any] | None = None) -> Built:
    """The graph that applies the operator to inputs of the sample's types, or of the given ones."""
    b = Builder(str(case))
    types = types or [TensorType(dtype_name(x.dtype), x.shape) for x in arrays(case)]
    inputs = [b.input(f"x{i}", type_) for i, type_ in enumerate(types)]
    results = b.apply(case.op.name, inputs, dict(case.sample.attrs if attrs is None else attrs))
    results = results if isinstance(results, tuple) else (results,)
    for i, result in enumerate(results):
        b.output(f"y{i}", result)
    return Built(b, inputs, results, _floats(case.op, case.sample))


def feeds(values: Sequence[np.ndarray]) -> Arrays:
    return {f"x{i}": value for i, value in enumerate(values)}


def run_onnx(graph: Graph, values: Mapping[str, np.ndarray]) -> Arrays:
    """What onnxruntime makes of a graph, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    model = emit(graph)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    used = {item.name for item in session.get_inputs()}
    return dict(zip(names, session.run(names, {k: v for k, v in values.items() if k in used}), strict=True))


def run_numpy(graph: Graph, values: Mapping[str, np.ndarray], precision: Any = None) -> Arrays:
    return evaluate(graph, values, precision)


def with_gradients(built: Built, cotangents: Sequence[np.ndarray | None]) -> Graph:
    """Adds outputs g0, g1, …: the gradients, by each float input, of the sum of the results weighted by `cotangents`."""
    b = built.builder
    loss = weighted_sum(b, built.results, cotangents)
    wrt = [built.inputs[i] for i in built.floats]
    for i, gradient in zip(built.floats, autodiff.gradients(b, loss, wrt), strict=True):
        b.output(f"g{i}", gradient)
    return b.graph()


def weighted_sum(b: Builder, values: Sequence[Value], weights: Sequence[np.ndarray | None]) -> Value:
    """The sum over all elements of all `values` times their weights; those without a weight are left out."""
    terms = [b.sum(b.mul(value, w.astype(numpy_dtype(value.type.dtype))))
             for value, w in zip(values, weights, strict=True) if w is not None]  # fmt: skip
    total = terms[0]
    for term in terms[1:]:
        total = b.add(total, term)
    return total


def normal_like(shapes: Sequence[tuple[int, ...]], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def run_torch(case: Case, values: Sequence[np.ndarray], floats: Sequence[int] = ()) -> tuple[list[Any], list[Any]]:
    """PyTorch's results for a sample, and its input tensors."""
    assert case.sample.torch is not None
    tensors = [torch.tensor(value, requires_grad=i in floats) for i, value in enumerate(values)]
    results = case.sample.torch(*tensors, **case.sample.attrs)
    return list(results) if isinstance(results, list | tuple) else [results], tensors


def symbolic(case: Case, size: int) -> tuple[list[TensorType], dict[str, Any]] | None:
    """The types and attributes of a sample with the leading size of its first input, `size`, left open.

    None where the operator does not take it so: where that size means something to it.
    """
    values = arrays(case)
    types = [TensorType(dtype_name(x.dtype), _opened(x.shape[:1], size) + x.shape[1:]) for x in values]
    attrs = dict(case.sample.attrs)
    for parameter in case.op.signature.attributes:
        if parameter.type == "sizes" and parameter.name in attrs:
            sizes = attrs[parameter.name]
            attrs[parameter.name] = _opened(sizes[:1], size) + tuple(sizes[1:])
    try:
        build(case, types, attrs)
    except Exception:
        return None
    return types, attrs


def _opened(sizes: tuple[int, ...], size: int) -> tuple[Size, ...]:
    return tuple(N if one == size else one for one in sizes)


def result_shapes(built: Built, values: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    return [result.shape for name, result in run_numpy(built.graph, feeds(values)).items() if name.startswith("y")]


def directions(built: Built, values: Sequence[np.ndarray], seed: int) -> Arrays:
    """For each float input, a random direction in which to move it."""
    rng = np.random.default_rng(seed)
    return {f"x{i}": rng.standard_normal(values[i].shape) for i in built.floats}


def slope(gradients: Mapping[str, np.ndarray], direction: Mapping[str, np.ndarray], prefix: str = "g") -> float:
    """The derivative along a direction, from the gradients."""
    return sum(float(np.sum(gradients[prefix + name[1:]] * move)) for name, move in direction.items())


def central_difference(
    graph: Graph, values: Sequence[np.ndarray], direction: Arrays, weights: Sequence[np.ndarray], prefix: str = "y"
) -> float:
    """The derivative along a direction of the weighted sum of the results, by a five-point difference in float64."""

    def at(step: float) -> float:
        moved = feeds([np.asarray(x, np.float64) if f"x{i}" in direction else x for i, x in enumerate(values)])
        moved |= {name: moved[name] + step * move for name, move in direction.items()}
        results = run_numpy(graph, moved, "f64")
        return sum(float(np.sum(results[f"{prefix}{i}"] * w)) for i, w in enumerate(weights))

    h = 1e-3
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
