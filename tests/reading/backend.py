"""The ONNX package's backend tests, of nodes and of small models, through reading, emission and onnxruntime.

`python -m tests.reading.backend [REGEX] [-v]` reports, by operator, what passed, failed, was refused and why, and what
the runtime itself cannot run. `-v` names every case that did not pass.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"  # so that the runtime tries models of the newest operator set

import numpy as np
import onnx
from netlang.compiler.emit import emit
from netlang.compiler.reading import read_model
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

from netlang.diagnostics import DiagnosticError

from .running import plain, run

CASE_KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
KINDS = ("passed", "failed", "refused", "unsupported")


@dataclass(frozen=True)
class Outcome:
    """How a case went. `kind` is one of `KINDS`; `unsupported`: the runtime cannot run the original model either."""

    kind: str
    reason: str = ""


@cache
def cases() -> tuple[TestCase, ...]:
    """Every test, by kind and name; those that the package keeps in files are loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [case for kind in CASE_KINDS for case in sorted(load_model_tests(kind=kind), key=lambda c: c.name)]
    return tuple(case if case.model else _loaded(case) for case in found)


def _loaded(case: TestCase) -> TestCase:
    folder = Path(case.model_dir or "")
    model = onnx.load(folder / "model.onnx")
    sets = sorted(folder.glob("test_data_set_*"))
    ends = (("input", model.graph.input), ("output", model.graph.output))
    data = [tuple(_stored(one, name, infos) for name, infos in ends) for one in sets]
    return dataclasses.replace(case, model=model, data_sets=data)


def _stored(folder: Path, name: str, infos: Sequence[onnx.ValueInfoProto]) -> list[Any]:
    """The stored values of the inputs or outputs of a model; weights that are inputs too have none."""
    values: list[Any] = []
    for i, info in enumerate(infos):
        path = folder / f"{name}_{i}.pb"
        if path.exists():
            is_sequence = info.type.WhichOneof("value") == "sequence_type"
            proto = (onnx.SequenceProto if is_sequence else onnx.TensorProto).FromString(path.read_bytes())
            values.append(numpy_helper.to_list(proto) if is_sequence else numpy_helper.to_array(proto))
    return values


def outcome(case: TestCase) -> Outcome:
    """Runs a case through reading, emission and the runtime."""
    try:
        reading = read_model(case.model)
        model = emit(reading.graph, weights=reading.weights)
        names = [item.name for item in reading.graph.inputs]
        draws = [np.zeros((), np.int64) for item in reading.graph.inputs if item.role != "data"]
        found = Outcome("passed")
        for inputs, expected in case.data_sets:
            results = run(model, names, [*inputs, *draws])
            compare(results, expected, case.rtol, case.atol)
    except DiagnosticError as error:
        found = Outcome("refused", f"{error.diagnostics[0].code}: {error.diagnostics[0].title}")
    except Exception as error:  # whatever goes wrong is what the case shows
        found = Outcome("failed", f"{type(error).__name__}: {error}")
    if found.kind != "passed" and not runs(case):
        return Outcome("unsupported", found.reason)
    return found


def runs(case: TestCase) -> bool:
    """Whether the runtime itself gives the expected results for the original model."""
    weights = {tensor.name for tensor in case.model.graph.initializer}
    names = [item.name for item in case.model.graph.input if item.name not in weights]
    try:
        for inputs, expected in case.data_sets:
            compare(run(case.model, names, inputs), expected, case.rtol, case.atol)
    except Exception:
        return False
    return True


def compare(found: Sequence[Any], expected: Sequence[Any], rtol: float, atol: float) -> None:
    """Raises AssertionError where results are not those expected, at the case's own tolerance."""
    assert len(found) == len(expected), f"{len(found)} results, expected {len(expected)}"
    for result, wanted in zip(found, expected, strict=True):
        if isinstance(wanted, list):
            compare(result, wanted, rtol, atol)
        elif wanted is None:
            assert result is None
        else:
            _compare_arrays(np.asarray(result), plain(wanted), rtol, atol)


def _compare_arrays(found: np.ndarray, wanted: np.ndarray, rtol: float, atol: float) -> None:
    assert found.shape == wanted.shape, f"shape {found.shape}, expected {wanted.shape}"
    if wanted.dtype.kind in "OUS":
        np.testing.assert_array_equal(found.astype(object), wanted.astype(object))
        return
    assert found.dtype == wanted.dtype, f"dtype {found.dtype}, expected {wanted.dtype}"
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol)


def main(arguments: Sequence[str]) -> None:
    """Prints the report."""
    verbose = "-v" in arguments
    pattern = re.compile(next((a for a in arguments if a != "-v"), ""), re.IGNORECASE)
    outcomes = [(case, outcome(case)) for case in cases() if pattern.search(case.name)]
    by_operator: dict[str, Counter[str]] = defaultdict(Counter)
    for case, result in outcomes:
        by_operator[_operator(case)][result.kind] += 1
        if verbose and result.kind != "passed":
            print(f"{result.kind:11} {case.name}: {' '.join(result.reason.split())[:300]}")
    for operator, counts in sorted(by_operator.items()):
        if verbose or set(counts) & {"failed", "refused"}:
            print(f"{operator:32} " + "  ".join(f"{counts[kind]:4} {kind}" for kind in KINDS))
    total = Counter(result.kind for _, result in outcomes)
    print(f"{'all':32} " + "  ".join(f"{total[kind]:4} {kind}" for kind in KINDS))


def _operator(case: TestCase) -> str:
    """The operator that a case is about: the last node's."""
    return case.model.graph.node[-1].op_type if case.model.graph.node else ""


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1:])
