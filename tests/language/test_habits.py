"""What the help says is written here compiles, and is the number that PyTorch's function of that name gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from netlang.habits import FORMULAS, NAMES
from netlang.names import check_names
from netlang.parser import parse
from netlang.source import Source

from .harness import network, run

TENSORS = "x: f32[n, d], a: f32[n, d], b: f32[n, d], p: f32[n, d], q: f32[n, d], logits: f32[n, d], mask: bool[n, d]"


def model(formula: str) -> str:
    """A model whose result is what the formula says."""
    if formula.startswith("conv2d"):
        return f"use std.layers: conv2d\nmodel Net(c: int = 3)(image: f32[n, c, 8, 8]) {{ return image |> {formula} }}"
    return f"model Net(d: int = 4)({TENSORS}, u: f32[n], v: f32[n], rows: i64[k]) {{ return {formula} }}"


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_compile(formula: str) -> None:
    assert network(model(formula)).elaborate().outputs


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("huber", F.smooth_l1_loss),
        ("cosine_similarity", F.cosine_similarity),
        ("kl_div", lambda a, b: F.kl_div(torch.log(b), a, reduction="none").sum(-1)),
        ("rmse", lambda a, b: torch.sqrt(F.mse_loss(a, b))),
        ("norm", lambda a, b: torch.linalg.vector_norm(a, dim=-1)),
        ("var", lambda a, b: torch.var(a, correction=0)),
        ("flip", lambda a, b: torch.flip(a, (0,))),
        ("roll", lambda a, b: torch.roll(a, -1, 0)),
        ("repeat_interleave", lambda a, b: torch.repeat_interleave(a, 2, 0)),
        ("linspace", lambda a, b: torch.linspace(0, 1, len(a))),
        ("relu6", lambda a, b: F.relu6(a)),
        ("cdist", torch.cdist),
        ("glu", lambda a, b: F.glu(torch.cat((a, b), -1))),
    ],
)
def test_formulas_compute_what_the_name_means(name: str, expected) -> None:
    formula = next(formula for formula, names in FORMULAS.items() if name in names)
    random = np.random.default_rng(0)
    a, b = (random.uniform(0.1, 3, (5, 4)).astype(np.float32) for _ in "ab")
    graph = network(model(formula)).elaborate()
    unused = {"logits": a, "mask": a > 1, "u": a[:, 0], "v": a[:, 0], "rows": np.arange(2)}
    feeds = {"x": a, "a": a, "p": a, "b": b, "q": b, **unused}
    (found,) = run(graph, feeds).values()
    np.testing.assert_allclose(found, expected(torch.from_numpy(a), torch.from_numpy(b)), rtol=1e-5)


def test_the_help_goes_with_names_that_nothing_defines() -> None:
    for name in NAMES:
        if name.isidentifier():
            faults = check_names(parse(Source("a.net", f"const k = {name}(1)")), frozenset(), lambda use: None)
            assert [fault.help for fault in faults] == [NAMES[name]], name
