"""Behind twelve layers of logistic functions hardly any gradient arrives, and so they do not learn."""

from __future__ import annotations

import course
import numpy as np
from matplotlib.figure import Figure

MODELS = (("Logistic", course.BLUE), ("Tangent", course.GREEN), ("Rectified", course.RED))


def picture(steps: int = 600) -> Figure:
    """The gradient behind each layer before training, and the loss in training."""
    figure, (left, right) = course.panels(1, 2, width=4.2, height=3)
    rows = course.digits("train")
    data = {"x": rows["image"].reshape(-1, 64), "label": rows["label"]}
    for model, colour in MODELS:
        net = course.network("activations.net", model)
        lengths = net.gradients(**data)
        left.plot(np.arange(1, len(lengths) + 1), lengths, marker=".", color=colour, label=model)
        right.plot(course.train(net, data, steps, batch=64)["loss"], color=colour, linewidth=1)
    left.set(yscale="log", title="length of the gradient behind each layer", xlabel="layer")
    left.legend(frameon=False, fontsize=8)
    right.set(title="loss of digits, in training", xlabel="step", ylim=(0, 3))
    return figure


if __name__ == "__main__":
    course.run(picture)
