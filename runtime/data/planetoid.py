"""One graph whose nodes are told apart: citations with the splits of Yang et al. 2016 ("Planetoid")."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netlang.diagnostics import DiagnosticError, fail

from .numpy_files import read_npz
from .table import Dataset, Field, Rows

SPLITS = {"train": "train", "validation": "val", "test": "test"}
_CELLS_LIMIT = 1_000_000_000
_CONTENT = "`shape`, `x_row` and `x_col` (or `x`), `edges` i64[e, 2], `y` i64[nodes], `train`, `val`, `test`"


class GraphTable:
    """One row, which is a whole graph.

    Columns: `x` f32[nodes, features], `edges` i64[2, e], and `label` i64[nodes], which is -1 for the nodes of other
    splits.
    """

    def __init__(self, x: np.ndarray, edges: np.ndarray, label: np.ndarray, classes: int) -> None:
        self._columns = {"x": x, "edges": edges, "label": label}
        self._classes = classes

    @property
    def fields(self) -> dict[str, Field]:
        return {
            "x": Field("f32", self._columns["x"].shape[1:]),
            "edges": Field("i64", self._columns["edges"].shape[1:]),
            "label": Field("i64", (), classes=self._classes),
        }

    def take(self, rows: Rows) -> dict[str, np.ndarray]:
        return dict(self._columns)

    def sequence(self) -> Rows:
        return np.arange(1)

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        return np.arange(1)


def planetoid_dataset(path: Path) -> Dataset:
    """A graph in a `.npz` file, or in the only one of a folder, with the arrays of `cora.npz`.

    `x_row`, `x_col` are the places of the ones in `x`, whose `shape` is [nodes, features]; `edges` are undirected, and
    `train`, `val`, `test` the numbers of the nodes of each split. The rows of `x` are divided by their sums, and each
    edge is taken in both directions (Kipf & Welling 2017). Settings: `features`, `classes`. Raises DiagnosticError.
    """
    file = _file(path)
    arrays = read_npz(file)
    x = _features(file, arrays)
    nodes = len(x)
    y = _classes(file, arrays, nodes)
    edges = _both_ways(_numbers_of_nodes(file, arrays, "edges", nodes, 2))
    parts = {split: _numbers_of_nodes(file, arrays, key, nodes, 1) for split, key in SPLITS.items() if key in arrays}
    if "train" not in parts or len(parts["train"]) == 0:
        raise _wrong(file, "there is no array `train`, or it is empty", _CONTENT, ", ".join(arrays))
    classes = int(y.max()) + 1
    tables = {split: GraphTable(x, edges, _masked(y, part), classes) for split, part in parts.items()}
    counted = ", ".join(f"{len(part):,} {split}" for split, part in parts.items())
    note = f"one graph of {nodes:,} nodes and {edges.shape[1] // 2:,} edges; nodes with a label: {counted}"
    return Dataset(f"planetoid:{path}", tables, {"features": x.shape[1], "classes": classes}, notes=(note,))


def is_planetoid_directory(folder: Path) -> bool:
    """Whether a folder holds the files of such a graph as they were published."""
    return any(folder.glob("ind.*.graph"))


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    files = sorted(path.glob("*.npz"))
    if len(files) == 1:
        return files[0]
    if files:
        raise fail("bad-data", f"`{path}` holds {len(files)} `.npz` files", help=f"name one: `planetoid:{files[0]}`")
    if is_planetoid_directory(path):
        raise fail(
            "bad-data",
            f"`{path}` holds pickles (`ind.….x`, …), which can run any program and are never opened",
            expected=f"a `.npz` file with {_CONTENT}",
            help="where you trust them, load them in Python yourself and save these arrays with `numpy.savez`",
        )
    raise fail("bad-data", f"`{path}` holds no graph", expected=f"a `.npz` file with {_CONTENT}")


def _features(file: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """`x` f32[nodes, features] with rows that sum to 1 (or are 0)."""
    if "x" in arrays:
        x = arrays["x"]
        if x.ndim != 2 or x.dtype.kind not in "iufb":
            raise _wrong(file, "`x` is no table", "f32[nodes, features]", f"{x.dtype}{list(x.shape)}")
    else:
        x = _ones(file, arrays)
    sums = x.sum(axis=1, keepdims=True, dtype=np.float32)
    return np.divide(x, sums, out=np.zeros(x.shape, np.float32), where=sums != 0)


def _ones(file: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    shape = _integers(file, arrays, "shape", 1)
    if len(shape) != 2 or shape.min() < 1 or int(shape[0]) * int(shape[1]) > _CELLS_LIMIT:
        raise _wrong(file, "`shape` is no size of `x`", "[nodes, features]", str(shape[:8].tolist()))
    rows, columns = _integers(file, arrays, "x_row", 1), _integers(file, arrays, "x_col", 1)
    for name, places, size in (("x_row", rows, shape[0]), ("x_col", columns, shape[1])):
        if len(places) != len(rows) or places.min(initial=0) < 0 or places.max(initial=0) >= size:
            raise _wrong(file, f"`{name}` does not say where ones are", f"{len(rows)} numbers from 0 to {size - 1}")
    x = np.zeros((int(shape[0]), int(shape[1])), np.float32)
    x[rows, columns] = 1
    return x


def _classes(file: Path, arrays: Mapping[str, np.ndarray], nodes: int) -> np.ndarray:
    """`y` i64[nodes], from 0."""
    y = _integers(file, arrays, "y", 1)
    low, high = int(y.min(initial=0)), int(y.max(initial=0))
    if len(y) != nodes or low < 0 or high >= nodes:
        expected, found = f"{nodes} of 0, 1, …, and fewer classes than nodes", f"{len(y)} from {low} to {high}"
        raise _wrong(file, "`y` is no class for each node", expected, found)
    return y


def _numbers_of_nodes(file: Path, arrays: Mapping[str, np.ndarray], name: str, nodes: int, rank: int) -> np.ndarray:
    array = _integers(file, arrays, name, rank)
    wide = rank == 2 and array.shape[1] != 2
    if wide or array.min(initial=0) < 0 or array.max(initial=0) >= nodes:
        expected = f"numbers from 0 to {nodes - 1}" + (", two for each edge" if rank == 2 else "")
        found = f"{array.dtype}{list(array.shape)} from {array.min(initial=0)} to {array.max(initial=0)}"
        raise _wrong(file, f"`{name}` does not name nodes", expected, found)
    return array


def _integers(file: Path, arrays: Mapping[str, np.ndarray], name: str, rank: int) -> np.ndarray:
    if name not in arrays:
        raise _wrong(file, f"there is no array `{name}`", _CONTENT, ", ".join(arrays) or "nothing")
    array = arrays[name]
    if array.ndim != rank or array.dtype.kind not in "iu":
        raise _wrong(file, f"`{name}` holds no whole numbers", f"i64, rank {rank}", f"{array.dtype}{list(array.shape)}")
    return array.astype(np.int64)


def _both_ways(edges: np.ndarray) -> np.ndarray:
    """Each edge once in each direction, without those from a node to itself: i64[2, e]."""
    both = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    return np.ascontiguousarray(both[both[:, 0] != both[:, 1]].T)


def _masked(y: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    label = np.full(len(y), -1, np.int64)
    label[nodes] = y[nodes]
    return label


def _wrong(file: Path, title: str, expected: str, found: str | None = None) -> DiagnosticError:
    return fail("bad-data", f"`{file}` is no graph: {title}", expected=expected, found=found)
