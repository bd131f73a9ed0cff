"""The same source gives the same graphs, to the last name, in this process and in any other."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
from netlang.compiler import load_program
from netlang.compiler.passes import PIPELINE
from netlang.compiler.printer import print_graph
from netlang.runtime.loader import load, open_source

EVERY_PASS = tuple(name for name, _ in PIPELINE)

MODELS: dict[str, dict[str, int]] = {
    "LinearRegression": {},
    "MLP": {"layers": 3},
    "LeNet5": {},
    "ResNet20": {},
    "GPT": {"vocab": 11, "d": 8, "layers": 2, "h": 2, "context": 6},
}


def printed(model: str, settings: dict[str, int]) -> str:
    """Every graph of a model of the library, as text, before any pass."""
    network = load_program(open_source(f"std:{model}")[0], load).network(model, settings)
    graphs = [network.elaborate(), network.train_graph(without=EVERY_PASS), network.eval_graph(without=EVERY_PASS)]
    return "\n".join(print_graph(graph) for graph in graphs)


def digests() -> dict[str, str]:
    """A digest of the text of each model."""
    return {name: hashlib.sha256(printed(name, s).encode()).hexdigest() for name, s in MODELS.items()}


@pytest.mark.parametrize("model", MODELS)
def test_twice_in_one_process(model: str) -> None:
    assert printed(model, MODELS[model]) == printed(model, MODELS[model])


def test_in_another_process_with_other_hashes() -> None:
    """Python's hashes of strings differ from process to process, and with them the order of sets."""
    here = digests()
    for seed in ("1", "2"):
        script = f"import runpy; print(runpy.run_path({__file__!r})['digests']())"
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        told = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert told.stdout.strip() == str(here)
