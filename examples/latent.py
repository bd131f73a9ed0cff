"""Digits on a plane: where an autoencoder puts those of the test data, and which image is at each place."""

from __future__ import annotations

from statistics import NormalDist

import course
import numpy as np
from matplotlib.figure import Figure

SIDE = 12


def picture(steps: int = 2500) -> Figure:
    """The test digits, coloured by what they are, and the images at a grid of places."""
    net = course.network("latent.net", "Plane")
    course.train(net, {"x": course.digits("train")["image"].reshape(-1, 64)}, steps, batch=64)
    figure, (left, right) = course.panels(1, 2, width=4, height=4)
    test = course.digits("test")
    centers, _ = net.encode(test["image"].reshape(-1, 64))
    left.scatter(*centers.T, c=test["label"], cmap="tab10", s=0)
    for (x, y), label in zip(centers, test["label"], strict=True):
        left.text(x, y, str(label), color=f"C{label}", fontsize=7, ha="center", va="center")
    left.set_title("where the test digits lie")
    course.show(right, sheet(net))
    right.set_title("which image is at each place")
    return figure


def sheet(net: course.nl.BoundNetwork) -> np.ndarray:
    """Images at places that divide the plane into parts of equal probability: f32[10 * SIDE, 10 * SIDE]."""
    normal = NormalDist()
    line = np.array([normal.inv_cdf((n + 0.5) / SIDE) for n in range(SIDE)], np.float32)
    x, y = np.meshgrid(line, line[::-1])
    images = net.decode(np.stack([x.ravel(), y.ravel()], 1)).reshape(-1, 8, 8)
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1))).reshape(SIDE, SIDE, 10, 10)
    return framed.transpose(0, 2, 1, 3).reshape(10 * SIDE, 10 * SIDE)


if __name__ == "__main__":
    course.run(picture)
