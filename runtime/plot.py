"""Curves of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .files import atomic_file

_NOT_METRICS = {"kind", "split", "step", "epoch", "rows_per_second"}
_LABELS = {"train": "training", "validation": "validation", "test": "test"}


def plot_curves(records: Sequence[dict[str, Any]], path: Path) -> str | None:
    """Draws the metrics of a run's log over its steps, one panel each, and writes them as a PNG.

    `records` are the lines of the log. Returns None, or what to tell the user where matplotlib, an extra, is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "no curves were drawn: that needs matplotlib (`pip install 'netlang[plot]'`)"
    metrics = list(dict.fromkeys(key for record in records for key in record if key not in _NOT_METRICS))
    if not metrics:
        return None
    figure = Figure(figsize=(5.5 * len(metrics), 3.6), layout="constrained")
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    for panel, metric in zip(axes, metrics, strict=True):
        _panel(panel, metric, records)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return None


def _panel(panel: Any, metric: str, records: Sequence[dict[str, Any]]) -> None:
    """One metric: thin and pale in training, with a point for each evaluation."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        if record.get(metric) is not None:
            lines.setdefault(record.get("split", "train"), []).append((record["step"], record[metric]))
    for name, points in lines.items():
        steps, values = zip(*points, strict=True)
        style = (
            {"color": "#9db4c0", "linewidth": 1}
            if name == "train"
            else {"color": "#c8553d", "marker": ".", "linewidth": 1.5}
        )
        panel.plot(steps, values, label=_LABELS.get(name, name), **style)
    panel.set_title(metric, loc="left", fontsize=11)
    panel.set_xlabel("step")
    panel.grid(visible=True, color="#e5e5e5", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=9)
