"""Weight gradients in parts of the batch: the same sums, where the whole does not fit the cache and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph
from netlang.compiler.passes.fit_cache import fit_cache

from netlang.dims import Size, symbol

from ..ops.harness import run_onnx
from .graphs import assert_equal, build, feeds, operators, tensor

SAME = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1)}
IMAGE = (8 + 4) * 6 * 5 * 4
"""Bytes of one of the images here and of its gradient."""


def gradient(batch: Size = 12, groups: int = 1, **changes) -> Graph:
    attributes = {**SAME, "groups": groups, **changes}
    return build(
        lambda b, x, g: b.conv_weight_gradient(x, g, **attributes),
        tensor(batch, 8 * groups, 6, 5),
        tensor(batch, 4, 6, 5),
    )


def cut(graph: Graph) -> Graph:
    return fit_cache(graph, large=10 * IMAGE, part=5 * IMAGE)


def rounds(graph: Graph) -> int | None:
    scans = [node for node in graph.nodes if node.op == "scan_over"]
    return scans[0].inputs[1].type.shape[0] if scans else None


@pytest.mark.parametrize(("batch", "groups", "parts"), [(12, 1, 3), (11, 1, 11), (12, 2, 4)])
def test_sums_over_parts(batch: int, groups: int, parts: int) -> None:
    before = gradient(batch, groups)
    after = cut(before)
    assert rounds(after) == parts
    assert_equal(before, after, rtol=1e-4)
    arrays = feeds(after)
    np.testing.assert_allclose(run_onnx(after, arrays)["y"], evaluate(before, arrays, "f64")["y"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "graph",
    [
        gradient(10),
        gradient(symbol("n")),
        gradient(kernel=(9, 9), padding=(4, 4, 4, 4)),
        build(
            lambda b, x, w: b.conv(x, w, stride=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1)),
            tensor(99, 8, 6, 5),
            tensor(4, 8, 3, 3),
        ),
    ],
    ids=["small", "open", "large weights", "convolution"],
)
def test_leaves_others_whole(graph: Graph) -> None:
    assert operators(cut(graph)) == operators(graph)
