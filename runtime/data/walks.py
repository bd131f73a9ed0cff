"""Random walks along the edges of a graph, for vectors of its nodes (Grover & Leskovec 2016, "node2vec")."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netlang.diagnostics import fail

from .lines import read_lines
from .neighbours import PairTable
from .table import Dataset, Rows, generator
from .vocabulary import WORDS, Vocabulary, split

WALKS, LENGTH, WINDOW = 10, 80, 10
"""Walks from each node, nodes of a walk, and how far apart neighbours on it may be (Grover & Leskovec 2016)."""

_VALIDATION_WALKS = 1
_PLACES_LIMIT = 200_000_000
_UNLIKELY = 10.0
"""How small and how great p and q may be: a walk tries the longer for its next node the further they are from 1."""
_SETTING = re.compile(r",\s*([a-z]+)\s*=\s*([^,=]*)$")


@dataclass(frozen=True, slots=True)
class Bias:
    """Where a walk goes on, as against to a node next to the one before: `1 / p` as likely back to that one itself,
    and `1 / q` to a node away from it. Both 1 is DeepWalk (Perozzi et al. 2014)."""

    p: float = 1.0
    q: float = 1.0


class Graph:
    """Undirected edges, by their ends."""

    def __init__(self, edges: np.ndarray, nodes: int) -> None:
        """`edges` i64[e, 2] name nodes below `nodes`, of which each has one."""
        both = np.concatenate([edges, edges[:, ::-1]])
        self.nodes = nodes
        self._keys = np.unique(both[:, 0] * nodes + both[:, 1])
        self._ends = self._keys % nodes
        self._degrees = np.bincount(self._keys // nodes, minlength=nodes)
        self._starts = np.cumsum(self._degrees) - self._degrees

    def neighbour(self, of: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """One of the nodes next to each of these, all as likely."""
        return self._ends[self._starts[of] + random.integers(0, self._degrees[of])]

    def joined(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Whether there is an edge between each of these and its counterpart."""
        key = one * self.nodes + other
        place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return self._keys[place] == key

    def walks(self, each: int, bias: Bias, random: np.random.Generator) -> np.ndarray:
        """`each` walks from every node: i32[each · nodes, LENGTH]."""
        found = np.empty((each * self.nodes, LENGTH), np.int32)
        found[:, 0] = before = np.tile(np.arange(self.nodes), each)
        found[:, 1] = here = self.neighbour(before, random)
        for step in range(2, LENGTH):
            before, here = here, self._onward(before, here, bias, random)
            found[:, step] = here
        return found

    def _onward(self, before: np.ndarray, here: np.ndarray, bias: Bias, random: np.random.Generator) -> np.ndarray:
        """The next node of each walk. Any neighbour is tried, and taken as often as the bias has it against the most
        likely kind of neighbour; those that were not are tried again (Yang et al. 2019, "KnightKing")."""
        if bias == Bias():
            return self.neighbour(here, random)
        back, near, away = 1 / bias.p, 1.0, 1 / bias.q
        most = max(back, near, away)
        following, open_ = np.empty_like(here), np.arange(len(here))
        while len(open_):
            tried = self.neighbour(here[open_], random)
            weight = np.where(self.joined(before[open_], tried), near, away)
            weight[tried == before[open_]] = back
            taken = random.random(len(open_)) * most < weight
            following[open_[taken]] = tried[taken]
            open_ = open_[~taken]
        return following


class WalkTable(PairTable):
    """Pairs of nodes at most `window` steps apart on a walk, `node` and `near`; places are counted through all walks.

    An evaluation takes one pair for each place; an epoch of training is as many, drawn at random, the nearer a
    neighbour the more often.
    """

    def __init__(self, walks: np.ndarray, window: int, nodes: int) -> None:
        """`walks` are integers [walks, length]."""
        super().__init__(walks.reshape(-1), window, nodes, "node")
        self._length = walks.shape[1]

    def sequence(self) -> Rows:
        places = np.arange(len(self._standing))
        return self._rows(places, places % len(self._offsets))

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        random = generator(seed, epoch)
        places = random.permutation(len(self._standing))
        return self._rows(places, self._drawn_neighbours(len(places), random))

    def _rows(self, places: np.ndarray, neighbour: np.ndarray) -> Rows:
        """Pairs of these places with their neighbours, or where a walk has ended before, with those behind instead."""
        within = places % self._length + self._offsets[neighbour]
        outside = (within < 0) | (within >= self._length)
        neighbour = np.where(outside, len(self._offsets) - 1 - neighbour, neighbour)
        return places * len(self._offsets) + neighbour


def walk_dataset(spec: str, window: int | None = None, given: Mapping[str, Vocabulary] | None = None) -> Dataset:
    """Walks along the edges that a file has, a line each: two names of nodes. `spec` is the file, and after commas
    perhaps `p=` and `q=` (`Bias`).

    Nodes are numbered by their number of edges. Ten walks from each are to train, another one to validate; `vocab` is
    the number of nodes. Raises DiagnosticError.
    """
    path, bias = _settings(spec)
    pairs = _pairs(path)
    vocabulary = given["node"] if given and "node" in given else _vocabulary(pairs)
    nodes, window = len(vocabulary), window or WINDOW
    if window >= LENGTH // 2:
        raise fail("bad-value", f"neighbours {window} steps apart on walks of {LENGTH} nodes", help="a smaller length")
    if nodes * (WALKS + _VALIDATION_WALKS) * LENGTH > _PLACES_LIMIT:
        raise fail("bad-data", f"`{path}` has {nodes:,} nodes: their walks do not fit", expected="up to 200,000 nodes")
    graph = Graph(_numbered(path, pairs, vocabulary), nodes)
    random = np.random.default_rng(0)
    parts = {"train": WALKS, "validation": _VALIDATION_WALKS}
    tables = {name: WalkTable(graph.walks(each, bias, random), window, nodes) for name, each in parts.items()}
    note = f"one graph of {nodes:,} nodes and {len(pairs):,} edges; {WALKS} walks from each node"
    return Dataset(f"walks:{path}", tables, {"vocab": nodes}, dict.fromkeys(("node", "near"), vocabulary), (note,))


def _settings(spec: str) -> tuple[Path, Bias]:
    """The file and what stands behind it: `karate.edgelist,p=1,q=0.5`."""
    found: dict[str, float] = {}
    while match := _SETTING.search(spec):
        name, text = match.groups()
        found[name] = _likelihood(name, text)
        spec = spec[: match.start()]
    path = Path(spec).expanduser()
    if not path.is_file():
        raise fail("unreadable-file", f"there is no file `{path}`")
    return path, Bias(**found)


def _likelihood(name: str, text: str) -> float:
    if name not in ("p", "q"):
        raise fail("bad-value", f"walks have no setting `{name}`", expected="`p` or `q`: `walks:FILE,p=1,q=0.5`")
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 / _UNLIKELY <= value <= _UNLIKELY:
        raise fail("bad-value", f"`{name}` cannot be `{text}`", expected="a number from 0.1 to 10")
    return value


def _pairs(path: Path) -> list[tuple[str, str]]:
    """The edges of a file by the names of their ends, each once; lines that begin with `#` are passed over."""
    found = {}
    for number, line in enumerate(read_lines(path).texts, 1):
        names = line.replace(",", " ").split()
        if not names or names[0].startswith("#"):
            continue
        if len(names) != 2 or any(list(split(WORDS, name)) != [name] for name in names):
            title = f"line {number} of `{path}` is no edge"
            raise fail("bad-data", title, expected="the names of two nodes, a word or a number each", found=line[:60])
        found[min(names), max(names)] = None
    if not found:
        raise fail("bad-data", f"`{path}` has no edges")
    return list(found)


def _vocabulary(pairs: list[tuple[str, str]]) -> Vocabulary:
    """The nodes, those with the most edges first, then by name."""
    counts = Counter(name for pair in pairs for name in pair)
    return Vocabulary(WORDS, tuple(sorted(counts, key=lambda name: (-counts[name], len(name), name))))


def _numbered(path: Path, pairs: list[tuple[str, str]], vocabulary: Vocabulary) -> np.ndarray:
    """The ends of the edges as numbers: i64[e, 2]."""
    number = {name: i for i, name in enumerate(vocabulary.tokens)}
    unknown = next((name for pair in pairs for name in pair if name not in number), None)
    if unknown is not None:
        raise fail("bad-data", f"`{path}` has a node `{unknown}`, which the vocabulary has not")
    edges = np.array([[number[one], number[other]] for one, other in pairs], np.int64)
    lonely = len(vocabulary) - len(np.unique(edges))
    if lonely:
        raise fail("bad-data", f"`{path}` has no edges for {lonely:,} of the nodes of the vocabulary")
    return edges
