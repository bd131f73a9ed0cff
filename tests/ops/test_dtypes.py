"""Every operator in the other dtypes that its signature admits, in onnxruntime, against the float64 oracle.

`MISSING` lists the operators that ONNX Runtime's CPU provider has no kernel for, or ONNX no such dtype; of each of them
at least one use must indeed be refused. (bf16 is not here: the CPU provider has hardly any kernel for it.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx.shape_inference
import pytest
from netlang.compiler.dtypes import dtype_name, numpy_dtype
from netlang.compiler.interpret import evaluate
from netlang.runtime.kernels import MISSING
from onnxruntime.capi import onnxruntime_pybind11_state

from netlang.diagnostics import DiagnosticError
from netlang.types import FLOATS, Mismatch, TensorType

from .harness import Arrays, Case, cases, run_onnx

TOLERANCE = {"f64": 2e-7, "f16": 4e-3, "i32": 1e-6}
"""Of results, relative to the largest: what some roundings amount to. (Attributes of ONNX are f32 also for f64.)"""

REFUSED = (
    onnxruntime_pybind11_state.NotImplemented,  # no kernel
    onnxruntime_pybind11_state.RuntimeException,  # a kernel that finds out late
    onnx.shape_inference.InferenceError,  # not in ONNX
)


def variant(case: Case, dtype: str) -> Case | None:
    """The case with its numbers in another dtype; None where there are none, or the operator is not for it."""
    from_floats = dtype in FLOATS
    attrs = {key: dtype if value == "f32" and from_floats else value for key, value in case.attrs.items()}
    inputs = [_converted(array, dtype) for array in case.values.values()]
    if all(new.dtype == old.dtype for new, old in zip(inputs, case.values.values(), strict=True)):
        return None
    types = tuple(TensorType(dtype_name(array.dtype), array.shape) for array in inputs)
    found = replace(case, sample=replace(case.sample, inputs=tuple(inputs)), types=types, attrs=attrs)
    try:
        found.graph()
    except (Mismatch, DiagnosticError, KeyError):
        return None
    return found


def _converted(array: np.ndarray, dtype: str) -> np.ndarray:
    name = dtype_name(array.dtype)
    changes = name == "f32" if dtype in FLOATS else name == "i64"
    return array.astype(numpy_dtype(dtype)) if changes else array


VARIANTS = [
    (found, dtype) for case in cases() for dtype in TOLERANCE for found in [variant(case, dtype)] if found is not None
]


@pytest.mark.parametrize(("case", "dtype"), VARIANTS, ids=str)
def test_agrees_with_the_oracle(case: Case, dtype: str):
    found = attempt(case)
    if found is None:
        assert case.op.name in MISSING.get(dtype, ())
        return
    expected = evaluate(case.graph(), case.values, "f64" if dtype in FLOATS else None)
    for name, array in expected.items():
        _compare(found[name], array, TOLERANCE[dtype])


@pytest.mark.parametrize(("dtype", "name"), [(dtype, name) for dtype in MISSING for name in sorted(MISSING[dtype])])
def test_is_missing(dtype: str, name: str):
    assert any(attempt(case) is None for case, other in VARIANTS if other == dtype and case.op.name == name)


def attempt(case: Case) -> Arrays | None:
    """What onnxruntime gives; None where it, or ONNX, does not have the operator for these dtypes."""
    try:
        return run_onnx(case.graph(), case.values)
    except REFUSED:
        return None


def _compare(found: np.ndarray, expected: Any, tolerance: float) -> None:
    assert found.shape == expected.shape
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    scale = max(float(finite.max(initial=0)), 1e-3)
    left, right = found.astype(np.float64) / scale, expected.astype(np.float64) / scale
    np.testing.assert_allclose(left, right, rtol=0, atol=tolerance)
