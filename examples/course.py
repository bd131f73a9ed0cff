"""What the scripts of the course share: data, training, a plain style of drawing, and the command line.

Every script has a function `picture`, which trains the networks of its `.net` file and draws what they learned.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import netlang as nl

HERE = Path(__file__).parent
BLUE, RED, GREY, GREEN = "#3d6cb9", "#c8553d", "#9db4c0", "#588157"
COLOURS = 160

Batch = Mapping[str, np.ndarray]


def network(file: str, model: str, **settings: Any) -> nl.BoundNetwork:
    """A model of a program of this folder, with initial weights."""
    return nl.load(HERE / file)[model](threads=1, **settings)


def table(file: str) -> np.ndarray:
    """A table of this folder without its header: f32[rows, columns]."""
    return np.loadtxt(HERE / file, np.float32, delimiter=",", skiprows=1)


def digits(split: str) -> dict[str, np.ndarray]:
    """All rows of the embedded digits: `image` f32[n, 1, 8, 8] from 0 to 1, and `label` i64[n]."""
    rows = nl.open_data("digits").splits[split]
    return rows.take(rows.sequence())


def train(net: nl.BoundNetwork, data: Batch, steps: int, batch: int | None = None) -> dict[str, list[float]]:
    """Trains on random rows, `batch` at a time, or on all at once; the loss and each report of every step."""
    trainer = nl.Trainer(net, steps=steps, threads=1)
    rng = np.random.default_rng(0)
    rows = len(next(iter(data.values())))
    log = []
    for _ in range(steps):
        chosen = np.arange(rows) if batch is None else rng.choice(rows, batch, replace=False)
        log.append(trainer.step(**{name: array[chosen] for name, array in data.items()}))
    return {name: [record[name] for record in log] for name in log[0]}


def panels(rows: int, columns: int, width: float = 2.6, height: float = 2.4) -> tuple[Figure, list[Axes]]:
    """A figure with panels, row after row."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained", dpi=100)
    axes = [axis for line in figure.subplots(rows, columns, squeeze=False) for axis in line]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.title.set_fontsize(10)
    return figure, axes


def show(axis: Axes, image: np.ndarray, **how: Any) -> None:
    """An image without a frame, ink dark."""
    axis.imshow(image, cmap=how.pop("cmap", "gray_r"), **how)
    axis.set_axis_off()


def run(picture: Callable[..., Figure]) -> None:
    """The command line of a script: draws its picture and writes it, by default in the present folder."""
    name = f"{Path(sys.argv[0]).stem}.png"
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path(name), help=f"the file to write (default: {name})")
    parser.add_argument("--steps", type=int, help="train for so many steps instead")
    arguments = parser.parse_args()
    figure = picture() if arguments.steps is None else picture(arguments.steps)
    save(figure, arguments.out)
    print(f"{arguments.out}: drawn")


def save(figure: Figure, path: Path) -> None:
    """Writes a picture that is small enough for a page: as PNG with a palette."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    with Image.open(drawn) as image:
        palette = image.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=3)
        palette.save(path, "png", optimize=True)
