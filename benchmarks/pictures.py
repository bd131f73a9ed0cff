"""The pictures of docs/benchmarks.md: ratios of each model, and compile time against depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cases import case_named
from .compilation import DEPTHS, depth_name
from .frameworks import FRAMEWORKS, TORCH, TORCH_ONNX
from .records import Results
from .summary import ratios

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"

Row = Mapping[str, Any]


def draw(results: Results, folder: Path = FOLDER) -> list[Path]:
    """Draws what there are measurements for; the files written."""
    drawn = []
    if results["rows"]:
        drawn.append(folder / "benchmarks.png")
        draw_ratios(results["rows"], drawn[-1])
    seconds = {item["name"]: item["seconds"] for item in results["compilation"]}
    if all(depth_name(layers) in seconds for layers in DEPTHS):
        drawn.append(folder / "compile_time.png")
        draw_depth({layers: seconds[depth_name(layers)] for layers in DEPTHS}, drawn[-1])
    return drawn


def draw_ratios(rows: Sequence[Row], path: Path) -> None:
    """A panel for each peer, a bar for each model: to the left of 1 netlang is faster. With the most threads."""
    from matplotlib.figure import Figure

    threads = max(row["threads"] for row in rows)
    rows = [row for row in rows if row["threads"] == threads]
    panels = _panels(rows)
    figure = Figure(figsize=(1.6 + 1.9 * len(panels), 0.9 + 0.27 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    for panel, (title, values) in zip(axes, panels.items(), strict=True):
        _bars(panel, [row["case"] for row in rows], values)
        panel.set_title(title, fontsize=9)
    axes[0].set_yticks(range(len(rows)), _labels([row["case"] for row in rows]), fontsize=8)
    axes[0].invert_yaxis()
    figure.supxlabel(f"netlang's time / peer's, {threads} thread{'s' * (threads > 1)}", fontsize=9)
    figure.savefig(path, dpi=110)


def _panels(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """By title the ratios by case: training steps beside every peer, inference of the largest batch beside PyTorch."""

    def found(measurement: str, peer: str) -> dict[str, float]:
        every = ((row["case"], ratios(row, measurement, peer)) for row in rows)
        return {case: values[-1] for case, values in every if values}

    panels = {f"training step /\n{peer.title}": found("training step", name) for name, peer in FRAMEWORKS.items()}
    panels |= {f"inference, large batch /\n{peer.title}": found("inference", peer.name) for peer in (TORCH, TORCH_ONNX)}
    return {title: values for title, values in panels.items() if values}


def _labels(cases: Sequence[str]) -> list[str]:
    """The beginnings of the models' titles, as long as it takes to tell them apart."""
    parts = [case_named(case).title.split(", ") for case in cases]
    firsts = [first for first, *_ in parts]
    return [", ".join(each[: firsts.count(each[0])]) for each in parts]


def _bars(panel: Axes, cases: Sequence[str], values: Mapping[str, float]) -> None:
    """Bars from 1 on a logarithmic scale."""
    for place, case in enumerate(cases):
        if case in values:
            ratio = values[case]
            panel.barh(place, ratio - 1, left=1, height=0.7, color="C0" if ratio <= 1 else "C1")
    panel.axvline(1, color="black", linewidth=0.8)
    panel.set_xscale("log", base=4)
    panel.xaxis.set_major_formatter(_plain)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def draw_depth(seconds: Mapping[int, Mapping[str, float]], path: Path) -> None:
    """What the compiler takes, and what ONNX Runtime takes to load the graph, by the number of layers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    _line(left, "netlang: elaborate, passes, emit", seconds, lambda s: s["elaborate"] + s["passes"] + s["emit"], "C0")
    _line(right, "onnxruntime: session", seconds, lambda s: s["session"], "C1")
    figure.savefig(path, dpi=110)


def _line(
    panel: Axes,
    title: str,
    seconds: Mapping[int, Mapping[str, float]],
    total: Callable[[Mapping[str, float]], float],
    color: str,
) -> None:
    """The measured points, and the straight line from nothing through the first of them."""
    layers, totals = list(seconds), [total(each) for each in seconds.values()]
    panel.plot(layers, totals, f"{color}o-")
    panel.plot([0, layers[-1]], [0, totals[0] / layers[0] * layers[-1]], "k:", linewidth=1, label="in proportion")
    panel.set(xlabel="layers", ylabel="seconds", xlim=0, ylim=0)
    panel.set_title(title, fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8)


def _plain(value: float, _position: float) -> str:
    return f"{value:g}"
