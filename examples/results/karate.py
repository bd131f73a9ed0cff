"""Draws the members of Zachary's karate club where `std:Node2Vec` puts them, given walks along their friendships.

python examples/results/karate.py karate/karate.edgelist --picture docs/pictures/karate.png

Walks as in node2vec with p = q = 1 (Grover & Leskovec 2016; DeepWalk, Perozzi et al. 2014). The vectors are parted in
two by the sign of their first principal axis, and compared with the two clubs that came of the one (Zachary 1977).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pictures import COLOURS, panels, principal_axes, save

import netlang as nl

STAYED = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 17, 18, 20, 22}
"""Who stayed with the instructor, member 1; the others left with the officer, member 34."""


def friendships(path: Path) -> list[list[str]]:
    """Two members a line."""
    return [line.split() for line in path.read_text().splitlines()]


def draw(places: Mapping[str, np.ndarray], edges: list[list[str]], path: Path) -> None:
    figure, (panel,) = panels(width=6, height=5)
    for edge in edges:
        panel.plot(*np.transpose([places[member] for member in edge]), color="#cccccc", linewidth=0.7, zorder=1)
    for member, (x, y) in places.items():
        panel.scatter(x, y, s=180, color=COLOURS[0 if int(member) in STAYED else 1], zorder=2)
        panel.text(x, y, member, color="white", fontsize=8, ha="center", va="center", zorder=3)
    panel.set_title("blue stayed with 1, red left with 34", loc="left", fontsize=11)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--picture", type=Path, default=Path("karate.png"))
    options = parser.parse_args()
    data = nl.open_data(f"walks:{options.data}", length=3)
    members = data.vocabularies["node"].tokens
    network = nl.load("std:Node2Vec")["Node2Vec"](vocab=len(members), d=16, lr=0.005)
    nl.Trainer(network, seed=0, threads=1).fit(data, epochs=options.epochs, batch=512)
    vectors = np.asarray(network.forward(np.arange(len(members))))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = principal_axes(vectors)
    side = places[:, 0] > 0
    stayed = np.array([int(member) in STAYED for member in members])
    right = max((side == stayed).sum(), (side != stayed).sum())
    print(f"{right} of {len(members)} members are on their own side")
    draw(dict(zip(members, places, strict=True)), friendships(options.data), options.picture)


if __name__ == "__main__":
    main()
