"""`examples/state_space.net`: its gradients are those of PyTorch through the same recurrence, and it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from netlang.compiler import load_program
from netlang.compiler.initializers import materialise
from netlang.runtime.data import match, open_data
from netlang.runtime.loader import load, open_source
from torch.nn import functional

from ..stdlib.harness import (
    CHECKED,
    Arrays,
    Parameters,
    Runner,
    Training,
    assert_near,
    run_inputs,
    torch_parameters,
    variables,
)

EXAMPLE = str(Path(__file__).parents[2] / "examples/state_space.net")
NETWORK = load_program(open_source(EXAMPLE)[0], load).network()


def rows(split: str) -> Arrays:
    table = match(open_data("digits"), NETWORK).splits[split]
    return table.take(table.sequence())


def logits(image: torch.Tensor, p: Parameters) -> torch.Tensor:
    """The model in PyTorch, with an ordinary loop."""

    def linear(x: torch.Tensor, path: str) -> torch.Tensor:
        return functional.linear(x, p[f"{path}.weight"], p.get(f"{path}.bias"))

    def norm(x: torch.Tensor, path: str) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:], p[f"{path}.scale"], p[f"{path}.shift"])

    def selective_scan(x: torch.Tensor, path: str) -> torch.Tensor:
        step = functional.softplus(linear(x, f"{path}.linear"))
        write, read = linear(x, f"{path}.linear_2").chunk(2, -1)
        h, ys = torch.zeros(*x[:, 0].shape, write.shape[-1]), []
        for t in range(x.shape[1]):
            by = step[:, t, :, None]
            h = torch.exp(-by * p[f"{path}.rate"].exp()) * h + by * x[:, t, :, None] * write[:, t, None]
            ys.append((h * read[:, t, None]).sum(-1))
        return torch.stack(ys, 1) + p[f"{path}.skip"] * x

    x = linear(image[:, 0], "linear")
    for i in range(2):
        path = f"block.{i}"
        u, gate = linear(norm(x, f"{path}.layer_norm"), f"{path}.linear").chunk(2, -1)
        y = selective_scan(functional.silu(u), f"{path}.selective_scan") * functional.silu(gate)
        x = x + linear(y, f"{path}.linear_2")
    return linear(norm(x[:, -1], "layer_norm"), "linear_2")


def test_gradients_agree_with_pytorch() -> None:
    values = variables(NETWORK)
    batch = {name: array[:16] for name, array in rows("train").items()}
    found = Runner(NETWORK.gradient_graph(**CHECKED))({**values, **batch, **run_inputs()})
    parameters = torch_parameters(NETWORK, values, training=True)
    loss = functional.cross_entropy(logits(torch.tensor(batch["image"]), parameters), torch.tensor(batch["label"]))
    loss.backward()
    assert_near(found["loss"], loss, 1e-5)
    for name, tensor in parameters.items():
        assert tensor.grad is not None
        assert_near(found[f"grad.{name}"], tensor.grad, 2e-5, name)


def test_it_learns() -> None:
    training = Training(NETWORK, materialise(NETWORK.variables, seed=0), steps=80)
    batch = rows("train")
    order = np.random.default_rng(0).permutation(len(batch["label"]))
    for i in range(80):
        some = np.take(order, np.arange(64 * i, 64 * i + 64), mode="wrap")
        training.step({name: array[some] for name, array in batch.items()})
    found = Runner(NETWORK.eval_graph(**CHECKED))({**training.variables, **rows("test")})
    assert found["accuracy"] > 0.85
