"""The passes that simplify a graph, in their order. A pass is a function from a graph to a graph."""

from __future__ import annotations

from collections.abc import Callable, Collection

from netlang.collection import without_collection

from ..ir import Graph
from .affine import affine
from .algebra import algebra
from .bodies import with_bodies
from .causal import causal
from .columns import columns
from .dead import dead
from .expand import expand
from .fit_cache import fit_cache
from .fold import fold
from .gradient_windows import gradient_windows
from .masks import masks
from .merge import merge
from .pool_parts import pool_parts
from .recurrent import recurrent
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
    ("recurrent", recurrent),
    ("algebra", algebra),
    ("targets", targets),
    ("transpose", transpose),
    ("columns", columns),
    ("share", share),
    ("dead", dead),
)
"""Every pass with the name that `--dump-after` and `without` call it; "prune" spares the others work."""

CPU: Pipeline = (
    *(("causal", causal), ("masks", masks), ("affine", affine), ("squares", squares)),
    *(("fit_cache", fit_cache), ("gradient_windows", gradient_windows)),
)
"""Further passes for graphs that the runtime runs itself on the processor, which are not exported."""

ONE_THREAD: Pipeline = (*CPU, ("pool_parts", pool_parts), ("serial", serial))
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
    with without_collection():
        for name, simplify in pipeline:
            if name not in without:
                graph = with_bodies(simplify, graph)
                if after is not None:
                    after(name, graph)
    return graph
