"""How many parts a batch is worth cutting into: so that they fit the cache, and each core has as many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netlang.types import TensorType

from ..compiler.batching import row_bytes
from ..compiler.cost import VIEWS, bytes_moved, size_in_bytes
from ..compiler.ir import Graph
from ..compiler.row_rules import row_axes

if TYPE_CHECKING:
    from ..compiler.barriers import Cut

CACHE_BYTES = 11 << 18
"""What the largest operator of a part may touch in the forward pass. Measured on cores with 2 MiB of second-level
cache: for GPT (4 layers, width 128, batch 12) parts of 6 rows, which stay below this, take 36 ms on one core, 12 rows
43 ms, 2 rows 46 ms; LeNet does not care."""

PARTS_LIMIT_BYTES = 1 << 26
"""Gradients above this are kept once for each part only where there is much more to compute than to add up."""

GRADIENT_SHARE = 16
"""How many times the bytes of all parts' gradients the forward pass must move. For GPT (6 layers, width 384, batch 8),
whose forward pass moves 49 times its gradient, two parts take 1.36 s on one core, eight 1.42 s, and one 1.54 s."""

SEGMENT_BYTES = 1 << 19
"""What the forward pass must move, on average, for each run of a segment. ResNet-20 moves 1.3 MB in a run with parts of
8 rows, and a tenth of its time goes into starting runs and adding up sums."""

BOUND_LIMIT_BYTES = 1 << 28
"""As PARTS_LIMIT_BYTES, for rows that are bound together: a whole batch would leave the cores idle half of the
time."""

WEIGHT_SHARE = 16
"""How many times the bytes of the weights an inference must move for each of its parts, which reads them anew. For the
Transformer (64 sentences of 30 words) parts of 4 sentences, which fit the cache, take 10 % longer than parts of 16."""

PART_BYTES = 1 << 26
"""What an inference moves at least in each part. LeNet moves a fifth of it in 1 ms, and takes longer in parts."""


class Part:
    """Of a batch, the rows from `start` to before `end`. Graphs read the number of its first in `first`."""

    def __init__(self, index: int, start: int, end: int) -> None:
        self.index = index
        self.start = start
        self.end = end
        self.first = np.array(start, np.int64)

    @property
    def rows(self) -> int:
        return self.end - self.start

    def of(self, array: np.ndarray) -> np.ndarray:
        """Its rows of an array."""
        return array[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to cut: the loss with open sizes, the sizes of a batch, and the bytes of a gradient."""

    loss: Graph
    batch: str
    sizes: Mapping[str, int]
    gradient_bytes: int

    @property
    def rows(self) -> int:
        return self.sizes[self.batch]

    def worth(self) -> int:
        """How many vectors of gradients the work is worth; for more, adding them up would take too long."""
        return bytes_moved(self.loss, self.sizes) // (GRADIENT_SHARE * self.gradient_bytes)

    def cached_rows(self) -> int:
        """How many rows fit the cache."""
        return CACHE_BYTES // max(1, row_bytes(self.loss, self.batch, self.sizes))


def separate_parts(work: Work, threads: int) -> list[Part]:
    """The fewest equal parts that fit the cache, as many for each thread."""
    rows, worth = work.rows, work.worth()
    if threads > worth and threads * work.gradient_bytes > PARTS_LIMIT_BYTES:
        return _nearly_equal(rows, 1)
    if any(node.bodies for node in work.loss.nodes):
        worth = 0  # rounds of a scan take as long for few rows
    counts = [
        count for count in range(threads, rows + 1, threads) if rows % count == 0 and count <= max(worth, threads)
    ]
    cached = work.cached_rows()
    count = min((count for count in counts if rows // count <= cached), default=max(counts, default=1))
    return _nearly_equal(rows, count)


def bound_parts(work: Work, cut: Cut, threads: int) -> list[Part]:
    """The fewest parts that fit the cache where sums bind the rows together; equal ones where there are such."""
    worth, runs = work.worth(), bytes_moved(work.loss, work.sizes) // (len(cut.segments) * SEGMENT_BYTES)
    if threads > min(work.rows, runs) or (threads > worth and threads * work.gradient_bytes > BOUND_LIMIT_BYTES):
        return _nearly_equal(work.rows, 1)
    most = min(work.rows, runs, max(worth, threads)) // threads
    fewest = threads * min(most, -(-work.rows // max(1, threads * work.cached_rows())))
    near = range(threads, threads * most + 1, threads)
    equal = [count for count in near if work.rows % count == 0 and fewest <= 2 * count <= 4 * fewest]
    count = min(equal, key=lambda count: (count < fewest, abs(count - fewest)), default=fewest)
    return _nearly_equal(work.rows, count)


def _nearly_equal(rows: int, count: int) -> list[Part]:
    bounds = [index * rows // count for index in range(count + 1)]
    return [Part(index, *bounds[index : index + 2]) for index in range(count)]


class InferenceWork:
    """What there is to cut of an inference graph with independent rows, for any sizes.

    Users may call it with new sizes each time, so what depends on the graph alone is found once.
    """

    def __init__(self, graph: Graph, batch: str) -> None:
        self.batch = batch
        self._nodes: Counter[tuple[TensorType, ...]] = Counter()
        for node in graph.nodes:
            if node.op not in VIEWS:
                touched = {*node.inputs, *node.outputs}
                self._nodes[tuple(value.type for value in touched if row_axes(value, batch))] += 1
        self._types = {type_ for types in self._nodes for type_ in types}
        tables = {node.inputs[0] for node in graph.nodes if node.op == "gather"}  # of which few rows are read
        weights = [variable.value.type for variable in graph.variables if variable.value not in tables]
        self._weight_bytes = sum(size_in_bytes(type_, {}) for type_ in weights)

    def parts(self, sizes: Mapping[str, int], threads: int) -> list[Part]:
        """The fewest parts that fit the cache, a multiple of the threads; one where none are worth it."""
        rows = sizes[self.batch]
        if rows < 2:
            return _nearly_equal(rows, 1)
        own = {type_: size_in_bytes(type_, {**sizes, self.batch: 1}) for type_ in self._types}
        touched = {types: sum(own[type_] for type_ in types) for types in self._nodes}
        moved = sum(times * touched[types] for types, times in self._nodes.items())
        cached = CACHE_BYTES // max((1, *touched.values()))
        least = math.ceil(max(PART_BYTES, WEIGHT_SHARE * self._weight_bytes) / max(1, moved))
        count = math.ceil(rows / max(cached, least))
        return _nearly_equal(rows, count if count == 1 else min(rows, threads * math.ceil(count / threads)))
