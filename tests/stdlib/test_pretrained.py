"""Weights under the names that others publish them with: results and gradients as in PyTorch, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network, Program, load_program
from netlang.compiler.pretrained import fill
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.initial_weights import initial_weights
from netlang.runtime.loader import load
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from netlang.source import Source
from netlang.types import TensorType

from .harness import Arrays, Runner, assert_near, library, run_inputs
from .published import BERT, GPT2, ResNet

GPT_RULES = """
  ignore "*.attn.bias", "*.attn.masked_bias", "lm_head.weight"
  "transformer.*" -> "*"
  "wte.*" -> "tokens_table.*"
  "wpe.*" -> "learned_positions.*"
  "ln_f.*" -> "layer_norm.*"
  transpose "*.c_attn.weight", "*.c_proj.weight", "*.c_fc.weight"
  "h.*.ln_1.*" -> "gpt_block.*.layer_norm.*"
  "h.*.ln_2.*" -> "gpt_block.*.layer_norm_2.*"
  "h.*.attn.c_attn.*" -> "gpt_block.*.attention.linear.*"
  "h.*.attn.c_proj.*" -> "gpt_block.*.attention.linear_2.*"
  "h.*.mlp.c_fc.*" -> "gpt_block.*.expand.*"
  "h.*.mlp.c_proj.*" -> "gpt_block.*.contract.*"
  "*norm*.weight" -> "*norm*.scale"
  "*norm*.bias" -> "*norm*.shift"
"""
GPT_TEXT = f"""
use std.models.gpt: GPT
model Tiny() {{
  let gpt = GPT(13, d = 12, layers = 2, h = 3, context = 9, activation = gelu_tanh)
  entry forward(tokens: i64[b, t]) -> f32[b, t, 13] {{ return gpt(tokens) }}
}}
train Tiny {{ in label: i64[b, t]; minimize cross_entropy(forward(tokens), label); optimizer sgd(0.1) }}
pretrained Tiny "model.safetensors" {{ {GPT_RULES} "*" -> "gpt.*" }}
"""
BERT_TEXT = """
use std.models.bert: BERT
model Tiny() {
  let net = BERT(vocab = 17, d = 12, layers = 2, h = 3, context = 9, drop = 0.0, padding = -1)
  entry forward(tokens: i64[b, t], segments: i64[b, t]) -> (f32[b, t, 17], f32[b, 2]) { return net(tokens, segments) }
}
train Tiny {
  in label: i64[b, t]
  in follows: i64[b]
  words, sentences = forward(tokens, segments)
  minimize cross_entropy(words, label) + cross_entropy(sentences, follows)
  optimizer sgd(0.1)
}
pretrained Tiny "model.safetensors" {
  ignore "bert.embeddings.position_ids", "cls.predictions.decoder.*"
  "bert.embeddings.word_embeddings.*" -> "words.*"
  "bert.embeddings.token_type_embeddings.*" -> "encoder.sentences.*"
  "bert.embeddings.position_embeddings.*" -> "encoder.learned_positions.*"
  "bert.embeddings.LayerNorm.*" -> "encoder.layer_norm.*"
  "bert.encoder.layer.*" -> "encoder.bert_layer.*"
  "bert.pooler.*" -> "encoder.pool.*"
  "cls.predictions.transform.LayerNorm.*" -> "guess.layer_norm.*"
  "cls.predictions.transform.*" -> "guess.*"
  "cls.predictions.bias" -> "guess.bias"
  "cls.seq_relationship.*" -> "follows.linear.*"
  "*.attention.self.query.*", "*.attention.self.key.*", "*.attention.self.value.*" -> "*.self_attention.linear.*"
  "*.attention.output.dense.*" -> "*.self_attention.linear_2.*"
  "*.attention.output.LayerNorm.*" -> "*.layer_norm.*"
  "*.intermediate.dense.*" -> "*.dense.linear.*"
  "*.output.dense.*" -> "*.dense_2.linear.*"
  "*.output.LayerNorm.*" -> "*.layer_norm_2.*"
  "*layer_norm*.weight" -> "*layer_norm*.scale"
  "*layer_norm*.bias" -> "*layer_norm*.shift"
  "*.dense.weight" -> "*.dense.linear.weight"
  "*.dense.bias" -> "*.dense.linear.bias"
  "*" -> "net.*"
}
"""


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same modules, whichever tests ran before."""
    torch.manual_seed(0)


def randomised(module: nn.Module) -> nn.Module:
    """The module with vectors, running statistics among them, that do not begin as zeros and ones.

    What deep residual networks add to their input begins small, so that rounding does not grow from block to block.
    """
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.ndim == 1:
                tensor.add_(0.2 * torch.rand_like(tensor))
            if name.endswith("bn3.weight"):
                tensor.mul_(0.1)
    return module


def stored(tensors: Mapping[str, Tensor], path: Path) -> Path:
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, path)
    return path


def check(network: Network, module: nn.Module, data: Arrays, loss: Any, folder: Path) -> None:
    """Results in inference, and the loss and its gradients in training, are those of the PyTorch module.

    Gradients of PyTorch reach our names as weights do: by the rules.
    """
    weights = initial_weights(network, stored(module.state_dict(), folder / "model.safetensors"), 0)
    assert weights.new == ()
    inputs = {item.name: torch.tensor(data[item.name]) for item in network.graph().inputs}
    found = Runner(network.graph())({**weights.arrays, **data})
    expected = module.eval()(**inputs)
    for array, tensor in zip(found.values(), expected if isinstance(expected, tuple) else (expected,), strict=True):
        assert_near(array, tensor, 1e-4)
    value = loss(module.train()(**inputs), {name: torch.tensor(array) for name, array in data.items()})
    value.backward()
    grads = {**module.state_dict(), **{name: p.grad for name, p in module.named_parameters() if p.grad is not None}}
    expected_grads = initial_weights(network, stored(grads, folder / "gradients.safetensors"), 0).arrays
    step = Runner(network.gradient_graph())({**weights.arrays, **data, **run_inputs()})
    assert_near(step["loss"], value, 1e-4, "loss")
    for variable in network.variables:
        if variable.kind == "param":
            assert_near(step[f"grad.{variable.name}"], expected_grads[variable.name], 1e-4, variable.name)


def program_in(folder: Path, text: str) -> Program:
    return load_program(Source(str(folder / "case.net"), text), load)


def test_resnet50_of_torchvision(tmp_path: Path) -> None:
    """With the rules that the library has."""
    network = library("std.models.resnet").network("ResNet50", {"classes": 7})
    rng = np.random.default_rng(0)
    data = {"image": rng.standard_normal((4, 3, 48, 48)).astype(np.float32), "label": rng.integers(0, 7, 4)}
    module = randomised(ResNet(50, 7))
    check(network, module, data, lambda y, batch: functional.cross_entropy(y, batch["label"]), tmp_path)


def test_resnet18_of_torchvision(tmp_path: Path) -> None:
    """As the 50 layers, in inference."""
    module = randomised(ResNet(18, 7)).eval()
    path = stored(module.state_dict(), tmp_path / "model.safetensors")
    network = library("std.models.resnet").network("ResNet18", {"classes": 7})
    image = np.random.default_rng(0).standard_normal((2, 3, 40, 40)).astype(np.float32)
    found = BoundNetwork(network, initial_weights(network, path, 0).arrays).forward(image)
    assert_near(found, module(torch.tensor(image)), 1e-4)


def test_gpt2_of_hugging_face(tmp_path: Path) -> None:
    """Transposed weights, queries, keys and values in one, a mask that is no weight."""
    rng = np.random.default_rng(0)
    data = {"tokens": rng.integers(0, 13, (4, 7)), "label": rng.integers(0, 13, (4, 7))}
    module = randomised(GPT2(13, 12, 2, 3, 9))
    network = program_in(tmp_path, GPT_TEXT).network("Tiny")
    check(network, module, data, lambda y, batch: functional.cross_entropy(y.mT, batch["label"]), tmp_path)


def test_bert_of_hugging_face(tmp_path: Path) -> None:
    """Queries, keys and values joined; two heads."""
    rng = np.random.default_rng(0)
    data = {"tokens": rng.integers(0, 17, (4, 7)), "segments": rng.integers(0, 2, (4, 7))}
    data |= {"label": rng.integers(0, 17, (4, 7)), "follows": rng.integers(0, 2, 4)}

    def loss(found: tuple[Tensor, Tensor], batch: Mapping[str, Tensor]) -> Tensor:
        words = functional.cross_entropy(found[0].mT, batch["label"])
        return words + functional.cross_entropy(found[1], batch["follows"])

    module = randomised(BERT(17, 12, 2, 3, 9))
    check(program_in(tmp_path, BERT_TEXT).network("Tiny"), module, data, loss, tmp_path)


@pytest.mark.parametrize(
    ("module", "model", "published"),
    [
        ("gpt", "GPT2", lambda: GPT2(50257, 768, 12, 12, 1024)),
        ("gpt", "GPT2Medium", lambda: GPT2(50257, 1024, 24, 16, 1024)),
        ("bert", "BERT", lambda: BERT(30522, 768, 12, 12, 512)),
        ("bert", "BERTBase", lambda: BERT(30522, 768, 12, 12, 512)),
        ("bert", "BERTLarge", lambda: BERT(30522, 1024, 24, 16, 512)),
    ],
)
def test_the_library_knows_the_names_of_hugging_face(
    module: str, model: str, published: Callable[[], nn.Module]
) -> None:
    """Every weight is filled, and nothing is left over; by names and types alone."""
    with torch.device("meta"):
        tensors = published().state_dict()
    network = library(f"std.models.{module}").network(model)
    plan = network.pretrained
    assert plan is not None
    types = {name: TensorType("f32", tuple(tensor.shape)) for name, tensor in tensors.items()}
    found = fill(plan, types, network.variables, "model.safetensors")
    assert set(found.weights) == {variable.name for variable in network.variables}
    assert found.new == ()
