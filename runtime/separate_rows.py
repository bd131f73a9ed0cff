"""Gradients of a batch whose rows are independent: each part runs the whole graph, and the mean of the parts counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .gradient_pass import Feeds, GradientPass, Places, Program, metric_arrays
from .parts import Part
from .row_updates import touched_rows
from .row_writes import RowWriter
from .workers import Task, deal, in_turn


class SeparateRows(GradientPass):
    """One program for all parts, which have as many rows each: it computes the gradients of their share of the loss.

    The rows of a single part need not be independent. Where a table has a gradient and rows beside it, each part adds
    its rows to its gradient: a node of the graph would copy the table first.
    """

    def __init__(
        self, places: Places, program: Program, parts: Sequence[Part], threads: int, writer: RowWriter
    ) -> None:
        self.program = program
        self.parts = len(parts)
        self.feeds = Feeds()
        self._metrics = [metric_arrays(program.graph) for _ in parts]
        touched = [touched_rows(program.graph) for _ in parts]
        dense = {output.name.removeprefix("grad.") for output in program.graph.outputs if output.role == "gradient"}
        self.touched = [rows for each in touched for rows in each if rows.table not in dense]

        def task(part: Part, turn: int) -> Task:
            own = dict(self._metrics[part.index])
            for rows in touched[part.index]:
                own |= rows.outputs
            binding = places.bind(program, part, turn, own)
            self.feeds.add(binding, part if len(parts) > 1 else None, program.graph)
            beside = [rows for rows in touched[part.index] if rows.table in dense]
            adds = [writer.add(places.gradient(rows.table, part.index), rows) for rows in beside]
            return partial(in_turn, [partial(program.session.run_with_iobinding, binding), *adds])

        passes = [deal([task(part, turn) for part in parts], threads) for turn in places.turns]
        self.tasks = passes[0], passes[-1]

    def metrics(self) -> dict[str, float]:
        return {name: sum(float(part[name]) for part in self._metrics) / self.parts for name in self._metrics[0]}
