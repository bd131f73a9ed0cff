"""What the optimizer computes of numbers alone, such as its rate: once in a step, for all that use it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import onnxruntime as ort

from ..compiler.emit import emit
from ..compiler.ir import Graph
from .binding import Binding
from .session import Device
from .variables import empty
from .workers import Task

Arrays = Mapping[str, np.ndarray]

_CPU = Device("cpu", 1)


def bound(session: ort.InferenceSession, graph: Graph, numbers: Arrays, given: Arrays) -> Binding:
    """A binding of those inputs of a graph that are `given` by name, or are numbers of the run, by their roles."""
    binding = Binding(session)
    for item in graph.inputs:
        array = given.get(item.name, numbers.get(item.role))
        if array is not None:
            binding.bind_ortvalue_input(item.name, _CPU.place(array))
    return binding


def shared_numbers(graph: Graph, numbers: Arrays) -> tuple[dict[str, np.ndarray], list[Task]]:
    """Where the results of a graph of numbers alone lie, by name, and what computes them, if there are any."""
    results = {output.name: empty(output.value.type) for output in graph.outputs}
    if not results:
        return results, []
    session = _CPU.session(emit(graph))
    binding = bound(session, graph, numbers, {})
    for name, array in results.items():
        binding.bind_ortvalue_output(name, _CPU.place(array))
    return results, [partial(session.run_with_iobinding, binding)]
