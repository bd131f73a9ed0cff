"""The measurement of generation, at sizes that take a second."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import generation


def test_the_line_through_the_times() -> None:
    rows: generation.Rows = [{"length": n, "cached": 0.5 + 0.002 * n, "uncached": None} for n in (10, 20, 40)]
    start, slope, r2 = generation.line(rows)
    assert (start, slope, r2) == pytest.approx((0.5, 0.002, 1.0))


SMALL = {
    "GPT": {"vocab": 11, "d": 16, "layers": 2, "h": 2, "context": 64},
    "TRANSFORMER": {"vocab": 20, "d": 16, "layers": 2, "h": 2, "ff": 20, "beam": 1},
}


@pytest.mark.parametrize("model", generation.GENERATORS)
def test_both_ways_write_the_same_and_are_drawn(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, settings in SMALL.items():
        monkeypatch.setattr(generation, name, settings)
    monkeypatch.setitem(generation.LENGTHS, model, (53, 55, 60))
    monkeypatch.setattr(generation, "LONGEST_UNCACHED", 55)
    picture = tmp_path / "generation.png"
    arguments = ["--model", model, "--json", "--repeats", "1", "--out", str(picture)]
    monkeypatch.setattr(sys, "argv", ["generation", *arguments])
    generation.main()
    found = json.loads(capsys.readouterr().out)
    assert [row["length"] for row in found["rows"]] == [53, 55, 60]
    assert all(row["cached"] > 0 for row in found["rows"])
    assert [row["uncached"] is None for row in found["rows"]] == [False, False, True]
    assert picture.read_bytes().startswith(b"\x89PNG")
