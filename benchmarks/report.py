"""Tables from results, and their place in the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import pictures, summary
from .cases import case_named
from .compilation import DEPTHS, STAGES, SUBJECTS, depth_name
from .frameworks import FRAMEWORKS, TORCH
from .records import Results
from .statistics import geometric_mean

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
"""The page with the tables; what stands between the two marks is written by the suite."""

README = Path(__file__).parents[1] / "README.md"
"""Has the means alone, between such marks."""

BEGIN = "<!-- measured: written by `python -m benchmarks` -->"
END = "<!-- end of what was measured -->"

QUIET = 0.1
"""Cores that other programs may use before they disturb the measurement."""

ABSENT = "–"
"""What a framework does not offer."""


def write(results: Results) -> None:
    """Writes the tables into the page and README, and draws the pictures that the page shows."""
    for path, tables in ((PAGE, markdown(results)), (README, brief_table(results["rows"]))):
        path.write_text(placed(path.read_text("utf-8"), tables), "utf-8")
    pictures.draw(results)


def placed(page: str, tables: str) -> str:
    """The page with the tables between its two marks. Raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for what was measured")
    return f"{before}{begin}\n\n{tables}\n\n{end}{after}"


def markdown(results: Results) -> str:
    """Every table, with the machine described."""
    rows, compiled = results["rows"], results["compilation"]
    sections = [_machine(results)]
    if rows:
        sections += ["### In short", summary_table(rows), *_slow(rows)]
        sections += ["### One training step", training_table(rows)]
        sections += ["### Inference", inference_table(rows)]
        sections += ["### From the start of a process to the end of its first step", start_table(rows)]
    if compiled:
        sections += ["### Compile time", compilation_table(compiled)]
    if depth_name(DEPTHS[-1]) in (item["name"] for item in compiled):
        sections += ["### Compile time and depth", depth_table(compiled)]
    return "\n\n".join(sections)


def summary_table(rows: Sequence[dict[str, Any]]) -> str:
    """Geometric means of the ratios to each peer, beside what they should not exceed."""
    threads = sorted({row["threads"] for row in rows})
    header = ["netlang's time / peer's", "peer", "models", *(f"{_threads(count)}" for count in threads), "goal"]
    lines = []
    for mean in summary.means(rows):
        line = [mean.measurement, FRAMEWORKS[mean.peer].title, str(mean.models)]
        line += [_cell("**{:.2f}**", mean.by_threads.get(count)) for count in threads]
        lines.append([*line, _cell("{:.2f}", mean.goal)])
    return _table(header, lines)


def brief_table(rows: Sequence[dict[str, Any]]) -> str:
    """The geometric means alone: a column for each peer, and in a cell one for each number of threads."""
    means = {(mean.measurement, mean.peer): mean.by_threads for mean in summary.means(rows)}
    peers = [name for name in FRAMEWORKS if any(name == peer for _, peer in means)]
    lines = []
    for measurement in summary.MEASUREMENTS:
        found = [means.get((measurement, peer), {}) for peer in peers]
        lines.append([measurement, *(", ".join(map("{:.2f}".format, ratios.values())) or ABSENT for ratios in found)])
    return _table(["", *(FRAMEWORKS[name].title for name in peers)], lines)


def _slow(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence, where rows were measured beside PyTorch eager."""
    if not any(summary.ratios(row, "training step", TORCH.name) for row in rows):
        return []
    found = [f"{title}, {_threads(threads)}: {ratio:.2f}" for title, threads, ratio in summary.slow(rows)]
    listed = "; ".join(found) or "none"
    return [f"Training steps that take more than {summary.LIMIT} times as long as PyTorch eager's: {listed}."]


def training_table(rows: Sequence[dict[str, Any]]) -> str:
    """Milliseconds of a training step and ratios to the peers, with their geometric mean."""
    labels = [[case_named(row["case"]).title, _threads_cell(row)] for row in rows]
    return _comparison(["model", "threads"], labels, [row["training"] for row in rows])


def inference_table(rows: Sequence[dict[str, Any]]) -> str:
    """Milliseconds of a run of the model and ratios to the peers, with their geometric mean."""
    cells = [(row, batch, result) for row in rows for batch, result in row["inference"].items()]
    labels = [[_short(row["case"]), batch, _threads_cell(row)] for row, batch, _ in cells]
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
        line = [_short(row["case"]), _threads_cell(row)]
        line += [_cell("{:.2f}", least.get(name)) for name in names]
        line += [_cell("**{:.2f}**", row["first_step_ratios"].get(name)) for name in names[1:]]
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


def _machine(results: Results) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in _versions(results).items())
    dates = sorted({found["date"] for row in results["rows"] for found in row["measured"].values()}
                   | {item["date"] for item in results["compilation"]})  # fmt: skip
    disturbed = any(map(_is_disturbed, results["rows"]))
    rough = f" \\* Other programs used more than {QUIET} cores meanwhile: rough numbers." if disturbed else ""
    return (
        f"Measured on {' and '.join(dates)}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}; {versions}.{rough}"
    )


def _versions(results: Results) -> dict[str, str]:
    """Of the packages here, and of the peers that have environments of their own."""
    measured = [(name, found["version"]) for row in results["rows"] for name, found in row["measured"].items()]
    return results["machine"]["versions"] | {FRAMEWORKS[name].package: version for name, version in measured}


def _is_disturbed(row: dict[str, Any]) -> bool:
    return any(found["others"] > QUIET for found in row["measured"].values())


def _threads_cell(row: dict[str, Any]) -> str:
    return str(row["threads"]) + (r" \*" if _is_disturbed(row) else "")


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


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
