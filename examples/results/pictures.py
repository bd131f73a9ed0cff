"""What the scripts of this folder share: a plain style of drawing, and sheets of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#3d6cb9", "#c8553d", "#588157", "#f2a541", "#7d5ba6", "#2a9d8f", "#9b2226", "#6c757d", "#b5838d", "#264653")


def panels(count: int = 1, width: float = 5.5, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels side by side."""
    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for panel in axes:
        panel.grid(visible=True, color="#e5e5e5", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def save_sheet(images: np.ndarray, path: Path, columns: int = 10) -> None:
    """Writes images f32[n, h, w], with values from 0 to 1, as one PNG: row after row of `columns`."""
    rows = len(images) // columns
    height, width = images.shape[1:]
    framed = np.zeros((rows, columns, height + 2, width + 2), np.float32)
    framed[:, :, 1:-1, 1:-1] = images[: rows * columns].reshape(rows, columns, height, width)
    sheet = framed.transpose(0, 2, 1, 3).reshape(rows * (height + 2), columns * (width + 2))
    figure = Figure(figsize=(sheet.shape[1] / 50, sheet.shape[0] / 50), dpi=100)
    figure.figimage(sheet, cmap="gray_r", vmin=0, vmax=1, resize=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def principal_axes(points: np.ndarray) -> np.ndarray:
    """Points f32[n, d] on the two directions in which they differ most: f32[n, 2]. Pearson 1901."""
    centred = points - points.mean(0)
    _left, _sizes, directions = np.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T
