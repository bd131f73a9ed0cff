"""Every file and every model of the library: style, names, documentation, and all its graphs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from netlang.compiler import Network, load_program
from netlang.compiler.ir import Graph
from netlang.runtime.loader import library_models, library_modules, load, read_source

from netlang import syntax
from netlang.formatter import format_source
from netlang.parser import parse
from netlang.source import Source

from .harness import CHECKED, Arrays, Runner, Training, library, run_inputs, variables

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.net"))
FILES = [*(read_source(name) for name in library_modules()), *(Source(str(p), p.read_text("utf-8")) for p in EXAMPLES)]

SMALL: dict[str, dict[str, Any]] = {
    "GPT": {"vocab": 17, "d": 8, "layers": 2, "h": 2, "context": 6, "drop": 0.1},
    "MLP": {"drop": 0.2},
    "Transformer": {"vocab": 17, "d": 8, "layers": 2, "h": 2, "ff": 12},
    "BERT": {"vocab": 17, "d": 8, "layers": 2, "h": 2, "context": 6, "cls": 1, "sep": 2, "mask": 3},
    "Seq2Seq": {"source_vocab": 17, "target_vocab": 17, "d": 4, "n": 6},
    **{name: {"vocab": 17, "d": 4, "n": 6} for name in ("LSTM", "GRU", "SimpleRNN")},
    "DDPM": {"side": 8, "c": 4, "levels": 2, "attend_at": 4, "groups": 2, "steps": 4},
    **{name: {"vocab": 17, "d": 4} for name in ("SkipGram", "CBOW", "Node2Vec")},
    "GAN": {"latent": 3, "hidden": 4, "pixels": 5},
    "DCGAN": {"latent": 3, "width": 2},
    "GCN": {"features": 5, "hidden": 4},
    "GAT": {"features": 5, "hidden": 2, "h": 3},
}
"""Settings that make a model small, or need a value."""

SIZES = {"batch": 2, "t": 6, "s": 5, "height": 32, "width": 32, "n": 3, "window": 4, "nodes": 4, "e": 6}

LARGE = ("GPT2", "GPT2Medium", "GPT2Large", "GPT2XL", "GPT3", "BERTBase", "BERTLarge", "ResNet50")
"""Models too large to run here: others with settings of their own, of which `test_sizes` compiles the smallest GPT, and
ResNet50, which `test_pretrained` compares with PyTorch."""

YEAR = re.compile(r"\b(17|18|19|20)\d\d\b")
NO_SOURCE = frozenset(
    [
        "flatten",
        "log_softmax",
        "softmax",
        "lower_triangle",
        "accuracy",
        "binary_accuracy",
        "linear",
        "stage",
        "progress",
        "warmed",
        "step_decay",
        "linear_decay",
        "bce_with_logits",
        "degree",
        "with_self_loops",
    ]
)
"""Definitions that need no paper."""


DEFINITIONS = [
    pytest.param(declaration, id=f"{Path(source.name).name}:{declaration.name.name}")
    for source in FILES
    for declaration in parse(source).declarations
    if isinstance(declaration, syntax.Definition) and not declaration.name.name.startswith("_")
]
"""Everything public."""


@pytest.mark.parametrize("source", FILES, ids=lambda source: Path(source.name).name)
def test_is_formatted(source: Source):
    assert format_source(source) == source.text


@pytest.mark.parametrize("source", FILES, ids=lambda source: Path(source.name).name)
def test_has_no_fault_and_no_warning(source: Source):
    """Also by the checks that a user's file gets and the library's own files are spared."""
    program = load_program(Source(source.name, source.text), load)
    assert program.warnings == []
    if not any(name in LARGE for name in program.models):
        assert program.check() == []


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_is_documented_with_its_source(definition: syntax.Definition):
    assert definition.doc.endswith("."), "say what it is, in sentences"
    module_doc = definition.span.source.text.partition("\n\n")[0]
    told = YEAR.search(definition.doc) or YEAR.search(module_doc) or definition.name.name in NO_SOURCE
    assert told, "name the paper and the year"


@pytest.mark.parametrize("source", FILES, ids=lambda source: Path(source.name).name)
def test_says_what_it_is_for(source: Source):
    """A file at its top, and every entry of a model."""
    module = parse(source)
    assert module.doc or source.name == "std.models", "begin with a `##` comment"
    entries = [e for d in module.declarations if isinstance(d, syntax.Definition) for e in d.entries]
    assert [entry.name.name for entry in entries if not entry.doc.endswith(".")] == []


def network_of(model: str) -> Network:
    return library(library_models()[model]).network(model, SMALL.get(model, {}))


def data(network: Network, graph: Graph) -> Arrays:
    """Normal numbers, or zeros and ones, for the inputs that are data."""
    rng = np.random.default_rng(0)
    arrays: Arrays = {}
    for item in graph.inputs:
        shape = [size if isinstance(size, int) else SIZES[str(size)] for size in item.value.type.shape]
        if item.role == "data":
            whole = item.value.type.dtype == "i64"
            arrays[item.name] = rng.integers(0, 2, shape) if whole else rng.standard_normal(shape).astype(np.float32)
    return arrays


@pytest.mark.parametrize("model", [name for name in library_models() if name not in LARGE])
def test_compiles_and_runs(model: str):
    """Five graphs, with sizes open and fixed; verified after each pass, accepted by the checker, run, finite."""
    network = network_of(model)
    values = variables(network)
    forward = network.graph(network.entries[0], **CHECKED)
    evaluation = network.eval_graph(**CHECKED)
    batch = {**data(network, forward), **data(network, evaluation)}
    feeds = {**run_inputs(), **values, **batch}
    results = Runner(forward)(feeds)
    assert all(np.isfinite(array).all() for array in results.values())
    fixed = Runner(network.graph(network.entries[0], dims=SIZES))(feeds)
    for name, array in results.items():
        np.testing.assert_allclose(fixed[name], array, rtol=1e-4, atol=1e-5)
    assert np.isfinite(Runner(evaluation)(feeds)["loss"])
    training = Training(network, values)
    if not network.phases:
        _check_halves(network, training, feeds, batch)
    assert np.isfinite(training.step(batch)["loss"])


def _check_halves(network: Network, training: Training, feeds: Arrays, batch: Arrays) -> None:
    """Gradients, and then their application, do what the first step of a training does."""
    gradients = Runner(network.gradient_graph(**CHECKED))(feeds)
    applied = Runner(network.apply_graph(**CHECKED))({**feeds, **training.variables, **gradients})
    loss = training.step(batch)["loss"]
    np.testing.assert_allclose(loss, gradients["loss"], rtol=1e-5)
    for name, array in applied.items():
        expected = training.variables[name.removeprefix("next.")]
        np.testing.assert_allclose(array, expected, rtol=1e-3, atol=1e-4, err_msg=name)


def test_the_prelude_is_of_names_that_exist():
    for use in parse(read_source("std.prelude")).declarations:
        assert isinstance(use, syntax.Use)
        assert {item.name for item in use.names} <= library(use.module)._module.declared()
