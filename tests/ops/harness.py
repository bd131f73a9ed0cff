"""Runs samples of operators: through NumPy, through onnxruntime, through PyTorch, and their gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.dtypes import dtype_name
from netlang.compiler.emit import emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph, Value
from netlang.compiler.op import BadSample, Op, Sample
from netlang.compiler.ops import ALL

from netlang.diagnostics import DiagnosticError
from netlang.dims import Size, symbol
from netlang.types import FLOATS, Mismatch, TensorType

Arrays = dict[str, np.ndarray]

MISMATCH_CODES = {"dtype": "type-mismatch", "rank": "rank-mismatch", "size": "shape-mismatch"}
"""The codes that the elaborator gives to what the unifier finds."""


@dataclass(frozen=True)
class Case:
    """One sample of one operator. `types` and `attrs` are those of the sample unless sizes were left open."""

    op: Op
    sample: Sample
    index: int
    types: tuple[TensorType, ...]
    attrs: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.op.name}-{self.index}"

    @cached_property
    def values(self) -> Arrays:
        """The inputs: those that the sample gives, or normal numbers of the shape that it gives."""
        rng = np.random.default_rng([*map(ord, str(self))])
        arrays = (_array(item, self.sample.positive, rng) for item in self.sample.inputs)
        return {f"x{i}": array for i, array in enumerate(arrays)}

    @cached_property
    def floats(self) -> tuple[str, ...]:
        """Names of the inputs that a gradient can have."""
        return tuple(name for name, array in self.values.items() if dtype_name(array.dtype) in FLOATS)

    @cached_property
    def weights(self) -> Arrays:
        """A random weight for each element of each float result; the loss is the sum of results times weights."""
        rng = np.random.default_rng(1)
        results = evaluate(self.graph(), self.values)
        return {
            f"w{name[1:]}": rng.standard_normal(array.shape).astype(array.dtype)
            for name, array in results.items()
            if dtype_name(array.dtype) in FLOATS
        }

    def direction(self, seed: int) -> Arrays:
        """For each float input a random direction in which to move it, in float64."""
        rng = np.random.default_rng(seed)
        return {name: rng.standard_normal(self.values[name].shape) for name in self.floats}

    def graph(self) -> Graph:
        """x0, x1, … -> y0, y1, …."""
        return self._applied()[0].graph()

    def gradient_graph(self) -> Graph:
        """x0, …, w0, … -> y0, …, and the gradients g0, … of the loss by the float inputs."""
        b, inputs, results = self._applied()
        self._gradients(b, inputs, results)
        return b.graph()

    def second_gradient_graph(self) -> Graph:
        """x0, …, w0, …, u0, … -> s, the sum of gradients times u; and the gradients h0, … of s by the float inputs."""
        b, inputs, results = self._applied()
        first = self._gradients(b, inputs, results)
        moves = [b.input(f"u{name[1:]}", inputs[name].type) for name in self.floats]
        total = _weighted(b, first, moves)
        b.output("s", total)
        for name, gradient in zip(self.floats, gradients(b, total, [inputs[n] for n in self.floats]), strict=True):
            b.output(f"h{name[1:]}", gradient)
        return b.graph()

    def _applied(self) -> tuple[Builder, dict[str, Value], tuple[Value, ...]]:
        b = Builder(str(self))
        inputs = {f"x{i}": b.input(f"x{i}", type_) for i, type_ in enumerate(self.types)}
        results = b.apply(self.op.name, list(inputs.values()), dict(self.attrs))
        results = results if isinstance(results, tuple) else (results,)
        for i, result in enumerate(results):
            b.output(f"y{i}", result)
        return b, inputs, results

    def _gradients(self, b: Builder, inputs: dict[str, Value], results: Sequence[Value]) -> list[Value]:
        floats = [(i, y) for i, y in enumerate(results) if y.type.dtype in FLOATS]
        weights = [b.input(f"w{i}", y.type) for i, y in floats]
        loss = _weighted(b, [y for _, y in floats], weights)
        found = gradients(b, loss, [inputs[name] for name in self.floats])
        for name, gradient in zip(self.floats, found, strict=True):
            b.output(f"g{name[1:]}", gradient)
        return found


def cases() -> list[Case]:
    """Every sample of the table that is to work."""
    found: list[Case] = []
    for op in ALL:
        for index, sample in enumerate(op.samples):
            if isinstance(sample, Sample):
                case = Case(op, sample, index, (), sample.attrs)
                types = tuple(TensorType(dtype_name(x.dtype), x.shape) for x in case.values.values())
                found.append(replace(case, types=types))
    return found


def differentiable_cases() -> list[Case]:
    """The samples that the gradient tests use."""
    return [case for case in cases() if not case.op.nondiff and case.sample.differentiable and case.floats]


def bad_cases() -> list[tuple[Op, BadSample]]:
    """Every sample of the table that is to be refused."""
    return [(op, sample) for op in ALL for sample in op.samples if isinstance(sample, BadSample)]


def refusal(op: Op, sample: BadSample) -> str | None:
    """The code of the error that a bad sample gives."""
    b = Builder()
    types = [x if isinstance(x, TensorType) else TensorType(*_type(x)) for x in sample.inputs]
    try:
        b.apply(op.name, [b.input(f"x{i}", type_) for i, type_ in enumerate(types)], sample.attrs)
    except Mismatch as mismatch:
        return MISMATCH_CODES[mismatch.kind]
    except DiagnosticError as error:
        return error.diagnostics[0].code
    return None


def opened(case: Case) -> Case | None:
    """The case with the leading size of its first input left open as `n`, wherever that size leads.

    None where the operator does not take it so: where just this number means something to it.
    """
    size = next((array.shape[0] for array in case.values.values() if array.ndim), None)
    if size is None:
        return None
    types = tuple(TensorType(type_.dtype, _open(type_.shape, size)) for type_ in case.types)
    attrs = dict(case.attrs)
    for parameter in case.op.signature.attributes:
        if parameter.type == "sizes" and parameter.name in attrs:
            attrs[parameter.name] = _open(tuple(attrs[parameter.name]), size)
    found = replace(case, types=types, attrs=attrs)
    try:
        found.graph()
    except (Mismatch, DiagnosticError):
        return None
    return found


def run_onnx(graph: Graph, feeds: Arrays, threads: int = 1) -> Arrays:
    """What onnxruntime makes of a graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    model = emit(graph)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def run_torch(case: Case) -> tuple[list[Any], dict[str, Any]]:
    """PyTorch's results for a sample, and its input tensors."""
    assert case.sample.torch is not None
    differentiable = case.op.nondiff is None
    tensors = {
        name: torch.tensor(array, requires_grad=differentiable and name in case.floats)
        for name, array in case.values.items()
    }
    results = case.sample.torch(*tensors.values(), **case.attrs)
    return list(results) if isinstance(results, list | tuple) else [results], tensors


def slope(found: Arrays, prefix: str, direction: Arrays) -> float:
    """The derivative along a direction, from gradients whose names begin with `prefix`."""
    return sum(float(np.sum(found[prefix + name[1:]] * move)) for name, move in direction.items())


def weighted(results: Arrays, weights: Arrays) -> float:
    """The loss: the sum of results times weights."""
    return sum(float(np.sum(results[f"y{name[1:]}"] * weight)) for name, weight in weights.items())


def central_difference(function: Any, values: Arrays, direction: Arrays) -> float:
    """The derivative of `function` of arrays along a direction, by a five-point difference in float64."""

    def at(step: float) -> float:
        moved = {name: np.asarray(values[name], np.float64) + step * move for name, move in direction.items()}
        return function(values | moved)

    h = 1e-4
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def _array(item: Any, positive: bool, rng: np.random.Generator) -> np.ndarray:
    if isinstance(item, np.ndarray):
        return item
    drawn = rng.standard_normal(item)
    return np.asarray(np.abs(drawn) + 0.1 if positive else drawn, np.float32)


def _type(item: Any) -> tuple[str, tuple[int, ...]]:
    return (dtype_name(item.dtype), item.shape) if isinstance(item, np.ndarray) else ("f32", item)


def _open(sizes: tuple[Size, ...], size: int) -> tuple[Size, ...]:
    return (symbol("n"), *sizes[1:]) if sizes and sizes[0] == size else sizes


def _weighted(b: Builder, values: Sequence[Value], weights: Sequence[Value]) -> Value:
    """The sum of all elements of all values times their weights, in float64 where one of them is."""
    terms = [b.sum(b.mul(value, weight)) for value, weight in zip(values, weights, strict=True)]
    dtype = max((term.type.dtype for term in terms), key=lambda name: name == "f64")
    total = b.cast(terms[0], dtype=dtype)
    for term in terms[1:]:
        total = b.add(total, b.cast(term, dtype=dtype))
    return total
