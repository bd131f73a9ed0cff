"""`Transformer.translate` keeps keys and values: it finds what a search finds that reads all words in each round."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest
from netlang.compiler import load_program
from netlang.compiler.emit import emit
from netlang.runtime.loader import load

from netlang.source import Source

from .harness import CHECKED, Arrays, Runner
from .model_checks import PADDING, copying_task
from .test_transformer import SMALL, copier, network_of

SOURCES = copying_task(6, SMALL["vocab"])["source"]

WHOLE = """
use std.models.transformer: Transformer

model Whole(beam: int, vocab: int = 11, begin: int = 1, end: int = 2, padding: int = 0) {
  let inner = Transformer(11, d = 12, layers = 2, h = 3, ff = 20)

  entry translate(source: i64[batch, s]) -> i64[batch, s + 50] {
    longest = s + 50
    lines = batch * beam
    d = 12
    memory = reshape(expand(reshape(inner.encode(source), [batch, 1, s, d]), [batch, beam, s, d]), [lines, s, d])
    seen = reshape(expand(reshape(source != padding, [batch, 1, s]), [batch, beam, s]), [lines, s])
    finished = select(iota(vocab) == padding, 0.0, -1e9)
    words, score = loop i from 1 to longest - 1 while sum(open) > 0
        carry words = expand(select(iota(longest) == 0, begin, padding), [lines, longest]),
        score = expand(select(iota(beam) == 0, 0.0, -1e9), [batch, beam]),
        open = ones(lines) {
      last = gather(inner.decode(words, memory, seen), i - 1, axis = 1)
      log_p = select(reshape(open, [lines, 1]) > 0, log_softmax(last @ inner.table.weight.T), finished)
      total = reshape(score, [lines, 1]) + log_p
      best, place = topk(reshape(total, [batch, beam * vocab]), beam)
      parent = reshape(place // vocab + beam * reshape(iota(batch), [batch, 1]), [lines])
      word = reshape(place % vocab, [lines])
      next words = select(iota(longest) == i, reshape(word, [lines, 1]), words[parent])
      next score = best
      next open = open[parent] * f32(word != end)
      keep words, score
    }
    length = sum(f32(words != padding), -1)
    chosen = argmax(score / reshape((5 + length) / 6, [batch, beam]) ** 0.6)
    return words[chosen + beam * iota(batch)]
  }
}
"""


def weights(seed: int, noise: float = 0.5) -> Arrays:
    """Those of a network that has begun to learn to copy, and normal noise of this share of their spread."""
    rng = np.random.default_rng(seed)
    learned, _ = copier()
    return {
        name: (array + noise * array.std() * rng.standard_normal(array.shape)).astype(np.float32)
        for name, array in learned.items()
    }


@cache
def cached(beam: int) -> Runner:
    return Runner(network_of(beam=beam).graph("translate", **CHECKED))


@cache
def uncached(beam: int) -> Runner:
    """The search as a program of its own, over the entries of the model."""
    return Runner(load_program(Source("whole.net", WHOLE), load).network("Whole", {"beam": beam}).graph("translate"))


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_cached_equals_uncached_word_by_word(seed: int, beam: int) -> None:
    values = weights(seed)
    expected = uncached(beam)({f"inner.{name}": array for name, array in values.items()} | {"source": SOURCES})
    found = cached(beam)({**values, "source": SOURCES})
    lengths = (expected["output"] != PADDING).sum(1)
    assert len(np.unique(lengths)) > 1, "the lines finish in different rounds"
    assert len(np.unique(expected["output"])) > 5, "few words would tell little"
    np.testing.assert_array_equal(found["output"], expected["output"])


@pytest.mark.parametrize("beam", [1, 4])
def test_a_sentence_alone_is_translated_as_among_others(beam: int) -> None:
    together = cached(beam)({**weights(4), "source": SOURCES})["output"]
    for row, source in zip(together, SOURCES, strict=True):
        alone = cached(beam)({**weights(4), "source": source[None, source != PADDING]})["output"][0]
        np.testing.assert_array_equal(row[: len(alone)], alone)


def test_the_graph_is_valid_and_has_each_matrix_once() -> None:
    network = network_of()
    model = emit(network.graph("translate"))
    onnx.checker.check_model(model, full_check=True)
    given = [item.name for item in model.graph.input]
    assert sorted(given) == sorted({"source", *(variable.name for variable in network.variables)})
    read = [name for node in _all_nodes(model.graph) for name in node.input]
    projections = [name for name in read if name.endswith("source_attention.0.linear_2.weight")]
    assert len(projections) == 1, "the keys and values of the source are computed once"


def _all_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return [*graph.node, *(node for body in inner for node in _all_nodes(body))]
