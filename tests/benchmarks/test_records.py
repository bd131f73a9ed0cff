"""What is measured in pieces is kept as a whole, and summed up."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import machine, pictures, records, report, summary
from benchmarks.compilation import DEPTHS, STAGES, depth_name


def comparison(**ratios: float) -> dict[str, Any]:
    """What `statistics.Comparison.record` says of netlang's 2 ms beside peers."""
    times = {"netlang": 2.0, **{name: 2.0 / ratio for name, ratio in ratios.items()}}
    return {
        "times_ms": {name: {"median": time, "minimum": time} for name, time in times.items()},
        "ratios": {name: {"median": ratio, "low": ratio, "high": ratio} for name, ratio in ratios.items()},
    }


def row(case: str, threads: int, date: str = "2026-11-21", others: float = 0.0, **ratios: float) -> dict[str, Any]:
    """A row as `conductor.measure` makes it, where all ratios to a peer are the same."""
    names = ("netlang", *ratios)
    return {
        "case": case,
        "threads": threads,
        "measured": {name: {"date": date, "others": others, "version": "1"} for name in names},
        "losses": {name: [1.0] for name in names},
        "first_step_seconds": {name: [3.0] for name in names},
        "first_step_ratios": ratios,
        "training": comparison(**ratios),
        "inference": {"1": comparison(**ratios)},
        "peak_memory_mib": dict.fromkeys(names, 100.0),
    }


@pytest.fixture
def results() -> records.Results:
    return records.empty(machine.describe())


def test_a_run_takes_its_place_among_the_others(results: records.Results) -> None:
    records.add_row(results, row("gpt", 2, torch=0.5))
    records.add_row(results, row("mlp", 2, torch=0.9))
    records.add_row(results, row("gpt", 1, torch=0.8))
    records.add_row(results, row("gpt", 2, date="2026-11-22", jax=0.7))
    assert [(found["case"], found["threads"]) for found in results["rows"]] == [("mlp", 2), ("gpt", 1), ("gpt", 2)]
    joined = results["rows"][-1]
    assert {name: found["median"] for name, found in joined["inference"]["1"]["ratios"].items()} == {
        "torch": 0.5,
        "jax": 0.7,
    }
    assert {name: found["date"][-2:] for name, found in joined["measured"].items()} == {
        "netlang": "22",
        "torch": "21",
        "jax": "22",
    }


def test_the_last_of_two_compilations_counts(results: records.Results) -> None:
    for seconds in (2.0, 1.0):
        records.add_compilation(results, {"name": "gpt", "seconds": {"session": seconds}})
    records.add_compilation(results, {"name": "mlp", "seconds": {"session": 0.1}})
    assert [(item["name"], item["seconds"]["session"]) for item in results["compilation"]] == [
        ("mlp", 0.1),
        ("gpt", 1.0),
    ]


def test_numbers_of_another_machine_are_not_joined(results: records.Results, tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    here = machine.describe()
    assert records.recorded(here, path) == records.empty(here)
    records.add_row(results, row("mlp", 1, torch=0.9))
    records.save(results, path)
    assert records.recorded(here, path) == results
    elsewhere = {**here, "cores": here["cores"] + 1}
    assert records.recorded(elsewhere, path) == records.empty(elsewhere)


def test_geometric_means_beside_the_goals(results: records.Results) -> None:
    for found in (row("mlp", 2, torch=0.5), row("gpt", 2, torch=2.0, jax=0.25), row("gpt", 1, torch=0.5, others=0.4)):
        records.add_row(results, found)
    mean = summary.means(results["rows"])[0]
    assert (mean.measurement, mean.peer, mean.models, mean.goal) == ("training step", "torch", 2, 0.7)
    assert mean.by_threads == pytest.approx({1: 0.5, 2: 1.0})
    text = report.markdown(results)
    assert "| training step | PyTorch eager | 2 | **0.50** | **1.00** | 0.70 |" in text
    assert "| training step | JAX jit | 1 | – | **0.25** | 0.90 |" in text
    assert "PyTorch eager's: GPT, 4 layers, d 128, context 64, batch 12, 2 threads: 2.00." in text
    assert r"\* Other programs used more than 0.1 cores" in text


def test_other_programs_are_seen_but_not_the_measured_ones() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        without, among = machine.Others([busy.pid]), machine.Others([])
        time.sleep(0.6)
        seen, unseen = among.cores(), without.cores()
    finally:
        busy.kill()
        busy.wait()
    assert 0.1 < seen - unseen < 1.1


def test_pictures(results: records.Results, tmp_path: Path) -> None:
    assert pictures.draw(results, tmp_path) == []
    records.add_row(results, row("mlp", 1, torch=0.5))
    for layers in DEPTHS:
        records.add_compilation(results, {"name": depth_name(layers), "seconds": dict.fromkeys(STAGES, layers / 10)})
    drawn = pictures.draw(results, tmp_path)
    assert [path.name for path in drawn] == ["benchmarks.png", "compile_time.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_the_pages_have_what_was_recorded() -> None:
    results = json.loads(records.RESULTS.read_text("utf-8"))
    for path, tables in ((report.PAGE, report.markdown(results)), (report.README, report.brief_table(results["rows"]))):
        page = path.read_text("utf-8")
        assert report.placed(page, tables) == page
