"""Draws the members of Zachary's karate club where `std:SkipGram` puts them, given walks along their friendships.

python examples/results/karate.py karate/karate.edgelist --picture docs/pictures/karate.png

Walks as in node2vec with p = q = 1 (Grover & Leskovec 2016; DeepWalk, Perozzi et al. 2014). The vectors are parted in
two by the sign of their first principal axis, and compared with the two clubs that came of the one (Zachary 1977).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from pictures import COLOURS, panels, principal_axes, save

import netlang as nl

MEMBERS = 34
STAYED = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 17, 18, 20, 22}
"""Who stayed with the instructor, member 1; the others left with the officer, member 34."""

WALKS, LENGTH, WINDOW = 80, 20, 3


def neighbours(path: Path) -> list[np.ndarray]:
    """For each member, counted from 0, its friends."""
    friends: list[list[int]] = [[] for _ in range(MEMBERS)]
    for line in path.read_text().splitlines():
        one, other = (int(word) - 1 for word in line.split())
        friends[one].append(other)
        friends[other].append(one)
    return [np.array(row) for row in friends]


def pairs(friends: list[np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Members who come within `WINDOW` steps of each other on random walks, `WALKS` from each member."""
    walks = np.empty((WALKS * MEMBERS, LENGTH), np.int64)
    walks[:, 0] = np.tile(np.arange(MEMBERS), WALKS)
    for step in range(1, LENGTH):
        walks[:, step] = [rng.choice(friends[member]) for member in walks[:, step - 1]]
    ahead = [(walks[:, :-gap].ravel(), walks[:, gap:].ravel()) for gap in range(1, WINDOW + 1)]
    both = ahead + [(near, word) for word, near in ahead]
    return {
        "word": np.concatenate([word for word, _ in both]),
        "near": np.concatenate([near for _, near in both]),
    }


def draw(places: np.ndarray, friends: list[np.ndarray], path: Path) -> None:
    figure, (panel,) = panels(width=6, height=5)
    for member, others in enumerate(friends):
        for other in others[others > member]:
            panel.plot(*places[[member, other]].T, color="#cccccc", linewidth=0.7, zorder=1)
    colours = [COLOURS[0] if member + 1 in STAYED else COLOURS[1] for member in range(MEMBERS)]
    panel.scatter(*places.T, s=180, c=colours, zorder=2)
    for member, (x, y) in enumerate(places):
        panel.text(x, y, str(member + 1), color="white", fontsize=8, ha="center", va="center", zorder=3)
    panel.set_title("blue stayed with 1, red left with 34", loc="left", fontsize=11)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--picture", type=Path, default=Path("karate.png"))
    options = parser.parse_args()
    friends = neighbours(options.data)
    network = nl.load("std:SkipGram")["SkipGram"](vocab=MEMBERS, d=16, power=0.0, lr=0.005)
    trainer = nl.Trainer(network, seed=0, threads=1)
    trainer.fit(pairs(friends, np.random.default_rng(0)), steps=options.steps, batch=512)
    vectors = np.asarray(network.forward(np.arange(MEMBERS)))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = principal_axes(vectors)
    side = places[:, 0] > 0
    stayed = np.array([member + 1 in STAYED for member in range(MEMBERS)])
    right = max((side == stayed).sum(), (side != stayed).sum())
    print(f"{right} of {MEMBERS} members are on their own side")
    draw(places, friends, options.picture)


if __name__ == "__main__":
    main()
