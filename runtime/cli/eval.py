"""`netlang eval`: loss and reports of a trained network on a data set."""

from __future__ import annotations

from pathlib import Path

import click

from .click_classes import Command
from .options import (
    checkpoint_option,
    chosen_device,
    device_option,
    json_option,
    length_option,
    limit_option,
    run_argument,
    threads_option,
)
from .terminal import finite, numbers, print_json

EXAMPLES = """\
  netlang eval runs/LeNet5-1                                     on the test part of its own data
  netlang eval runs/LeNet5-1 --data mnist:data/mnist --json"""


@click.command(cls=Command, examples=EXAMPLES)
@run_argument
@click.option("--data", metavar="SOURCE", help="Other data than the run was trained on.")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Which part of the data; by default the test part, or what there is.",
)
@checkpoint_option
@length_option
@limit_option
@device_option
@threads_option
@json_option
def command(
    run: Path,
    data: str | None,
    split: str | None,
    checkpoint: str | None,
    length: int | None,
    limit: int | None,
    device: str | None,
    threads: int | None,
    json: bool,
) -> None:
    """Evaluate a trained network on a data set."""
    from ..data import DataOptions
    from ..job import evaluate_run
    from ..run_directory import RunDirectory

    if data is None and (length or limit):
        raise click.BadParameter("these change what is read: name the data with --data", param_hint="--length, --limit")
    directory = RunDirectory.open(run)
    length = length or directory.config.data_options.length
    name, metrics = evaluate_run(
        directory,
        data,
        options=DataOptions(limit=limit, length=length) if data is not None else None,
        split=split,
        checkpoint=checkpoint,
        device=chosen_device(directory.config, device, threads),
    )
    if json:
        print_json(finite(metrics))
    else:
        print(f"{name}  {numbers(metrics)}")
