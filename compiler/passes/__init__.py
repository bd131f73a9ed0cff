"""The passes that simplify a graph, in their order. A pass is a function from a graph to a graph."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..ir import Graph
from .algebra import algebra
from .bodies import with_bodies
from .dead import dead
from .expand import expand
from .fold import fold
from .merge import merge
from .rounds import rounds
from .share import share
from .transpose import transpose

Pass = Callable[[Graph], Graph]

PIPELINE: tuple[tuple[str, Pass], ...] = (
    ("prune", dead),
    ("expand", expand),
    ("merge", merge),
    ("fold", fold),
    ("rounds", rounds),
    ("algebra", algebra),
    ("transpose", transpose),
    ("share", share),
    ("dead", dead),
)
"""Every pass with the name that `--dump-after` and `without` call it; "prune" spares the others work."""


def run(graph: Graph, *, without: Collection[str] = (), after: Callable[[str, Graph], None] | None = None) -> Graph:
    """`graph` simplified by the pipeline, except for the passes named in `without`.

    Each pass goes through the bodies of nodes too. `after(name, graph)` is called with the result of each pass: to
    print it, or to verify it.
    """
    for name, simplify in PIPELINE:
        if name not in without:
            graph = with_bodies(simplify, graph)
            if after is not None:
                after(name, graph)
    return graph
