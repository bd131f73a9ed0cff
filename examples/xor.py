"""One layer draws a straight line, which is enough for AND and not for XOR; two layers bend it."""

from __future__ import annotations

import course
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

CASES = (
    ("AND, one layer", "and.csv", "Perceptron"),
    ("XOR, one layer", "xor.csv", "Perceptron"),
    ("XOR, two layers", "xor.csv", "TwoLayers"),
)

UNDECIDED = 0.1  # logits up to this say nothing, and where they change sign is chance


def picture(steps: int = 500) -> Figure:
    """The probability of "yes" all over the square, and the four points that were learned."""
    figure, axes = course.panels(1, len(CASES))
    for axis, (title, file, model) in zip(axes, CASES, strict=True):
        points = course.table(file)
        net = course.network("xor.net", model)
        log = course.train(net, {"x": points[:, :2], "y": points[:, 2:].astype(np.int64)}, steps)
        square(axis, net, points)
        axis.set_title(f"{title}: loss {log['loss'][-1]:.2f}")
    return figure


def square(axis: Axes, net: course.nl.BoundNetwork, points: np.ndarray) -> None:
    """What the network says of the square around the points."""
    line = np.linspace(-0.5, 1.5, 61, dtype=np.float32)
    a, b = np.meshgrid(line, line)
    logits = net.forward(np.stack([a.ravel(), b.ravel()], 1)).reshape(a.shape)
    axis.contourf(a, b, 1 / (1 + np.exp(-logits)), levels=np.linspace(0, 1, 12), cmap="RdBu_r", alpha=0.6)
    if np.abs(logits).max() > UNDECIDED:
        axis.contour(a, b, logits, levels=[0], colors="black", linewidths=1)
    for value, colour, marker in ((0, course.BLUE, "o"), (1, course.RED, "s")):
        x, y = points[points[:, 2] == value, :2].T
        axis.scatter(x, y, c=colour, marker=marker, s=60, edgecolors="white", zorder=3)
    axis.set(xticks=[0, 1], yticks=[0, 1], aspect="equal")


if __name__ == "__main__":
    course.run(picture)
