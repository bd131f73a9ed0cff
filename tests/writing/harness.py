"""What the tests of writing share: writing a graph as a program, compiling that, and comparing what both compute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from netlang.compiler import Network, load_program
from netlang.compiler.dtypes import numpy_dtype
from netlang.compiler.elaborate.modules import Modules
from netlang.compiler.initializers import materialise
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph
from netlang.compiler.shapes import static_shape
from netlang.compiler.writing import Written, write_program
from netlang.runtime import loader

from netlang.dims import substitute
from netlang.formatter import format_source
from netlang.source import Source
from netlang.types import INTEGERS, TensorType

Arrays = dict[str, np.ndarray]
SIZES = {"batch": 2, "b": 2, "t": 5, "n": 3, "i": 3, "height": 8, "width": 8}
PRELUDE = Modules(loader.load).prelude_names()


@dataclass(frozen=True)
class Case:
    """A graph and its weights; the program written of it, and that program's network."""

    graph: Graph
    weights: Arrays
    written: Written
    network: Network

    @property
    def text(self) -> str:
        return self.written.text


def library(name: str, settings: dict[str, Any] | None = None) -> Network:
    """A model of the library."""
    program = load_program(loader.read_source(loader.library_models()[name]), loader.load)
    return program.network(name, settings or {})


def random_weights(graph: Graph) -> Arrays:
    """Weights that no two tensors share, so that no mix-up goes unseen."""
    rng = np.random.default_rng(0)
    first = materialise(graph.variables, seed=0)
    return {name: (array + 0.1 * rng.random(array.shape)).astype(array.dtype) for name, array in first.items()}


def rewritten(graph: Graph, name: str = "model", weights: Arrays | None = None) -> Case:
    """The program of a graph, parsed, formatted as the formatter would, without warnings, and elaborated."""
    weights = random_weights(graph) if weights is None else weights
    written = write_program(graph, weights, name, PRELUDE)
    assert format_source(Source("written.net", written.text)) == written.text
    program = load_program(Source("written.net", written.text), loader.load)
    assert program.check() == [], written.text
    return Case(graph, weights, written, program.network())


def without_scopes(graph: Graph) -> Graph:
    """The same graph as an exporter would leave it that keeps no names of modules."""
    return replace(graph, nodes=tuple(replace(node, scope="") for node in graph.nodes))


def assert_same(case: Case) -> None:
    """The program has exactly the weights written for it, and computes bit for bit what the graph computes."""
    again = case.network.elaborate()
    assert {variable.name for variable in again.variables} == case.written.weights.keys(), case.text
    arrays = feeds(case.graph)
    renamed = {new.name: arrays[old.name] for old, new in zip(case.graph.inputs, again.inputs, strict=True)}
    expected = evaluate(case.graph, arrays | case.weights)
    found = evaluate(again, renamed | case.written.weights)
    assert len(found) == len(expected)
    for one, other in zip(expected.values(), found.values(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=case.text)


def feeds(graph: Graph) -> Arrays:
    """Normal numbers, zeros and ones for integers, alternating truth values."""
    rng = np.random.default_rng(1)
    arrays: Arrays = {}
    for item in graph.inputs:
        type_ = item.value.type
        shape = static_shape(TensorType(type_.dtype, tuple(substitute(size, SIZES) for size in type_.shape)))
        drawn = rng.standard_normal(shape).astype(np.float32)
        whole = {dtype: rng.integers(0, 2, shape).astype(numpy_dtype(dtype)) for dtype in INTEGERS}
        arrays[item.name] = {**whole, "bool": drawn > 0}.get(type_.dtype, drawn)
    return arrays
