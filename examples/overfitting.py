"""A network goes on learning its twenty points long after it has learned what is behind them."""

from __future__ import annotations

import course
import numpy as np
from matplotlib.figure import Figure

import netlang as nl

EVERY = 10  # steps between looks at the held-out points


def picture(steps: int = 4000) -> Figure:
    """The loss of the learned points and of those held out, and the network at its best and at its end."""
    figure, (left, right) = course.panels(1, 2, width=4.2, height=3)
    points = course.table("overfitting.csv")
    learned, held_out = ({"x": part[:, :1], "y": part[:, 1:]} for part in (points[::2], points[1::2]))
    x = np.linspace(-1, 1, 201, dtype=np.float32)[:, None]
    losses, fits = follow(learned, held_out, x, steps)
    best = int(np.argmin(losses[:, 1]))
    at = EVERY * np.arange(1, len(losses) + 1)
    left.plot(at, losses[:, 0], color=course.GREY, label="learned points")
    left.plot(at, losses[:, 1], color=course.RED, label="held-out points")
    left.axvline(at[best], color="black", linewidth=0.8, linestyle=":")
    left.set(title=f"loss: stop at step {at[best]}", xlabel="step", xscale="log", yscale="log")
    right.plot(x, np.sin(3 * x), color=course.GREY, linewidth=4, label="what is behind them")
    right.plot(x, fits[best], color=course.GREEN, label="at the best step")
    right.plot(x, fits[-1], color=course.RED, linewidth=1, label="at the end")
    right.scatter(learned["x"], learned["y"], s=14, color="black", zorder=3)
    right.set(title="twenty points", ylim=(-2, 2))
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=8)
    return figure


def follow(
    learned: course.Batch, held_out: course.Batch, x: np.ndarray, steps: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Both losses, f32[looks, 2], and the curve, f32[len(x), 1], at each look."""
    net = course.network("overfitting.net", "Flexible")
    trainer = nl.Trainer(net, threads=1)
    losses, fits = [], []
    for step in range(1, steps + 1):
        trainer.step(**learned)
        if step % EVERY == 0:
            losses.append([np.mean((net.forward(part["x"]) - part["y"]) ** 2) for part in (learned, held_out)])
            fits.append(net.forward(x))
    return np.array(losses), fits


if __name__ == "__main__":
    course.run(picture)
