"""From processes to tables."""

from __future__ import annotations

import json
from importlib import metadata

import pytest

from benchmarks import report
from benchmarks.cases import MLP
from benchmarks.conductor import Effort, Runner, measure
from benchmarks.frameworks import NETLANG, TORCH, TORCH_ONNX
from benchmarks.profile import KEYS, Profile, node_times, table
from benchmarks.statistics import Ratio, Times, compare, geometric_mean


def test_comparison() -> None:
    found = compare({"a": [[1.0, 3.0, 2.0], [4.0, 4.0]], "b": [[4.0, 4.0, 5.0], [2.0, 2.0]]})
    assert found.times["a"] == Times(median=3.0, minimum=1.0, low=2.0, high=4.0, count=5)
    assert found.ratios == {"b": Ratio(median=1.25, low=0.5, high=2.0, minimum=0.5)}


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="nothing"):
        geometric_mean([])


@pytest.fixture(scope="module")
def row() -> dict:
    """The MLP in both frameworks, measured as shortly as it can be."""
    runners = [Runner(NETLANG), Runner(TORCH), Runner(TORCH_ONNX)]
    row = measure(MLP, runners, 1, Effort(rounds=1, seconds=0.05, starts=1))
    return json.loads(json.dumps(row))


def test_row(row: dict) -> None:
    assert row["losses"]["netlang"] == pytest.approx(row["losses"]["torch"], rel=1e-4)
    assert set(row["inference"]) == {"1", "512"}
    for result in (row["training"], *row["inference"].values()):
        times, ratio = result["times_ms"], result["ratios"]["torch"]
        assert 0 < times["netlang"]["minimum"] <= times["netlang"]["median"]
        assert ratio["median"] == pytest.approx(times["netlang"]["median"] / times["torch"]["median"], rel=0.01)
    assert set(row["training"]["ratios"]) == {"torch"}
    assert set(row["inference"]["512"]["ratios"]) == {"torch", "torch.onnx"}
    assert 50 < row["peak_memory_mib"]["netlang"] < row["peak_memory_mib"]["torch"]
    seconds = {name: min(times) for name, times in row["first_step_seconds"].items()}
    assert row["first_step_ratios"] == {"torch": pytest.approx(seconds["netlang"] / seconds["torch"], abs=1e-4)}
    assert row["measured"]["torch"]["version"] == metadata.version("torch")


def test_tables(row: dict) -> None:
    alone = {**row["training"], "times_ms": {"netlang": row["training"]["times_ms"]["netlang"]}, "ratios": {}}
    measured = {name: {**found, "others": 0.0} for name, found in row["measured"].items()}
    disturbed = {"netlang": {**measured["netlang"], "others": 0.3}}
    rows = [{**row, "measured": measured}, {**row, "training": alone, "threads": 2, "measured": disturbed}]
    lines = report.training_table(rows).splitlines()
    assert lines[0] == "| model | threads | netlang, ms | PyTorch eager, ms | ratio to PyTorch eager |"
    assert lines[2].startswith("| MLP 784-512-512-10, batch 128 | 1 |")
    assert lines[3].startswith(r"| MLP 784-512-512-10, batch 128 | 2 \* |")
    assert lines[3].endswith("| – | – |")
    assert lines[4].endswith(f"| **{row['training']['ratios']['torch']['median']:.2f}** |")
    assert len(report.start_table([row]).splitlines()) == 3


def test_place_in_the_page() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.placed(page, "new") == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    with pytest.raises(ValueError, match="no place"):
        report.placed("a page", "new")
    assert "new" in report.placed(report.PAGE.read_text(), "new")


def test_profile_takes_the_least_time_of_each_node() -> None:
    def event(name: str, operator: str, microseconds: int) -> dict:
        shapes = {"input_type_shape": [{"float": [2, 3]}, {"float": []}], "output_type_shape": [{"float": [2, 3]}]}
        details = {"op_name": operator, **shapes}
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds, "args": details}

    events = [event("a", "Mul", 7), event("b", "Add", 4), event("a", "Mul", 5), {"cat": "Session", "name": "run"}]
    nodes = node_times(events, runs=2)
    assert [(node.operator, node.milliseconds, node.shapes) for node in nodes] == [
        ("Mul", 0.005, "2×3 scalar"),
        ("Add", 0.004, "2×3 scalar"),
    ]
    assert "55.6%" in table(Profile(tuple(nodes), 0.01), KEYS["operator"], 10)
