"""Elaborates programs and computes their graphs with the NumPy interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from netlang.compiler import Network, Program, load_program
from netlang.compiler.initializers import materialise
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph
from netlang.runtime.loader import load

from netlang.source import Source

LAYERS = "use std.layers: linear, conv2d, batch_norm, layer_norm, dropout, embedding\n"


def program(text: str) -> Program:
    """A user's file that may use the library."""
    return load_program(Source("case.net", text), load)


def network(text: str, **settings: Any) -> Network:
    """The model of a file that has one."""
    return program(text).network(None, settings)


def names(text: str, **settings: Any) -> list[str]:
    """Names of the parameters and states, in order."""
    return [variable.name for variable in network(text, **settings).variables]


def run(graph: Graph, feeds: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
    """The outputs of a graph; variables that `feeds` leaves out have their initial values."""
    values = {**materialise(graph.variables, seed=0), **(feeds or {})}
    return evaluate(graph, {name: np.asarray(value) for name, value in values.items()})


def result(text: str, *, entry: str = "forward", **feeds: Any) -> np.ndarray:
    """What an entry of the file's model computes from its inputs."""
    graph = network(text).elaborate(entry)
    types = {item.name: item.value.type.dtype for item in graph.inputs}
    arrays = {name: np.asarray(value, _NUMPY[types[name]]) for name, value in feeds.items()}
    (output,) = run(graph, arrays).values()
    return output


_NUMPY = {"f32": np.float32, "i64": np.int64, "bool": np.bool_}
