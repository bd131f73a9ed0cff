"""Where four heads of attention look in handwritten digits."""

from __future__ import annotations

import course
import numpy as np
from matplotlib.figure import Figure

HEADS = (course.RED, course.BLUE, course.GREEN, "#e09f3e")


def picture(steps: int = 400) -> Figure:
    """One test digit of each kind; a dot of each head's colour for each pixel, as large as it looks there."""
    net = course.network("attention.net", "Looking")
    course.train(net, course.digits("train"), steps, batch=64)
    test = course.digits("test")
    images = test["image"][[list(test["label"]).index(digit) for digit in range(10)]]
    figure, axes = course.panels(2, 5, width=1.6, height=1.6)
    row, column = np.indices((8, 8))
    for axis, image, looks in zip(axes, images, net.maps(images), strict=True):
        course.show(axis, image[0], alpha=0.35)
        for head, (look, colour) in enumerate(zip(looks, HEADS, strict=True)):
            shift = 0.16 * (head - 1.5)
            axis.scatter(column + shift, row + shift, s=120 * look, color=colour, alpha=0.9, linewidths=0)
    return figure


if __name__ == "__main__":
    course.run(picture)
