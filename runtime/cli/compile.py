"""`netlang compile`: the ONNX graphs of a model, its initial weights, and what they all mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlang.diagnostics import did_you_mean

from .options import FileArgument, ModelArgument, OpsetOption, SeedOption, SetOption, WeightsOption, settings

if TYPE_CHECKING:
    from ...compiler import Network
    from ...compiler.ir import Graph

EXAMPLES = """\
  netlang compile lenet5.net -o build/
  netlang compile std:GPT --set vocab=65 --set layers=4 -o build/
  netlang compile lenet5.net --entry forward --dump-after algebra -o build/"""


def command(
    file: FileArgument,
    model: ModelArgument = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where to write; by default build/MODEL.")
    ] = None,
    set: SetOption = None,
    entry: Annotated[
        list[str] | None, typer.Option("--entry", help="Write only this entry's inference graph. Repeatable.")
    ] = None,
    opset: OpsetOption = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    dump_after: Annotated[
        list[str] | None,
        typer.Option("--dump-after", metavar="PASS", help="Print every graph after this pass. Repeatable."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Verify every graph after every pass.")] = False,
) -> None:
    """Write the ONNX graphs of a model and its weights.

    That is: inference, the training step, its two halves, evaluation, and a manifest of all inputs and outputs.
    """
    from ..artifacts import compile_network
    from ..bound_network import BoundNetwork, known_entry
    from ..initial_weights import initial_weights
    from ..job import open_network

    _check_passes(dump_after or ())
    network = open_network(file, model, settings(set))
    if dump_after or check:
        entries = network.entries if entry is None else [known_entry(network, name) for name in entry]
        _watch(network, entries, dump_after or (), check)
    begin = initial_weights(network, weights, seed) if weights is not None else None
    if begin is not None and begin.new:
        print(begin.note, file=sys.stderr)
    bound = BoundNetwork(network, None if begin is None else begin.arrays, seed=seed)
    paths = compile_network(bound, out or Path("build") / network.name, entries=entry, opset=opset)
    for path in paths:
        print(path)


def _check_passes(names: Sequence[str]) -> None:
    from ...compiler.passes import PIPELINE

    known = [name for name, _ in PIPELINE]
    for name in names:
        if name not in known:
            help = did_you_mean(name, known) or f"the passes are {', '.join(known)}"
            raise typer.BadParameter(f"there is no pass `{name}`; {help}", param_hint="--dump-after")


def _watch(network: Network, entries: Iterable[str], dump: Sequence[str], check: bool) -> None:
    """Runs the passes on every graph, printing and verifying on the way."""
    from ...compiler.printer import print_graph
    from ...compiler.verify import verify

    for name, build in _graphs(network, entries):

        def after(stage: str, graph: Graph, name: str = name) -> None:
            if check:
                verify(graph)
            if stage in dump:
                print(f"# {name} after {stage}\n{print_graph(graph)}\n")

        build(after=after)


def _graphs(network: Network, entries: Iterable[str]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every graph of the network by name, as a function that builds it."""
    for entry in entries:
        yield entry, lambda entry=entry, **options: network.graph(entry, **options)
    if network.trains:
        yield "train", network.train_graph
        if not network.phases:
            yield "grad", network.gradient_graph
            yield "apply", network.apply_graph
        yield "eval", network.eval_graph
