"""The more hidden units, the nearer a network with one hidden layer comes to a curve."""

from __future__ import annotations

import course
from matplotlib.figure import Figure

WIDTHS = (2, 4, 8, 32)


def picture(steps: int = 3000) -> Figure:
    """The curve, and what networks of four widths made of it."""
    figure, axes = course.panels(1, len(WIDTHS))
    points = course.table("curve.csv")
    x, y = points[:, :1], points[:, 1:]
    for axis, hidden in zip(axes, WIDTHS, strict=True):
        net = course.network("curve.net", "Curve", hidden=hidden)
        log = course.train(net, {"x": x, "y": y}, steps)
        axis.plot(x, y, color=course.GREY, linewidth=4)
        axis.plot(x, net.forward(x), color=course.RED, linewidth=1.5)
        axis.set_title(f"{hidden} units: off by {log['mae'][-1]:.3f}")
    return figure


if __name__ == "__main__":
    course.run(picture)
