"""Gradients on the samples with which PyTorch tests its own operators (`torch.testing`'s op_db), in onnxruntime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler.autodiff import pull_back
from netlang.compiler.builder import Builder
from netlang.compiler.dtypes import dtype_name
from netlang.compiler.ir import Value
from torch.testing._internal.common_methods_invocations import op_db

from netlang.types import FLOATS, TensorType

from . import (
    opinfo_algebra,
    opinfo_elementwise,
    opinfo_fourier,
    opinfo_functions,
    opinfo_images,
    opinfo_indexing,
    opinfo_layers,
    opinfo_losses,
    opinfo_masked,
    opinfo_normalization,
    opinfo_norms,
    opinfo_pooling,
    opinfo_reductions,
    opinfo_shapes,
    opinfo_solvers,
    opinfo_statistics,
)
from .harness import run_onnx
from .opinfo_use import NotExpressible, Use, refuse_if

FAMILIES = (
    opinfo_elementwise,
    opinfo_functions,
    opinfo_fourier,
    opinfo_reductions,
    opinfo_norms,
    opinfo_statistics,
    opinfo_masked,
    opinfo_shapes,
    opinfo_indexing,
    opinfo_algebra,
    opinfo_solvers,
    opinfo_layers,
    opinfo_normalization,
    opinfo_pooling,
    opinfo_images,
    opinfo_losses,
)

COUNTERPARTS = {name: adapter for family in FAMILIES for name, adapter in family.COUNTERPARTS.items()}

DOUBLE = {"logcumsumexp"}
"""Compared in float64: PyTorch's own gradient, through logarithms, has three digits in float32 for large numbers."""

MOST = 40
"""How many samples of one entry are compared at most; pooling has more than a thousand."""

LARGEST = 100_000
"""How many elements the tensors of a sample have at most."""


def infos() -> Iterator[Any]:
    """The OpInfos that are differentiable in float32."""
    for info in op_db:
        if info.supports_autograd and torch.float32 in info.dtypes:
            yield info


def name_of(info: Any) -> str:
    return f"{info.name}.{info.variant_test_name}" if info.variant_test_name else info.name


def uses(info: Any) -> tuple[list[tuple[Any, Use]], Counter[str]]:
    """The samples that are compared, and how many others there are for which reasons."""
    dtype = torch.float64 if name_of(info) in DOUBLE else torch.float32
    found, others = [], Counter[str]()
    for sample in info.sample_inputs("cpu", dtype, requires_grad=True):
        try:
            use = COUNTERPARTS[name_of(info)](sample.input, *sample.args, **sample.kwargs)
            refuse_if(sum(tensor.numel() for tensor in use.tensors) > LARGEST, "very large")
            found.append((sample, use))
        except NotExpressible as refusal:
            others[str(refusal)] += 1
    if len(found) > MOST:
        others["evenly left out"] = len(found) - MOST
        found = [found[i * len(found) // MOST] for i in range(MOST)]
    return found, others


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's, of what some of its samples do
@pytest.mark.parametrize("info", [info for info in infos() if name_of(info) in COUNTERPARTS], ids=name_of)
def test_agrees_with_pytorch(info: Any):
    torch.manual_seed(0)
    samples, _ = uses(info)
    assert samples, "no sample can be expressed"
    for sample, use in samples:
        compare(info, sample, use)


def test_every_counterpart_exists():
    assert not COUNTERPARTS.keys() - {name_of(info) for info in infos()}


def compare(info: Any, sample: Any, use: Use) -> None:
    """Results and gradients of one sample against PyTorch's."""
    results = info.op(sample.input, *sample.args, **sample.kwargs)
    results = [results] if isinstance(results, torch.Tensor) else results
    results = [
        torch.view_as_real(r.resolve_conj()) if r.is_complex() else r for r in results
    ]  # ONNX has pairs on a last axis
    results = [result for result in results if result.is_floating_point()]
    moving = [i for i, result in enumerate(results) if result.requires_grad]
    weights = {i: torch.randn_like(results[i]) for i in moving}
    sources = [tensor for tensor in use.tensors if tensor.requires_grad]
    expected = [torch.zeros_like(x) for x in sources]
    if moving:
        outputs = [results[i] for i in moving]
        expected = torch.autograd.grad(
            outputs, sources, list(weights.values()), allow_unused=True, materialize_grads=True
        )
    b = Builder()
    inputs = [b.input(f"x{i}", _type(x)) for i, x in enumerate(use.tensors)]
    found = use.build(b, *inputs)
    found = [found] if isinstance(found, Value) else [y for y in found if y.type.dtype in FLOATS]
    assert len(found) == len(results)
    seeds = [(found[i], b.input(f"w{i}", found[i].type)) for i in moving]
    wrt = [value for value, tensor in zip(inputs, use.tensors, strict=True) if tensor.requires_grad]
    gradients = pull_back(b, seeds, wrt)
    for i, (value, x) in enumerate(zip(gradients, wrt, strict=True)):
        b.output(f"g{i}", b.full(shape=x.type.shape, value=0.0) if value is None else value)
    for i, value in enumerate(found):
        b.output(f"y{i}", value)
    feeds = {f"x{i}": np.array(x.detach().numpy(), order="C") for i, x in enumerate(use.tensors)}
    feeds |= {f"w{i}": w.numpy() for i, w in weights.items()}
    outputs = run_onnx(b.graph(), feeds)
    for prefix, tensors in (("y", results), ("g", expected)):
        for i, tensor in enumerate(tensors):
            _assert_close(outputs[f"{prefix}{i}"], tensor.numpy(force=True), _shown(sample))


def _assert_close(found: np.ndarray, wanted: np.ndarray, message: str) -> None:
    """What is left of a sum of large terms is as far off as they are: by up to 2e-6 of the largest element."""
    assert found.shape == wanted.shape
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=max(2e-5, 2e-6 * largest), err_msg=message)


def _type(x: torch.Tensor) -> TensorType:
    return TensorType(dtype_name(x.detach().numpy().dtype), tuple(x.shape))


def _shown(sample: Any) -> str:
    return str(sample.summary())
