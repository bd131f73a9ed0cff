"""Tables from results, and their place in the documentation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cases import case_named
from .compilation import DEPTHS, STAGES, SUBJECTS
from .frameworks import FRAMEWORKS
from .statistics import geometric_mean

RESULTS = Path(__file__).parent / "results"
"""Where the raw numbers of the last complete run are kept."""

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
"""The page with the tables; what stands between the two marks is written by the suite."""

BEGIN = "<!-- measured: written by `python -m benchmarks` -->"
END = "<!-- end of what was measured -->"

def save(results: dict[str, Any]) -> None:
    """Keeps the raw numbers and writes the tables into the page."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(results, indent=1) + "\n")
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}")


def markdown(results: dict[str, Any]) -> str:
    """Every table, with the machine described."""
    rows, compiled = results["rows"], results["compilation"]
    sections = [_machine(results["machine"], results["load"])]
    if rows:
        sections += ["### One training step", training_table(rows), "### Inference", inference_table(rows)]
        sections += ["### From a fresh process to the end of the first step", start_table(rows)]
    if compiled:
        sections += ["### Compile time", compilation_table(compiled)]
    if any(item["name"] == f"gpt-{DEPTHS[-1]}" for item in compiled):
        sections += ["### Compile time and depth", depth_table(compiled)]
    return "\n\n".join(sections)


def training_table(rows: Sequence[dict[str, Any]]) -> str:
    """Milliseconds of a training step and ratios to the peers, with their geometric mean."""
    lines = [[case_named(row["case"]).title, str(row["threads"]), *_compared(row["training"])] for row in rows]
    return _with_means(rows[0]["training"], ["model", "threads"], lines, [row["training"] for row in rows])


def inference_table(rows: Sequence[dict[str, Any]]) -> str:
    """Milliseconds of a run of the model and ratios to the peers, with their geometric mean."""
    cells = [(row, batch, result) for row in rows for batch, result in row["inference"].items()]
    lines = [[_short(row["case"]), batch, str(row["threads"]), *_compared(result)] for row, batch, result in cells]
    return _with_means(cells[0][2], ["model", "batch", "threads"], lines, [result for *_, result in cells])


def start_table(rows: Sequence[dict[str, Any]]) -> str:
    """Seconds to the first step and the memory held at most."""
    names = list(rows[0]["first_step_seconds"])
    header = ["model", "threads", *(f"{FRAMEWORKS[name].title}, s" for name in names)]
    header += [f"ratio to {FRAMEWORKS[name].title}" for name in names[1:]] + [f"{FRAMEWORKS[name].title}, peak MiB" for name in names]
    lines = []
    for row in rows:
        least = {name: min(seconds) for name, seconds in row["first_step_seconds"].items()}
        lines.append(
            [
                _short(row["case"]),
                str(row["threads"]),
                *(f"{least[name]:.2f}" for name in names),
                *(f"**{least[names[0]] / least[name]:.2f}**" for name in names[1:]),
                *(f"{row['peak_memory_mib'][name]:.0f}" for name in names),
            ]
        )
    return _table(header, lines)


def compilation_table(compiled: Sequence[dict[str, Any]]) -> str:
    """Seconds of each stage, and nodes."""
    header = ["training step of", *STAGES, "all, s", "nodes", "ONNX nodes"]
    lines = [
        [
            SUBJECTS[item["name"]].title,
            *(f"{item['seconds'][stage]:.2f}" for stage in STAGES),
            f"**{sum(item['seconds'].values()):.2f}**",
            f"{item['nodes']['graph']:,}",
            f"{item['nodes']['onnx']:,}",
        ]
        for item in compiled
    ]
    return _table(header, lines)


def depth_table(compiled: Sequence[dict[str, Any]]) -> str:
    """Compile time by number of layers: milliseconds a layer stay the same where it is linear."""
    found = {item["name"]: item for item in compiled}
    lines = []
    for layers in DEPTHS:
        seconds = found[f"gpt-{layers}"]["seconds"]
        ours = sum(seconds[stage] for stage in ("elaborate", "passes", "emit"))
        lines.append(
            [str(layers), f"{ours:.2f}", f"{ours / layers * 1e3:.0f}", f"{seconds['session']:.2f}",
             f"{seconds['session'] / layers * 1e3:.0f}"]
        )  # fmt: skip
    header = ["layers", "elaborate, passes, emit: s", "ms a layer", "session: s", "ms a layer"]
    return _table(header, lines)


def _machine(machine: dict[str, Any], load: float) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    busy = "" if load < 0.5 else f" **Other programs were running (load {load:.1f}): ratios are rough.**"
    return (
        f"Measured on {machine['date']}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}; {versions}.{busy}"
    )


def _compared(result: dict[str, Any]) -> list[str]:
    """Cells: times of each framework, then ratios of the first to the others."""
    times = [f"{item['median']:.2f} ({item['minimum']:.2f})" for item in result["times_ms"].values()]
    ratios = [
        f"**{item['median']:.2f}** ({item['low']:.2f} to {item['high']:.2f})" for item in result["ratios"].values()
    ]
    return times + ratios


def _with_means(
    example: dict[str, Any], leading: list[str], lines: list[list[str]], results: Sequence[dict[str, Any]]
) -> str:
    names, peers = list(example["times_ms"]), list(example["ratios"])
    header = [*leading, *(f"{FRAMEWORKS[name].title}, ms" for name in names), *(f"ratio to {FRAMEWORKS[peer].title}" for peer in peers)]
    means = [geometric_mean([result["ratios"][peer]["median"] for result in results]) for peer in peers]
    last = ["geometric mean", *[""] * (len(leading) - 1 + len(names)), *(f"**{mean:.2f}**" for mean in means)]
    return _table(header, [*lines, last])


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---" if i == 0 else "--:" for i in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *lines))


def _short(case: str) -> str:
    return case_named(case).title.partition(",")[0]
