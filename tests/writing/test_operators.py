"""The ONNX package's node tests: what has types of the language is written, compiled, and computes the same."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import onnx
import pytest
from netlang.compiler import load_program
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph
from netlang.compiler.reading import Reading, read_model
from netlang.compiler.writing import write_program
from netlang.runtime import loader
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase

from netlang.diagnostics import DiagnosticError
from netlang.source import Source
from netlang.types import DTYPES

from .harness import PRELUDE, Arrays

GROUPS = 12


@cache
def groups() -> tuple[tuple[TestCase, ...], ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # making the cases computes with infinities
        everything = collect_testcases(None)
    return tuple(tuple(everything[i::GROUPS]) for i in range(GROUPS))


@pytest.mark.parametrize("group", range(GROUPS))
def test_written_models_compute_the_same(group: int):
    faults: list[str] = []
    written = 0
    for case in groups()[group]:
        reading = _read(case)
        if reading is None:
            continue
        written += 1
        try:
            _assert_same(case, reading)
        except (AssertionError, DiagnosticError) as error:
            faults.append(f"{case.name}: {error}")
    assert not faults, "\n".join(faults)
    assert written > 100


def _read(case: TestCase) -> Reading | None:
    """The model of a test; None where it cannot be read, or takes or gives what is no type of the language."""
    try:
        reading = read_model(case.model)
    except DiagnosticError:
        return None
    ends = (*reading.graph.inputs, *reading.graph.outputs)
    return reading if all(item.value.type.dtype in DTYPES for item in ends) else None


def _assert_same(case: TestCase, reading: Reading) -> None:
    written = write_program(reading.graph, reading.weights, "model", PRELUDE)
    again = load_program(Source("written.net", written.text), loader.load).network().elaborate()
    arrays = _arrays(case)
    if arrays is None:
        return
    try:
        expected = _results(reading.graph, arrays, reading.weights)
    except Exception:  # the interpreter, which is NumPy, lacks some operators for some types
        return
    found = _results(again, arrays, written.weights)
    for one, other in zip(expected, found, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.astype(np.float64), other.astype(np.float64), err_msg=written.text)


def _arrays(case: TestCase) -> list[np.ndarray] | None:
    """The inputs of a test; None where they are not to be had as arrays, or only the runtime can compute with them."""
    if not case.data_sets or any(node.domain for node in case.model.graph.node):
        return None
    given = case.data_sets[0][0]
    return [numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else np.asarray(x) for x in given]


def _results(graph: Graph, arrays: list[np.ndarray], weights: Arrays) -> list[np.ndarray]:
    names = [item.name for item in graph.inputs if item.role == "data"]
    return list(evaluate(graph, dict(zip(names, arrays, strict=True)) | weights).values())
