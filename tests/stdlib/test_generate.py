"""`GPT.generate`: with the cache it writes what a loop outside, over the whole text each time, makes of `forward`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from netlang.compiler import Network, load_program
from netlang.compiler.initializers import materialise
from netlang.runtime.artifacts import export
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.loader import load, read_source

from netlang.diagnostics import DiagnosticError
from netlang.source import Source

from .harness import CHECKED, Arrays, Runner, library

CONTEXT = 16
PROMPT = np.array([[1, 2, 3], [9, 0, 4]])


def network_of(bias: bool = True) -> Network:
    settings = {"vocab": 17, "d": 8, "layers": 3, "h": 2, "context": CONTEXT, "drop": 0.1, "bias": bias}
    return library("std.models.gpt").network("GPT", settings)


def weights(network: Network) -> Arrays:
    """Larger than the initial ones, so that the tokens depend on all that stands before them."""
    values = materialise(network.variables, seed=5)
    return {name: array * np.float32(10 if array.ndim > 1 else 1) for name, array in values.items()}


def published(model: str) -> Network:
    """A model with the sizes of a paper, made small: the same text with other numbers."""
    text = read_source("std.models.gpt").text.replace("50257", "17")
    numbers = f"d = 8, layers = 2, h = 2, context = {CONTEXT}, "
    small, count = re.subn(r"d = \d+, layers = \d+, h = \d+, (context = \d+, )?(?=drop = drop)", numbers, text)
    assert count == 5
    return load_program(Source("gpt.net", small), load).network(model)


def generated(network: Network, prompt: np.ndarray, count: int, temperature: float = 0.0, seed: int = 0) -> np.ndarray:
    bound = BoundNetwork(network, weights(network))
    return bound.generate(prompt, np.array(count), np.array(temperature, np.float32), np.array(seed))


def uncached(network: Network, prompt: np.ndarray, count: int) -> np.ndarray:
    forward, values, tokens = Runner(network.graph(**CHECKED)), weights(network), prompt
    for _ in range(count):
        logits = forward({**values, "tokens": tokens})["output"]
        tokens = np.concatenate([tokens, logits[:, -1].argmax(-1)[:, None]], 1)
    return tokens


@pytest.mark.parametrize("bias", [True, False])
def test_cached_equals_uncached_token_by_token(bias: bool) -> None:
    network = network_of(bias)
    expected = uncached(network, PROMPT, CONTEXT - 3)
    assert len(np.unique(expected[:, 3:])) > 5, "few tokens would tell little"
    np.testing.assert_array_equal(generated(network, PROMPT, CONTEXT - 3), expected)
    np.testing.assert_array_equal(generated(network, PROMPT[:, :1], 5), uncached(network, PROMPT[:, :1], 5))


@pytest.mark.parametrize("model", ["GPT2", "GPT2Medium", "GPT2Large", "GPT2XL", "GPT3"])
def test_the_published_models_generate(model: str) -> None:
    assert library("std.models.gpt").network(model).entries == ("forward", "generate")


@pytest.mark.parametrize("model", ["GPT2", "GPT3"])
def test_the_published_models_generate_what_their_forward_says(model: str) -> None:
    small = published(model)
    np.testing.assert_array_equal(generated(small, PROMPT, 6), uncached(small, PROMPT, 6))


@pytest.mark.parametrize("count", [0, 1])
def test_few_tokens(count: int) -> None:
    network = network_of()
    np.testing.assert_array_equal(generated(network, PROMPT, count), uncached(network, PROMPT, count))


def test_generation_can_go_on_where_it_stopped() -> None:
    network = network_of()
    np.testing.assert_array_equal(
        generated(network, generated(network, PROMPT, 4), 5), generated(network, PROMPT, 4 + 5)
    )


def test_fixed_sizes_give_the_same() -> None:
    network = network_of()
    graph = network.graph("generate", dims={"batch": 2, "t": 3, "count": 6}, **CHECKED)
    feeds = {"prompt": PROMPT, "temperature": np.array(0, np.float32), "seed": np.array(0)}
    found = Runner(graph)({**weights(network), **feeds})["output"]
    np.testing.assert_array_equal(found, generated(network, PROMPT, 6))


def test_drawn_tokens_follow_their_probabilities() -> None:
    """The first token of 4,000 rows with one prompt, against the softmax of the logits over the temperature."""
    network = network_of()
    prompt = np.repeat(PROMPT[:1], 4000, 0)
    drawn = generated(network, prompt, 1, temperature=2.0, seed=3)[:, 3]
    logits = Runner(network.graph(**CHECKED))({**weights(network), "tokens": PROMPT[:1]})["output"][0, -1]
    p = np.exp(logits / 2 - (logits / 2).max())
    p /= p.sum()
    found = np.bincount(drawn, minlength=17) / len(drawn)
    assert (np.abs(found - p) < 4 * np.sqrt(p * (1 - p) / len(drawn)) + 1e-4).all()


def test_the_seed_decides_what_is_drawn() -> None:
    one, same, other = (generated(network_of(), PROMPT, 12, 3.0, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one[:, :3], PROMPT)


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ({"t": 12, "count": 5}, "12 tokens and 5 more exceed the context of 16"),
        ({"t": 0, "count": 5}, "the prompt is empty"),
    ],
)
def test_what_cannot_go_on_is_refused_while_compiling(dims: dict[str, int], message: str) -> None:
    with pytest.raises(DiagnosticError) as raised:
        network_of().graph("generate", dims=dims)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [
        ((1, CONTEXT + 1), 1, "17 tokens and 1 more exceed the context of 16"),
        ((2, 3), CONTEXT, "3 tokens and 16 more exceed the context of 16"),
        ((1, 0), 3, "the prompt is empty: give it at least one token, such as an end of line"),
        ((0, 3), 3, "the prompt is empty: give it at least one token, such as an end of line"),
    ],
)
def test_what_cannot_go_on_is_refused_at_run_time(shape: tuple[int, int], count: int, message: str) -> None:
    with pytest.raises(DiagnosticError) as raised:
        generated(network_of(), np.ones(shape, np.int64), count)
    (diagnostic,) = raised.value.diagnostics
    assert (diagnostic.code, diagnostic.title) == ("assertion-failed", message)


def test_the_script_writes_with_the_exported_model(tmp_path: Path) -> None:
    network = network_of()
    export(BoundNetwork(network, weights(network)), tmp_path / "generate.onnx", entry="generate")
    vocabulary = {"tokens": {"kind": "characters", "tokens": list("abcdefghijklmnopq")}}
    (tmp_path / "vocabulary.json").write_text(json.dumps(vocabulary))
    script = Path(__file__).parents[2] / "examples" / "deploy" / "generate_text.py"
    command = [sys.executable, str(script), "generate.onnx", "vocabulary.json", "bcd", "9"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()
    expected = generated(network, PROMPT[:1], 9, temperature=0.8)[0]
    assert found == "".join("abcdefghijklmnopq"[token] for token in expected)
