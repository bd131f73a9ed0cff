"""The losses of classification at their special points, and as ONNX states them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from onnx import helper

from netlang.types import TensorType

from .harness import Arrays, run_onnx
from .reading import check_gradients, check_results, model

LABELS = np.array([[2, 0, -100], [1, -100, 1]])


def cross_entropy(target: np.ndarray, **attrs: Any) -> Arrays:
    """The loss of fixed logits and its gradient."""
    b = Builder()
    x, index = b.input("x", TensorType("f32", (len(target), 3))), b.input("index", TensorType("i64", target.shape))
    loss = b.cross_entropy(x, index, **attrs)
    b.output("loss", loss)
    b.output("g", gradients(b, loss, [x])[0])
    return run_onnx(b.graph(), {"x": logits(target), "index": target})


def logits(target: np.ndarray) -> np.ndarray:
    return np.arange(3 * len(target), dtype=np.float32).reshape(-1, 3) % 5


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_targets_that_are_all_ignored(reduction: str):
    target = np.array([-1, -1])
    found = cross_entropy(target, ignore_index=-1, reduction=reduction)
    x = torch.tensor(logits(target), requires_grad=True)
    loss = torch.nn.functional.cross_entropy(x, torch.tensor(target), ignore_index=-1, reduction=reduction)
    loss.backward()
    np.testing.assert_array_equal(found["loss"], loss.detach().numpy())
    np.testing.assert_array_equal(np.nan_to_num(found["g"]), x.grad.nan_to_num().numpy())


def test_an_ignored_target_may_lie_outside_the_classes():
    found = cross_entropy(np.array([1, 255]), ignore_index=255)
    alone = cross_entropy(np.array([1]))
    np.testing.assert_allclose(found["loss"], alone["loss"], rtol=1e-6)
    assert not found["g"][1].any()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("op", ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"])
def test_operators_of_onnx(op: str, weighted: bool, reduction: str):
    rng = np.random.default_rng(1)
    feeds: Arrays = {"x": rng.standard_normal((2, 4, 3)).astype(np.float32), "target": LABELS}
    if weighted:
        feeds["weight"] = np.array([0.5, 2.0, 1.0, 3.0], np.float32)
    outputs = ["loss", "log_p"] if op == "SoftmaxCrossEntropyLoss" else ["loss"]
    node = helper.make_node(op, [*feeds], outputs, ignore_index=-100, reduction=reduction)
    proto = model([node], feeds, outputs, opset=13)
    check_results(proto, feeds)
    check_gradients(proto, feeds)
