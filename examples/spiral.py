"""Noise becomes two spirals, step by step, in one run of one graph."""

from __future__ import annotations

import course
from matplotlib.figure import Figure

SHOWN = (0, 39, 45, 47, 49)


def picture(steps: int = 2000) -> Figure:
    """A thousand points after some of the fifty steps, and the data."""
    figure, axes = course.panels(1, 1 + len(SHOWN), width=1.8, height=2)
    data = course.table("spiral.csv")[:, :2]
    net = course.network("spiral.net", "Spiral")
    course.train(net, {"x": data}, steps, batch=512)
    path = net.path(n=1000, seed=0)
    for axis, step in zip(axes, SHOWN, strict=False):
        axis.scatter(*path[step].T, s=0.5, color=course.RED)
        axis.set_title(f"after step {step + 1}")
    axes[-1].scatter(*data.T, s=0.5, color=course.BLUE)
    axes[-1].set_title("the data")
    for axis in axes:
        axis.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    course.run(picture)
