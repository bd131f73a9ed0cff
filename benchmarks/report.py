"""Tables from results, and their place in the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .cases import case_named
from .compilation import DEPTHS, STAGES, SUBJECTS, depth_name
from .frameworks import FRAMEWORKS, NETLANG
from .statistics import geometric_mean

RESULTS = Path(__file__).parent / "results" / "latest.json"
"""Where the raw numbers of the last complete run are kept."""

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
"""The page with the tables; what stands between the two marks is written by the suite."""

BEGIN = "<!-- measured: written by `python -m benchmarks` -->"
END = "<!-- end of what was measured -->"

QUIET = 0.5
"""Load above which other programs disturb the measurement."""

ABSENT = "–"
"""What a framework does not offer."""


def save(results: dict[str, Any]) -> None:
    """Keeps the raw numbers and writes the tables into the page."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(placed(PAGE.read_text(), markdown(results)))


def placed(page: str, tables: str) -> str:
    """The page with the tables between its two marks. Raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for what was measured")
    return f"{before}{begin}\n\n{tables}\n\n{end}{after}"


def markdown(results: dict[str, Any]) -> str:
    """Every table, with the machine described."""
    rows, compiled = results["rows"], results["compilation"]
    sections = [_machine(results["machine"], results["load"])]
    if rows:
        sections += ["### One training step", training_table(rows)]
        sections += ["### Inference", inference_table(rows)]
        sections += ["### From the start of a process to the end of its first step", start_table(rows)]
    if compiled:
        sections += ["### Compile time", compilation_table(compiled)]
    if depth_name(DEPTHS[-1]) in (item["name"] for item in compiled):
        sections += ["### Compile time and depth", depth_table(compiled)]
    return "\n\n".join(sections)


def training_table(rows: Sequence[dict[str, Any]]) -> str:
    """Milliseconds of a training step and ratios to the peers, with their geometric mean."""
    labels = [[case_named(row["case"]).title, str(row["threads"])] for row in rows]
    return _comparison(["model", "threads"], labels, [row["training"] for row in rows])


def inference_table(rows: Sequence[dict[str, Any]]) -> str:
    """Milliseconds of a run of the model and ratios to the peers, with their geometric mean."""
    cells = [(row, batch, result) for row in rows for batch, result in row["inference"].items()]
    labels = [[_short(row["case"]), batch, str(row["threads"])] for row, batch, _ in cells]
    return _comparison(["model", "batch", "threads"], labels, [result for *_, result in cells])


def start_table(rows: Sequence[dict[str, Any]]) -> str:
    """Seconds to the first step, and mebibytes held at most by the end of the training rounds."""
    names = _measured(row["first_step_seconds"] for row in rows)
    header = ["model", "threads", *(f"{FRAMEWORKS[name].title}, s" for name in names)]
    header += [f"ratio to {FRAMEWORKS[name].title}" for name in names[1:]]
    header += [f"{FRAMEWORKS[name].title}, MiB" for name in names]
    lines = []
    for row in rows:
        least = {name: min(seconds) for name, seconds in row["first_step_seconds"].items()}
        ratios = {name: least[NETLANG.name] / seconds for name, seconds in least.items()}
        line = [_short(row["case"]), str(row["threads"])]
        line += [_cell("{:.2f}", least.get(name)) for name in names]
        line += [_cell("**{:.2f}**", ratios.get(name)) for name in names[1:]]
        line += [_cell("{:.0f}", row["peak_memory_mib"].get(name)) for name in names]
        lines.append(line)
    return _table(header, lines)


def compilation_table(compiled: Sequence[dict[str, Any]]) -> str:
    """Seconds of each stage, and nodes."""
    header = ["training step of", *STAGES, "all, s", "nodes", "ONNX nodes"]
    lines = []
    for item in compiled:
        line = [SUBJECTS[item["name"]].title, *(f"{item['seconds'][stage]:.2f}" for stage in STAGES)]
        line += [
            f"**{sum(item['seconds'].values()):.2f}**",
            f"{item['nodes']['graph']:,}",
            f"{item['nodes']['onnx']:,}",
        ]
        lines.append(line)
    return _table(header, lines)


def depth_table(compiled: Sequence[dict[str, Any]]) -> str:
    """Compile time by number of layers: milliseconds a layer stay the same where it is linear."""
    found = {item["name"]: item["seconds"] for item in compiled}
    lines = []
    for layers in DEPTHS:
        seconds = found[depth_name(layers)]
        line = [str(layers)]
        for part in (sum(seconds[stage] for stage in ("elaborate", "passes", "emit")), seconds["session"]):
            line += [f"{part:.2f}", f"{part / layers * 1e3:.0f}"]
        lines.append(line)
    return _table(["layers", "elaborate, passes, emit: s", "ms a layer", "session: s", "ms a layer"], lines)


def _machine(machine: dict[str, Any], load: float) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    busy = "" if load < QUIET else f" **Other programs were running (load {load:.1f}): the numbers are rough.**"
    return (
        f"Measured on {machine['date']}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}; {versions}.{busy}"
    )


def _comparison(leading: list[str], labels: Sequence[list[str]], results: Sequence[dict[str, Any]]) -> str:
    """A line for each result: its label, the times of each framework, and netlang's ratios to the others."""
    names = _measured(result["times_ms"] for result in results)
    peers = names[1:]
    header = [*leading, *(f"{FRAMEWORKS[name].title}, ms" for name in names)]
    header += [f"ratio to {FRAMEWORKS[peer].title}" for peer in peers]
    lines = []
    for label, result in zip(labels, results, strict=True):
        times = [_cell("{median:.2f} ({minimum:.2f})", result["times_ms"].get(name)) for name in names]
        ratios = [_cell("**{median:.2f}** ({low:.2f} to {high:.2f})", result["ratios"].get(peer)) for peer in peers]
        lines.append([*label, *times, *ratios])
    found = [[result["ratios"][peer]["median"] for result in results if peer in result["ratios"]] for peer in peers]
    blank = [""] * (len(leading) - 1 + len(names))
    return _table(
        header, [*lines, ["geometric mean", *blank, *(f"**{geometric_mean(ratios):.2f}**" for ratios in found)]]
    )


def _measured(items: Iterable[dict[str, Any]]) -> list[str]:
    """Names of the frameworks that occur, in the order of the registry."""
    found = {name for item in items for name in item}
    return [name for name in FRAMEWORKS if name in found]


def _cell(form: str, value: float | dict[str, float] | None) -> str:
    if value is None:
        return ABSENT
    return form.format(**value) if isinstance(value, dict) else form.format(value)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["--:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *lines))


def _short(case: str) -> str:
    return case_named(case).title.rpartition(", batch")[0] or case_named(case).title
