"""Trains `std:GCN` or `std:GAT` on the Cora citations from several seeds, as its paper did, and draws the last one.

python examples/results/cora.py GAT cora/cora.npz --seeds 20 --picture docs/pictures/cora.png

GCN is trained for 200 steps (Kipf & Welling 2017), GAT until the validation nodes have had neither a lower loss nor a
higher accuracy for 100 steps (Veličković et al. 2018). Two accuracies are printed: with the last weights, and with
those of the last step that was the best in both for the validation nodes. The test nodes choose nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from netlang.runtime.evaluate import Evaluator
from pictures import COLOURS, panels, principal_axes, save

import netlang as nl

LONGEST = {"GCN": 200, "GAT": 100_000}
PATIENCE = {"GCN": 200, "GAT": 100}
"""In steps."""


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The graph, its rows of features divided by their sums and its edges both ways; and the labels of each split."""
    with np.load(path) as file:
        x = np.zeros(tuple(file["shape"]), np.float32)
        x[file["x_row"], file["x_col"]] = 1
        x /= np.maximum(x.sum(1, keepdims=True), 1)
        edges = np.concatenate([file["edges"].T, file["edges"].T[::-1]], axis=1).astype(np.int64)
        labels = {}
        for split in ("train", "val", "test"):
            labels[split] = np.full(len(x), -1)
            labels[split][file[split]] = file["y"][file[split]]
    return {"x": x, "edges": edges}, labels


class Run:
    """One training, and how it stands on the validation and the test nodes."""

    def __init__(self, model: str, seed: int, graph: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
        self.network = nl.load(f"std:{model}")[model]()
        self.trainer = nl.Trainer(self.network, seed=seed, threads=1)
        self.evaluator = Evaluator(self.network.network, self.trainer.engine.device)
        self.graph, self.labels = graph, labels

    def measure(self, split: str) -> dict[str, float]:
        """Loss and accuracy on the nodes of a split."""
        return self.evaluator.run(self.trainer.engine.current(), [{**self.graph, "label": self.labels[split]}])

    def train(self, longest: int, patience: int) -> tuple[float, float]:
        """Test accuracy with the last weights, and with those that the validation nodes choose."""
        lowest, highest, waited, chosen = np.inf, 0.0, 0, 0.0
        while waited < patience and self.trainer.step_count < longest:
            self.trainer.step(**self.graph, label=self.labels["train"])
            found = self.measure("val")
            loss, accuracy = found["loss"], found["accuracy"]
            if loss <= lowest and accuracy >= highest:
                chosen = self.measure("test")["accuracy"]
            waited = 0 if loss <= lowest or accuracy >= highest else waited + 1
            lowest, highest = min(lowest, loss), max(highest, accuracy)
        return self.measure("test")["accuracy"], chosen


def draw(run: Run, labels: np.ndarray, path: Path) -> None:
    """The nodes by the two directions in which the network's answers differ most, coloured by what they are."""
    places = principal_axes(np.asarray(run.network.forward(**run.graph)))
    figure, (panel,) = panels(width=6, height=5)
    for number, colour in zip(range(7), COLOURS, strict=False):
        panel.scatter(*places[labels == number].T, s=6, color=colour)
    panel.set_title("test nodes of Cora, by topic", loc="left", fontsize=11)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=LONGEST)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    graph, labels = read(options.data)
    found, run = [], None
    for seed in range(options.seeds):
        run = Run(options.model, seed, graph, labels)
        found.append(run.train(LONGEST[options.model], PATIENCE[options.model]))
        last, chosen = found[-1]
        print(f"seed {seed}: last {last:.1%}, chosen {chosen:.1%} of {run.trainer.step_count} steps", flush=True)
    for name, accuracies in zip(("last", "chosen"), np.transpose(found), strict=True):
        print(f"{name}: mean {accuracies.mean():.2%}, standard deviation {accuracies.std():.2%}")
    if options.picture and run:
        draw(run, labels["test"], options.picture)


if __name__ == "__main__":
    main()
