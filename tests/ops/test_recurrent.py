"""LSTM, GRU and RNN of ONNX with everything that they can ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from netlang.compiler.reading import read_model
from onnx import helper

from netlang.diagnostics import DiagnosticError

from .harness import run_onnx
from .reading import check_gradients, check_open_sizes, check_results, floats, model, with_gradients

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, WIDTH, SIZE = 5, 3, 4, 2
LENGTHS = np.array([5, 2, 1], np.int32)


def feeds_of(
    op: str, directions: int, optional: str, batch_first: bool = False, lengths: np.ndarray = LENGTHS
) -> dict[str, np.ndarray]:
    """Random inputs; `optional` names those given besides X, W and R."""
    rng = np.random.default_rng(11)
    rows = GATES[op] * SIZE
    state = (BATCH, directions, SIZE) if batch_first else (directions, BATCH, SIZE)
    shapes = {
        "X": (BATCH, STEPS, WIDTH) if batch_first else (STEPS, BATCH, WIDTH),
        "W": (directions, rows, WIDTH),
        "R": (directions, rows, SIZE),
        "B": (directions, 2 * rows),
        "h": state,
        "c": state,
        "P": (directions, 3 * SIZE),
    }
    given = {name: shape for name, shape in shapes.items() if name in f"XWR{optional}"}
    feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in given.items()}
    return feeds | ({"lengths": lengths} if "l" in optional else {})


def recurrent(op: str, feeds: dict[str, np.ndarray], **attributes: Any) -> onnx.ModelProto:
    """A model of one node."""
    inputs = ["X", "W", "R", "B", "lengths", "h", *(["c", "P"] if op == "LSTM" else [])]
    names = [name if name in feeds else "" for name in inputs]
    outputs = ["Y", "Y_h", "Y_c"] if op == "LSTM" else ["Y", "Y_h"]
    node = helper.make_node(op, names, outputs, hidden_size=SIZE, **attributes)
    return model([node], feeds, outputs)


DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}

VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lstm": ("LSTM", "", {}),
    "lstm_states": ("LSTM", "Bhc", {"direction": "bidirectional"}),
    "lstm_lengths": ("LSTM", "Bhcl", {"direction": "bidirectional"}),
    "lstm_lengths_reverse": ("LSTM", "Bhcl", {"direction": "reverse"}),
    "lstm_peepholes": ("LSTM", "BhcP", {"direction": "bidirectional"}),
    "lstm_everything": ("LSTM", "BhclP", {"direction": "bidirectional", "clip": 0.9}),
    "lstm_coupled": ("LSTM", "Bhc", {"input_forget": 1}),
    "lstm_activations": ("LSTM", "Bhc", {
        "activations": ["HardSigmoid", "Softsign", "Affine"], "activation_alpha": [0.3, 0.7],
        "activation_beta": [0.4, 0.1]}),
    "gru": ("GRU", "", {}),
    "gru_states": ("GRU", "Bh", {"direction": "bidirectional"}),
    "gru_after": ("GRU", "Bh", {"direction": "bidirectional", "linear_before_reset": 1}),
    "gru_lengths": ("GRU", "Bhl", {"direction": "bidirectional", "linear_before_reset": 1}),
    "gru_clip": ("GRU", "Bhl", {"direction": "reverse", "clip": 0.8}),
    "gru_activations": ("GRU", "Bh", {"activations": ["Sigmoid", "LeakyRelu"], "activation_alpha": [0.2]}),
    "rnn": ("RNN", "", {}),
    "rnn_lengths": ("RNN", "Bhl", {"direction": "bidirectional"}),
    "rnn_relu": ("RNN", "Bh", {"direction": "bidirectional", "activations": ["Relu", "Relu"]}),
    "rnn_mixed": ("RNN", "Bh", {"direction": "bidirectional", "activations": ["ScaledTanh", "Elu"],
                                "activation_alpha": [0.6, 0.9], "activation_beta": [1.4]}),
}  # fmt: skip
"""Operator, optional inputs, attributes."""


def variant(name: str) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    op, optional, attributes = VARIANTS[name]
    feeds = feeds_of(op, DIRECTIONS[attributes.get("direction", "forward")], optional)
    return recurrent(op, feeds, **attributes), feeds


@pytest.mark.parametrize("name", VARIANTS)
def test_results_are_those_of_the_runtime(name: str):
    check_results(*variant(name))


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_agree_with_differences(name: str):
    check_gradients(*variant(name))


@pytest.mark.parametrize("name", ["lstm", "lstm_everything", "gru_lengths", "rnn_relu"])
def test_open_sizes(name: str):
    sizes = {"X": {0: "t", 1: "b"}, "h": {1: "b"}, "c": {1: "b"}, "lengths": {0: "b"}}
    check_open_sizes(*variant(name), sizes)


@pytest.mark.parametrize("op", GATES)
def test_sequences_side_by_side_in_the_first_axis(op: str):
    """The runtime does not have this layout: the same numbers, moved, go through a model that has time first."""
    feeds = feeds_of(op, 2, "Bhl" + "c" * (op == "LSTM"), batch_first=True)
    moved = {name: array.swapaxes(0, 1) if name in ("X", "h", "c") else array for name, array in feeds.items()}
    proto = recurrent(op, feeds, direction="bidirectional", layout=1)
    found = run_onnx(read_model(proto).graph, feeds)
    y, *last = run_onnx(read_model(recurrent(op, moved, direction="bidirectional")).graph, moved).values()
    np.testing.assert_array_equal(found["Y"], y.transpose(2, 0, 1, 3))
    np.testing.assert_array_equal(found["Y_h"], last[0].swapaxes(0, 1))
    check_gradients(proto, feeds)


def test_an_empty_sequence_keeps_its_state():
    feeds = feeds_of("LSTM", 2, "Bhcl", lengths=np.array([0, 5, 0], np.int32))
    found = run_onnx(read_model(recurrent("LSTM", feeds, direction="bidirectional")).graph, feeds)
    np.testing.assert_array_equal(found["Y_h"][:, ::2], feeds["h"][:, ::2])
    np.testing.assert_array_equal(found["Y_c"][:, ::2], feeds["c"][:, ::2])
    assert not found["Y"][:, :, ::2].any()


def test_a_plain_lstm_stays_one_operator():
    proto, _ = variant("lstm_states")
    assert [node.op for node in read_model(proto).graph.nodes] == ["lstm"]


@pytest.mark.parametrize(
    "attributes",
    [{"direction": "sideways"}, {"activations": ["Sigmoid", "Gelu", "Tanh"]}, {"activations": ["Sigmoid"]}],
    ids=str,
)
def test_what_onnx_does_not_have_is_refused(attributes: dict[str, Any]):
    with pytest.raises(DiagnosticError) as caught:
        read_model(recurrent("LSTM", feeds_of("LSTM", 1, "B"), **attributes))
    assert caught.value.diagnostics[0].code == "onnx-unsupported"


@pytest.mark.parametrize(("op", "order"), [("LSTM", (0, 2, 3, 1)), ("GRU", (1, 0, 2)), ("RNN", (0,))])
def test_ragged_sequences_are_pytorchs_packed_ones(op: str, order: tuple[int, ...]):
    """Results, and gradients by inputs, weights and first states."""
    feeds = feeds_of(op, 2, "Bhl" + "c" * (op == "LSTM"))
    after = {"linear_before_reset": 1} if op == "GRU" else {}
    graph = read_model(recurrent(op, feeds, direction="bidirectional", **after)).graph
    module = torch.nn.__dict__[op](WIDTH, SIZE, bidirectional=True)
    tensors = {name: torch.tensor(feeds[name], requires_grad=True) for name in floats(feeds)}
    expected = packed(module, tensors, order)
    found = run_onnx(with_gradients(graph, feeds), feeds)
    sum((y * (y + 1)).sum() for y in expected).backward()
    for name, y in zip(("Y", "Y_h", "Y_c"), expected, strict=False):
        np.testing.assert_allclose(found[name], y.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(found[f"grad.{name}"], tensor.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


def packed(module: Any, tensors: dict[str, Any], order: tuple[int, ...]) -> list[Any]:
    """What a bidirectional module of PyTorch makes of sequences of several lengths, in the layout of ONNX."""
    values: dict[str, Any] = {}
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    for index, suffix in enumerate(("", "_reverse")):
        parts = (tensors["W"][index], tensors["R"][index], *tensors["B"][index].chunk(2))
        gates = [torch.cat([part.split(SIZE)[i] for i in order]) for part in parts]
        values |= {name + suffix: gate for name, gate in zip(names, gates, strict=True)}
    sequences = torch.nn.utils.rnn.pack_padded_sequence(tensors["X"], torch.tensor(LENGTHS))
    states = (tensors["h"], tensors["c"]) if "c" in tensors else tensors["h"]
    y, last = torch.func.functional_call(module, values, (sequences, states))
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=STEPS)
    last = last if isinstance(last, tuple) else (last,)
    return [padded.unflatten(-1, (2, SIZE)).transpose(1, 2), *last]
