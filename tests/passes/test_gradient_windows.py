"""Weight gradients as convolutions: the same numbers, by NumPy and in onnxruntime, and nothing else rewritten."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph
from netlang.compiler.op import Sample
from netlang.compiler.ops import OPS
from netlang.compiler.passes.gradient_windows import gradient_windows
from netlang.runtime.channel_blocks import blocked

from netlang.dims import symbol

from ..ops.harness import run_onnx
from .graphs import assert_equal, build, feeds, operators, tensor

SAME = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1)}
HALF = SAME | {"stride": (2, 2)}


def gradient(x: tuple, g: tuple, kernel: tuple[int, ...] = (3, 3), dtype: str = "f32", **attributes) -> Graph:
    def make(b: Builder, x, g):
        return b.conv_weight_gradient(x, g, kernel=kernel, **{**SAME, **attributes})

    return build(make, tensor(*x, dtype=dtype), tensor(*g, dtype=dtype))


ONE_WINDOW = gradient((3, 4, 3, 3), (3, 9, 1, 1), padding=(0, 0, 0, 0))
SAMPLES = [sample for sample in OPS["conv_weight_gradient"].samples if isinstance(sample, Sample)]


@pytest.mark.parametrize(
    "graph",
    [
        *(
            gradient(*sample.inputs, **sample.attrs)
            for sample in SAMPLES
            if set(sample.attrs["dilation"]) == {1} and sample.inputs[1][0] and sample.inputs[1][-1] > 1
        ),
        gradient((3, 4, 6, 5), (3, 9, 6, 5)),
        gradient((3, 9, 6, 5), (3, 4, 6, 5)),
        gradient((3, 9, 6, 6), (3, 4, 5, 7), padding=(0, 1, 1, 2)),
        gradient((3, 8, 6, 5), (3, 4, 6, 5), groups=2),
        gradient((3, 4, 6, 5), (3, 8, 6, 5), groups=2),
        gradient((3, 6, 8, 8), (3, 6, 4, 4), groups=6, **HALF),
        gradient((3, 6, 8, 8), (3, 5, 4, 4), kernel=(1, 1), **HALF | {"padding": (0, 0, 0, 0)}),
        gradient((3, 2, 4, 5, 6), (3, 4, 4, 5, 6), (3, 3, 3), stride=(1,) * 3, padding=(1,) * 6, dilation=(1,) * 3),
        gradient((1, 4, 6, 5), (1, 9, 6, 5)),
        gradient((3, 9, 6, 5), (3, 4, 10, 9), padding=(3, 3, 3, 3)),
    ],
    ids=lambda graph: " ".join(str(item.value.type) for item in graph.inputs[1:]),
)
def test_gives_the_same_numbers(graph: Graph) -> None:
    after = gradient_windows(graph)
    assert {"conv"} == {name for name in operators(after) if "conv" in name}
    assert_equal(graph, after, rtol=1e-4)
    arrays = feeds(after)
    expected = evaluate(graph, arrays, "f64")["y"]
    np.testing.assert_allclose(run_onnx(after, arrays)["y"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "graph",
    [
        gradient((symbol("n"), 4, 6, 5), (symbol("n"), 9, 6, 5)),
        gradient((3, 4, 8, 7), (3, 9, 6, 5), dilation=(2, 2)),
        ONE_WINDOW,
        gradient((3, 6, 8, 8), (3, 6, 8, 8), groups=6),
        gradient((3, 4, 6, 5), (3, 9, 6, 5), dtype="f64"),
        gradient((0, 4, 6, 5), (0, 9, 6, 5)),
        gradient((3, 4, 1, 6), (3, 4, 1, 6), (2, 3), padding=(3, 1, 0, 1), stride=(3, 1)),
    ],
    ids=["open", "dilated", "one window", "channels apart", "f64", "no images", "a window of padding"],
)
def test_leaves_others(graph: Graph) -> None:
    assert operators(gradient_windows(graph)) == operators(graph)


def test_is_not_computed_in_blocks_of_channels() -> None:
    model = emit(gradient_windows(gradient((16, 16, 8, 8), (16, 16, 8, 8))))
    assert blocked(model) is model
