"""`netlang compile`: the ONNX graphs of a model, its initial weights, and what they all mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlang.diagnostics import did_you_mean

from .click_classes import Command
from .options import (
    NOT_NEGATIVE,
    file_argument,
    model_argument,
    opset_option,
    set_option,
    settings,
    weights_option,
)

if TYPE_CHECKING:
    from ...compiler import Network
    from ...compiler.ir import Graph

EXAMPLES = """\
  netlang compile lenet5.net -o build/
  netlang compile std:GPT --set vocab=65 --set layers=4 -o build/
  netlang compile lenet5.net --entry forward --dump-after algebra -o build/"""


@click.command(cls=Command, examples=EXAMPLES)
@file_argument
@model_argument
@click.option("--out", "-o", type=Path, metavar="DIR", help="Where to write; by default build/MODEL.")
@set_option
@click.option("--entry", multiple=True, metavar="ENTRY", help="Write only this entry's inference graph. Repeatable.")
@opset_option
@click.option("--seed", type=NOT_NEGATIVE, default=0, metavar="N", help="Seed of the initial weights.")
@weights_option
@click.option("--dump-after", multiple=True, metavar="PASS", help="Print every graph after this pass. Repeatable.")
@click.option("--check", is_flag=True, help="Verify every graph after every pass.")
def command(
    file: str,
    model: str | None,
    out: Path | None,
    set: tuple[str, ...],
    entry: tuple[str, ...],
    opset: int | None,
    seed: int,
    weights: Path | None,
    dump_after: tuple[str, ...],
    check: bool,
) -> None:
    """Write the ONNX graphs of a model and its weights.

    That is: inference, the training step, its two halves, evaluation, and a manifest of all inputs and outputs.
    """
    from ..artifacts import compile_network
    from ..bound_network import BoundNetwork, known_entry
    from ..initial_weights import initial_weights
    from ..job import open_network

    _check_passes(dump_after)
    network = open_network(file, model, settings(set))
    if dump_after or check:
        entries = [known_entry(network, name) for name in entry or network.entries]
        _watch(network, entries, dump_after, check)
    begin = initial_weights(network, weights, seed) if weights is not None else None
    if begin is not None and begin.new:
        print(begin.note, file=sys.stderr)
    bound = BoundNetwork(network, None if begin is None else begin.arrays, seed=seed)
    paths = compile_network(bound, out or Path("build") / network.name, entries=entry or None, opset=opset)
    for path in paths:
        print(path)


def _check_passes(names: Sequence[str]) -> None:
    from ...compiler.passes import PIPELINE

    known = [name for name, _ in PIPELINE]
    for name in names:
        if name not in known:
            help = did_you_mean(name, known) or f"the passes are {', '.join(known)}"
            raise click.BadParameter(f"there is no pass `{name}`; {help}", param_hint="--dump-after")


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
