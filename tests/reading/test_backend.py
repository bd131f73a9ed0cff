"""The ONNX package's backend tests: whatever onnxruntime itself can run, it runs as we read and emit it."""

from __future__ import annotations

import re

import pytest
from onnx.backend.test.case.test_case import TestCase

from .backend import cases, outcome

REFUSED = {
    r"test_affine_grid_3d_align_corners.*_expanded": "the branches of an If give tensors of different ranks",
}
"""Cases that are refused, and why."""


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name.removeprefix("test_"))
@pytest.mark.filterwarnings("ignore")
def test_case(case: TestCase) -> None:
    found = outcome(case)
    expected = any(re.fullmatch(pattern, case.name) for pattern in REFUSED)
    if found.kind == "unsupported":
        pytest.skip("onnxruntime does not run the original model")
    assert found.kind == ("refused" if expected else "passed"), found.reason
