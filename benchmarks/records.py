"""What is kept of measurements: a run of some models and peers takes its place among what was recorded before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .cases import CASES
from .compilation import SUBJECTS

RESULTS = Path(__file__).parent / "results" / "latest.json"
"""Where the raw numbers are kept."""

FORMAT = 2
"""Of the file; numbers of another format are not read."""

Results = dict[str, Any]


def empty(machine: Mapping[str, Any]) -> Results:
    """No measurements on this machine."""
    return {"format": FORMAT, "machine": dict(machine), "rows": [], "compilation": []}


def recorded(machine: Mapping[str, Any], path: Path = RESULTS) -> Results:
    """What was recorded on this machine with these versions; nothing where it was another, or others."""
    if not path.exists():
        return empty(machine)
    found = json.loads(path.read_text())
    same = found.get("format") == FORMAT and found["machine"] == machine
    return found if same else empty(machine)


def save(results: Results, path: Path = RESULTS) -> None:
    """Writes the file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def add_row(results: Results, new: Mapping[str, Any]) -> None:
    """Puts a row of `conductor.measure` in its place. What it says of a framework replaces what was said before.

    Ratios stay those of the run in which both were measured.
    """
    rows = {(row["case"], row["threads"]): row for row in results["rows"]}
    key = (new["case"], new["threads"])
    rows[key] = _joined(rows.get(key, {}), new)
    order = [case.name for case in CASES]
    results["rows"] = sorted(rows.values(), key=lambda row: (order.index(row["case"]), row["threads"]))


def add_compilation(results: Results, new: Mapping[str, Any]) -> None:
    """Puts a result of `compilation.measure` in its place."""
    found = {item["name"]: item for item in results["compilation"]} | {new["name"]: dict(new)}
    results["compilation"] = [found[name] for name in SUBJECTS if name in found]


def _joined(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Both, with what is new where both say something, at any depth."""
    joined = {**old, **new}
    for name in old.keys() & new.keys():
        if isinstance(old[name], dict):
            joined[name] = _joined(old[name], new[name])
    return joined
