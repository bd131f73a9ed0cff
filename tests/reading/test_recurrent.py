"""LSTM, GRU and RNN of ONNX with everything that they can ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from netlang.compiler.reading import read_model
from onnx import helper

from netlang.diagnostics import DiagnosticError

from .rules import check_gradients, check_results, model

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, WIDTH, SIZE = 5, 3, 4, 2
LENGTHS = np.array([5, 2, 0], np.int32)


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


@pytest.mark.parametrize("op", GATES)
def test_sequences_side_by_side_in_the_first_axis(op: str):
    feeds = feeds_of(op, 2, "Bhl" + "c" * (op == "LSTM"), batch_first=True)
    proto = recurrent(op, feeds, direction="bidirectional", layout=1)
    check_results(proto, feeds)
    check_gradients(proto, feeds)


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
