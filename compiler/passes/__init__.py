"""The passes that simplify a graph, in their order. A pass is a function from a graph to a graph."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..ir import Graph
from .affine import affine
from .algebra import algebra
from .bodies import with_bodies
from .columns import columns
from .dead import dead
from .expand import expand
from .fit_cache import fit_cache
from .fold import fold
from .masks import masks
from .merge import merge
from .rounds import rounds
from .serial import serial
from .share import share
from .squares import squares
from .targets import targets
from .transpose import transpose

Pass = Callable[[Graph], Graph]
Pipeline = tuple[tuple[str, Pass], ...]

PIPELINE: Pipeline = (
    ("prune", dead),
    ("expand", expand),
    ("merge", merge),
    ("fold", fold),
    ("rounds", rounds),
    ("algebra", algebra),
    ("targets", targets),
    ("transpose", transpose),
    ("columns", columns),
    ("share", share),
    ("dead", dead),
)
"""Every pass with the name that `--dump-after` and `without` call it; "prune" spares the others work."""

CPU: Pipeline = (("masks", masks), ("affine", affine), ("squares", squares), ("fit_cache", fit_cache))
"""Further passes for graphs that the runtime runs itself on the processor, which are not exported."""

ONE_THREAD: Pipeline = (*CPU, ("serial", serial))
"""Further passes for those of them that run on one thread."""


def run(
    graph: Graph,
    *,
    without: Collection[str] = (),
    after: Callable[[str, Graph], None] | None = None,
    pipeline: Pipeline = PIPELINE,
) -> Graph:
    """`graph` simplified by the pipeline, except for the passes named in `without`.

    Each pass goes through the bodies of nodes too. `after(name, graph)` is called with the result of each pass: to
    print it, or to verify it.
    """
    for name, simplify in pipeline:
        if name not in without:
            graph = with_bodies(simplify, graph)
            if after is not None:
                after(name, graph)
    return graph
