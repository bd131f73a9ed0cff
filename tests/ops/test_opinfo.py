"""Gradients on the samples with which PyTorch tests its own operators (`torch.testing`'s op_db), in onnxruntime."""

from __future__ import annotations

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
    opinfo_indexing,
    opinfo_layers,
    opinfo_losses,
    opinfo_norms,
    opinfo_reductions,
    opinfo_shapes,
    opinfo_statistics,
)
from .harness import run_onnx
from .opinfo_use import NotExpressible, Use

FAMILIES = (
    opinfo_elementwise,
    opinfo_functions,
    opinfo_fourier,
    opinfo_reductions,
    opinfo_norms,
    opinfo_statistics,
    opinfo_shapes,
    opinfo_indexing,
    opinfo_algebra,
    opinfo_layers,
    opinfo_losses,
)

COUNTERPARTS = {name: adapter for family in FAMILIES for name, adapter in family.COUNTERPARTS.items()}

DOUBLE = {"logcumsumexp"}
"""Compared in float64: PyTorch's own gradient, through logarithms, has three digits in float32 for large numbers."""


def infos() -> Iterator[Any]:
    """The OpInfos that are differentiable in float32."""
    for info in op_db:
        if info.supports_autograd and torch.float32 in info.dtypes:
            yield info


def name_of(info: Any) -> str:
    return f"{info.name}.{info.variant_test_name}" if info.variant_test_name else info.name


def samples_of(info: Any) -> Iterator[Any]:
    dtype = torch.float64 if name_of(info) in DOUBLE else torch.float32
    return info.sample_inputs("cpu", dtype, requires_grad=True)


def uses(info: Any) -> list[tuple[Any, Use]]:
    """The samples that our operators can express."""
    found = []
    for sample in samples_of(info):
        try:
            use = COUNTERPARTS[name_of(info)](sample.input, *sample.args, **sample.kwargs)
        except NotExpressible:
            continue
        if all(not tensor.is_complex() for tensor in use.tensors):
            found.append((sample, use))
    return found


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("info", [info for info in infos() if name_of(info) in COUNTERPARTS], ids=name_of)
def test_agrees_with_pytorch(info: Any):
    torch.manual_seed(0)
    samples = uses(info)
    assert samples, "no sample can be expressed"
    for sample, use in samples:
        compare(info, sample, use)


def test_every_counterpart_exists():
    assert not COUNTERPARTS.keys() - {name_of(info) for info in infos()}


def compare(info: Any, sample: Any, use: Use) -> None:
    """Results and gradients of one sample against PyTorch's."""
    results = info.op(sample.input, *sample.args, **sample.kwargs)
    results = [results] if isinstance(results, torch.Tensor) else results
    results = [torch.view_as_real(r.resolve_conj()) if r.is_complex() else r for r in results]  # ONNX has pairs on a last axis
    results = [result for result in results if result.is_floating_point()]
    weights = [torch.randn_like(result) for result in results]
    sources = [tensor for tensor in use.tensors if tensor.requires_grad]
    expected = torch.autograd.grad(
        results, sources, weights, allow_unused=True, materialize_grads=True
    ) if any(result.requires_grad for result in results) else [torch.zeros_like(x) for x in sources]  # fmt: skip
    b = Builder()
    inputs = [b.input(f"x{i}", _type(x)) for i, x in enumerate(use.tensors)]
    found = use.build(b, *inputs)
    found = [found] if isinstance(found, Value) else [y for y in found if y.type.dtype in FLOATS]
    seeds = [b.input(f"w{i}", y.type) for i, y in enumerate(found)]
    wrt = [value for value, tensor in zip(inputs, use.tensors, strict=True) if tensor.requires_grad]
    gradients = pull_back(b, list(zip(found, seeds, strict=True)), wrt)
    for i, (value, x) in enumerate(zip(gradients, wrt, strict=True)):
        b.output(f"g{i}", b.full(shape=x.type.shape, value=0.0) if value is None else value)
    for i, value in enumerate(found):
        b.output(f"y{i}", value)
    feeds = {f"x{i}": np.array(x.detach().numpy(), order="C") for i, x in enumerate(use.tensors)}
    feeds |= {f"w{i}": w.numpy() for i, w in enumerate(weights)}
    outputs = run_onnx(b.graph(), feeds)
    for prefix, tensors in (("y", results), ("g", expected)):
        for i, tensor in enumerate(tensors):
            wanted = tensor.numpy(force=True)
            assert outputs[f"{prefix}{i}"].shape == wanted.shape
            np.testing.assert_allclose(outputs[f"{prefix}{i}"], wanted, rtol=1e-4, atol=2e-5, err_msg=_shown(sample))


def _type(x: torch.Tensor) -> TensorType:
    return TensorType(dtype_name(x.detach().numpy().dtype), tuple(x.shape))


def _shown(sample: Any) -> str:
    return str(sample.summary())
