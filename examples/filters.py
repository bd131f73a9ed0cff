"""What the first layer of a LeNet looks for: its six filters, and where in a digit it finds each."""

from __future__ import annotations

import course
import numpy as np
from matplotlib.figure import Figure
from netlang.runtime.data import match

import netlang as nl

DECAY = 10.0  # so much that of the random beginning only what helps is left


def picture(steps: int = 400) -> Figure:
    """The filters of `digits.net` after training, and what they make of one digit of each of three kinds."""
    net = course.network("digits.net", "LeNet", weight_decay=DECAY)
    rows = match(nl.open_data("digits"), net.network).splits
    data, test = (table.take(table.sequence()) for table in (rows["train"], rows["test"]))
    course.train(net, data, steps, batch=64)
    filters = net.weights["conv2d.weight"][:, 0]
    chosen = [test["image"][list(test["label"]).index(digit), 0] for digit in (0, 4, 7)]
    figure, axes = course.panels(1 + len(chosen), 1 + len(filters), width=1.1, height=1.1)
    lines = np.array(axes).reshape(1 + len(chosen), -1)
    lines[0, 0].set_axis_off()
    for axis, weights in zip(lines[0, 1:], filters, strict=True):
        limit = np.abs(weights).max()
        course.show(axis, weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for line, image in zip(lines[1:], chosen, strict=True):
        course.show(line[0], image)
        for axis, found in zip(line[1:], responses(image, filters), strict=True):
            course.show(axis, found, cmap="Reds")
    return figure


def responses(image: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Where each filter fits: f32[filters, h - 4, w - 4], below 0 cut off."""
    windows = np.lib.stride_tricks.sliding_window_view(image, filters.shape[1:])
    return np.maximum(np.einsum("hwij,fij->fhw", windows, filters), 0)


if __name__ == "__main__":
    course.run(picture)
