"""How many parts the suite's large batches are cut into at inference: as many as measured well, on any machine."""

from __future__ import annotations

import pytest
from netlang.compiler.batching import independent_rows
from netlang.runtime.inputs import data_inputs, dimensions
from netlang.runtime.job import open_network
from netlang.runtime.parts import InferenceWork

from benchmarks.cases import CASES, Case

WHOLE = ("mlp", "lenet5", "resnet18", "lstm", "vae", "skip_gram")
PARTS = {**dict.fromkeys(WHOLE, 1), "resnet20": 10, "ddpm": 8, "gpt": 3, "gpt6": 3, "bert": 4, "transformer": 5}
"""For one thread. A scan, which `seq2seq` has, is not cut, nor is a graph of nodes. (Both skip-grams run alike.)"""


@pytest.mark.parametrize("case", [case for case in CASES if case.name in PARTS], ids=lambda case: case.name)
def test_large_batches(case: Case) -> None:
    graph = open_network(case.source, case.model, case.set).graph(case.entry)
    batch = independent_rows(graph)
    assert batch is not None
    work, rows = InferenceWork(graph, batch), max(case.inference_batches)
    sizes = dimensions(data_inputs(graph), case.inference_inputs(rows))
    parts = [len(work.parts(sizes, threads)) for threads in (1, 2)]
    assert parts[0] == PARTS[case.name]
    assert parts[1] == (1 if parts[0] == 1 else parts[0] + parts[0] % 2)
    assert len(work.parts({**sizes, batch: 1}, 2)) == 1


def test_every_case_is_told() -> None:
    assert {case.name for case in CASES} - set(PARTS) == {"seq2seq", "gcn", "gat", "skip_gram_descent"}
