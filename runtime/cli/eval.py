"""`netlang eval`: loss and reports of a trained network on a data set."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from .options import (
    CheckpointOption,
    DeviceOption,
    JsonOption,
    LengthOption,
    LimitOption,
    RunArgument,
    ThreadsOption,
    chosen_device,
)
from .terminal import finite, numbers, print_json

EXAMPLES = """\
  netlang eval runs/LeNet5-1                                     on the test part of its own data
  netlang eval runs/LeNet5-1 --data mnist:data/mnist --json"""


def command(
    run: RunArgument,
    data: Annotated[
        str | None, typer.Option("--data", metavar="SOURCE", help="Other data than the run was trained on.")
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option("--split", help="Which part of the data; by default the test part, or what there is."),
    ] = None,
    checkpoint: CheckpointOption = None,
    length: LengthOption = None,
    limit: LimitOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Evaluate a trained network on a data set."""
    from ..data import DataOptions
    from ..job import evaluate_run
    from ..run_directory import RunDirectory

    if data is None and (length or limit):
        raise typer.BadParameter("these change what is read: name the data with --data", param_hint="--length, --limit")
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
