"""What the Python runtime makes of the same steps: numbers to compare the browser with.

python reference.py reference.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from netlang.runtime.data import match

import netlang as nl

PROGRAM = Path(__file__).parents[3] / "digits.net"
STEPS = 30
BATCH = 32
ASKED = 10


def reference() -> dict[str, object]:
    """Losses and accuracies of the first steps, over the training rows in their order, and some logits after them."""
    net = nl.load(PROGRAM)["LeNet"]()
    trainer = nl.Trainer(net, seed=0, steps=STEPS, threads=1)
    splits = match(nl.open_data("digits"), net.network).splits
    steps = []
    for n in range(STEPS):
        rows = np.arange(BATCH * n, BATCH * (n + 1))
        steps.append(trainer.step(**splits["train"].take(rows)))
    images = splits["test"].take(np.arange(ASKED))["image"]
    logits = net.forward(images)
    return {"batch": BATCH, "steps": steps, "logits": logits.tolist(), "pixels": images[0].ravel().tolist()}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(reference()), encoding="utf-8")
