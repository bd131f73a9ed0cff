"""Attention of ONNX with its masks, caches and heads; rotary positions; linear attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.reading import read_model
from onnx import helper
from onnx.reference import ReferenceEvaluator

from netlang.diagnostics import DiagnosticError
from netlang.types import TensorType

from .harness import Arrays, run_onnx
from .reading import check_gradients, check_open_sizes, check_results, floats, model, with_gradients

INPUTS = ("q", "k", "v", "mask", "past_key", "past_value", "filled")
SHAPES = {
    "q": (2, 4, 3, 4), "k": (2, 2, 5, 4), "v": (2, 2, 5, 6), "past_key": (2, 2, 2, 4), "past_value": (2, 2, 2, 6),
}  # fmt: skip
"""Four heads of queries to two of keys; five keys after two remembered ones."""

PACKED = {"q": (2, 3, 16), "k": (2, 5, 8), "v": (2, 5, 12)}
SEEN = np.array([[1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]], bool)
PAST = {"past_key": SHAPES["past_key"], "past_value": SHAPES["past_value"]}

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "causal": ({}, {"is_causal": 1}),
    "seen": ({"mask": SEEN}, {}),
    "added": ({"mask": (2, 1, 3, 5)}, {"scale": 0.3}),
    "added_causal": ({"mask": (3, 5)}, {"is_causal": 1}),
    "narrow": ({"mask": (3, 4)}, {}),
    "cached": (PAST, {"is_causal": 1}),
    "cached_seen": ({"mask": np.ones((3, 6), bool), **PAST}, {"is_causal": 1}),
    "filled": ({"filled": np.array([5, 3])}, {}),
    "filled_causal": ({"filled": np.array([4, 2])}, {"is_causal": 1}),
    "softcap": ({}, {"softcap": 1.5, "is_causal": 1}),
    "packed": (PACKED, {"q_num_heads": 4, "kv_num_heads": 2}),
    "precise": ({"mask": SEEN}, {"softmax_precision": onnx.TensorProto.DOUBLE}),
}
"""Inputs, given or random of a shape, and attributes."""


def attention(name: str, outputs: int = 1) -> tuple[onnx.ModelProto, Arrays]:
    """A model of one node, and what to feed it."""
    inputs, attributes = VARIANTS[name]
    given = {key: SHAPES[key] for key in "qkv"} | inputs
    rng = np.random.default_rng(3)
    feeds = {key: item if isinstance(item, np.ndarray) else rng.standard_normal(item).astype(np.float32)
             for key, item in given.items()}  # fmt: skip
    results = ["y", "present_key", "present_value", "scores"][:outputs]
    node = helper.make_node("Attention", [x if x in feeds else "" for x in INPUTS], results, **attributes)
    return model([node], feeds, results, opset=24), feeds


def reference(proto: onnx.ModelProto, feeds: Arrays) -> dict[str, np.ndarray]:
    """What the definition in the ONNX package gives."""
    evaluator = ReferenceEvaluator(proto)
    return dict(zip(evaluator.output_names, evaluator.run(None, feeds), strict=True))


@pytest.mark.parametrize("name", VARIANTS)
def test_results_are_those_of_onnx(name: str):
    proto, feeds = attention(name, outputs=3 if "cached" in name else 1)
    found = run_onnx(read_model(proto).graph, feeds)
    for key, array in reference(proto, feeds).items():
        np.testing.assert_allclose(found[key], array, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_agree_with_differences(name: str):
    check_gradients(*attention(name))


@pytest.mark.parametrize("name", ["causal", "seen", "added", "narrow", "cached", "filled_causal", "packed"])
def test_open_sizes(name: str):
    proto, feeds = attention(name)
    rows = 1 if name == "packed" else 2
    keys = {0: "b", rows: "s"}
    sizes = {"q": {0: "b", rows: "t"}, "k": keys, "v": keys, "filled": {0: "b"}}
    sizes |= {key: {0: "b", 2: "p"} for key in PAST}
    if "mask" in feeds:
        last = feeds["mask"].ndim - 1
        sizes["mask"] = {last - 1: "t"} | ({} if name == "narrow" else {last: "s"}) | ({0: "b"} if last == 3 else {})
    check_open_sizes(proto, feeds, sizes)


@pytest.mark.parametrize("mode", range(4))
@pytest.mark.parametrize("name", ["seen", "added_causal", "softcap"])
def test_scores_as_a_result(name: str, mode: int, monkeypatch: pytest.MonkeyPatch):
    inputs, attributes = VARIANTS[name]
    monkeypatch.setitem(VARIANTS, name, (inputs, attributes | {"qk_matmul_output_mode": mode}))
    proto, feeds = attention(name, outputs=4)
    if (name, mode) == ("softcap", 0):  # the ONNX package caps these scores, against ONNX's text and the runtime
        del proto.graph.output[1:3]
        check_results(proto, feeds)
        return
    found = run_onnx(read_model(proto).graph, feeds)
    np.testing.assert_allclose(found["scores"], reference(proto, feeds)["scores"], rtol=1e-5, atol=2e-6)


def test_a_window_of_keys():
    """Operator set 25, which the definition in the ONNX package has and the runtime does not."""
    rng = np.random.default_rng(4)
    feeds = {key: rng.standard_normal((1, 1, 6, 4)).astype(np.float32) for key in "qkv"}
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"], left_window_size=2, right_window_size=1)
    found = run_onnx(read_model(model([node], feeds, ["y"], opset=25)).graph, feeds)["y"]
    row, column = np.indices((6, 6))
    seen = torch.tensor((column >= row - 2) & (column <= row + 1))
    expected = torch.nn.functional.scaled_dot_product_attention(*map(torch.tensor, feeds.values()), seen)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_a_row_that_sees_nothing_is_zero_and_so_are_its_gradients():
    b = Builder()
    operands = [b.input(name, TensorType("f32", (1, 1, 3, 4))) for name in "qkv"]
    mask = b.constant(np.array([[True, False, True], [False, False, False], [True, True, True]]))
    y = b.masked_attention(*operands, mask)
    b.output("y", y)
    for name, gradient in zip("qkv", gradients(b, b.sum(b.mul(y, y)), operands), strict=True):
        b.output(f"g{name}", gradient)
    rng = np.random.default_rng(6)
    found = run_onnx(b.graph(), {name: rng.standard_normal((1, 1, 3, 4)).astype(np.float32) for name in "qkv"})
    assert all(np.isfinite(array).all() for array in found.values())
    assert not found["y"][0, 0, 1].any()
    assert not found["gq"][0, 0, 1].any()
    assert found["gk"].any()


@pytest.mark.parametrize("name", ["causal", "added", "packed"])
def test_gradients_are_pytorchs(name: str):
    proto, feeds = attention(name)
    graph = read_model(proto).graph
    tensors = {key: torch.tensor(array, requires_grad=True) for key, array in feeds.items()}
    q, k, v = (apart(tensors[key], heads) for key, heads in zip("qkv", (4, 2, 2), strict=True))
    attributes = VARIANTS[name][1]
    y = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, tensors.get("mask"), is_causal=name == "causal", scale=attributes.get("scale"), enable_gqa=True
    )
    y = y.transpose(1, 2).flatten(2) if name == "packed" else y
    (y * (y + 1)).sum().backward()
    found = run_onnx(with_gradients(graph, feeds), feeds)
    for key in floats(feeds):
        np.testing.assert_allclose(found[f"grad.{key}"], tensors[key].grad.numpy(), rtol=1e-4, atol=1e-5)


def apart(x: Any, heads: int) -> Any:
    """[b, t, h · d] as [b, h, t, d]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2) if x.ndim == 3 else x


@pytest.mark.parametrize("attributes", [{}, {"interleaved": 1}, {"rotary_embedding_dim": 4}], ids=str)
def test_rotary_positions_from_a_table(attributes: dict[str, int]):
    rng = np.random.default_rng(8)
    half = attributes.get("rotary_embedding_dim", 6) // 2
    shapes = {"x": (2, 3, 12), "cos": (7, half), "sin": (7, half)}
    feeds: Arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    feeds["positions"] = np.array([[0, 1, 2], [6, 6, 3]])
    node = helper.make_node("RotaryEmbedding", [*feeds], ["y"], num_heads=2, **attributes)
    proto = model([node], feeds, ["y"], opset=23)
    check_results(proto, feeds)
    check_gradients(proto, feeds)


def modifier(*nodes: onnx.NodeProto) -> onnx.GraphProto:
    """A sub-graph from `s` to `m`."""
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 4, 3, 5]) for name in "sm"]
    half = helper.make_tensor("half", onnx.TensorProto.FLOAT, [], [0.5])
    return helper.make_graph(nodes, "modifier", ends[:1], ends[1:], [half])


def test_sub_graphs_change_scores_and_weights():
    rng = np.random.default_rng(12)
    feeds = {key: rng.standard_normal(SHAPES[key]).astype(np.float32) for key in "qkv"}
    graphs = {
        "score_mod": modifier(helper.make_node("Tanh", ["s"], ["a"]), helper.make_node("Mul", ["a", "half"], ["m"])),
        "prob_mod": modifier(helper.make_node("Pow", ["s", "half"], ["m"])),
    }
    node = helper.make_node("FlexAttention", ["q", "k", "v"], ["y"], domain="ai.onnx.preview", scale=0.7, **graphs)
    proto = model([node], feeds, ["y"], opset=24, domains={"ai.onnx.preview": 1})
    found = run_onnx(read_model(proto).graph, feeds)["y"]
    q, k, v = (torch.tensor(feeds[key]) for key in "qkv")
    k, v = (x.repeat_interleave(2, 1) for x in (k, v))
    expected = (0.5 * (q @ k.mT * 0.7).tanh()).softmax(-1).sqrt() @ v
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)
    check_gradients(proto, feeds)


# --- linear attention ----------------------------------------------------------------------------------------------

RULES = {"linear": "", "gated": "d", "delta": "b", "gated_delta": "db"}


def linear_attention(rule: str, decays: int = 4) -> tuple[onnx.ModelProto, Arrays]:
    """Four heads of queries to two of keys; `decays` for each step, 2 for one a head."""
    rng = np.random.default_rng(9)
    shapes = {"q": (2, 4, 8), "k": (2, 4, 4), "v": (2, 4, 6), "past": (2, 2, 2, 3), "d": (2, 4, decays), "b": (2, 4, 2)}
    given = {name: shape for name, shape in shapes.items() if len(name) > 1 or name in "qkv" + RULES[rule]}
    feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in given.items()}
    node = helper.make_node(
        "LinearAttention", [name if name in feeds else "" for name in shapes], ["y", "state"],
        q_num_heads=4, kv_num_heads=2, update_rule=rule,
    )  # fmt: skip
    return model([node], feeds, ["y", "state"], opset=27), feeds


@pytest.mark.parametrize(("rule", "decays"), [*((rule, 4) for rule in RULES), ("gated_delta", 2)])
def test_linear_attention(rule: str, decays: int):
    proto, feeds = linear_attention(rule, decays)
    found = run_onnx(read_model(proto).graph, feeds)
    for name, array in reference(proto, feeds).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=2e-6)
    check_gradients(proto, feeds)


def test_linear_attention_without_what_its_rule_needs_is_refused():
    proto, _ = linear_attention("gated")
    proto.graph.node[0].attribute[-1].s = b"delta"
    with pytest.raises(DiagnosticError) as caught:
        read_model(proto)
    assert caught.value.diagnostics[0].code == "onnx-unsupported"
