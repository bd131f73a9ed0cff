"""`netlang train`: from a file and data to a run directory with a trained network."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .click_classes import Argument, Command
from .failures import INTERRUPTED
from .options import (
    NOT_NEGATIVE,
    POSITIVE,
    json_option,
    length_option,
    limit_option,
    model_argument,
    set_option,
    settings,
    threads_option,
    weights_option,
)
from .terminal import count, finite, numbers, print_json

if TYPE_CHECKING:
    from ..job import Report, Training

EXAMPLES = """\
  netlang train examples/digits.net
  netlang train std:LeNet5 --data mnist:data/mnist --epochs 20 --out runs/mnist
  netlang train std:GPT --data text:input.txt --length 64 --set layers=4 --set d=128 --set h=4 --steps 2000
  netlang train --resume runs/mnist --epochs 30"""

EPOCHS = 20
"""How long to train where nobody says."""

SOURCES = (
    "digits, mnist:DIR, images:DIR, npz:FILE, npy:DIR, csv:FILE, text:FILE, sentences:FILE, parallel:FILE,FILE, "
    "neighbours:FILE, contexts:FILE, walks:FILE, planetoid:DIR, or a path whose kind is guessed."
)
TOKENS = (
    "How text becomes tokens: characters, words, bpe; words:8000 for the 8,000 most frequent, :lower for no capitals."
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("file", cls=Argument, required=False, help="A `.net` file, or `std:NAME` for a model of the library.")
@model_argument
@click.option("--data", metavar="SOURCE", help=f"{SOURCES}  [default: digits]")
@click.option("--epochs", "-e", type=POSITIVE, metavar="N", help=f"Times through the data.  [default: {EPOCHS}]")
@click.option("--steps", type=POSITIVE, metavar="N", help="Steps, instead of epochs.")
@click.option("--batch", "-b", type=POSITIVE, metavar="N", help="Examples in a batch.  [default: 64]")
@set_option
@click.option("--out", "-o", type=Path, metavar="RUN", help="Where to write.  [default: runs/MODEL-1, -2, …]")
@click.option("--resume", type=Path, metavar="RUN", help="Go on with a run that was stopped, or extend it.")
@click.option("--seed", type=NOT_NEGATIVE, metavar="N", help="Seed of everything that is random.  [default: 0]")
@weights_option
@click.option("--freeze", multiple=True, metavar="NAME", help="Do not train these parameters: `encoder.*`. Repeatable.")
@click.option("--tokens", metavar="HOW", help=TOKENS)
@length_option
@limit_option
@click.option(
    "--validation",
    type=float,
    metavar="FRACTION",
    help="Hold out this fraction of the data to choose the weights by.",
)
@click.option("--test", type=float, metavar="FRACTION", help="Hold out this fraction of the data to test on.")
@click.option("--evaluate-every", type=POSITIVE, metavar="STEPS", help="Steps between evaluations.")
@click.option("--log-every", type=POSITIVE, metavar="STEPS", help="Steps between lines of the log.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Where to compute.  [default: cpu]")
@threads_option
@json_option
def command(
    file: str | None,
    model: str | None,
    data: str | None,
    epochs: int | None,
    steps: int | None,
    batch: int | None,
    set: tuple[str, ...],
    out: Path | None,
    resume: Path | None,
    seed: int | None,
    weights: Path | None,
    freeze: tuple[str, ...],
    tokens: str | None,
    length: int | None,
    limit: int | None,
    validation: float | None,
    test: float | None,
    evaluate_every: int | None,
    log_every: int | None,
    device: str | None,
    threads: int | None,
    json: bool,
) -> int:
    """Train a model and leave a run directory.

    It holds checkpoints, log, curves, and the trained network as model.onnx. Ctrl-C saves and stops.
    """
    _check_length(epochs, steps)
    fresh = {
        "data": data, "epochs": epochs, "steps": steps, "batch": batch, "seed": seed, "device": device,
        "threads": threads, "weights": weights, "freeze": freeze, "evaluate_every": evaluate_every,
        "log_every": log_every,
    }  # fmt: skip
    reading = {"limit": limit, "length": length, "validation": validation, "test": test, "tokens": tokens}
    if resume is not None:
        kept = {key: value for key, value in fresh.items() if key not in ("data", "epochs", "steps")}
        _check_resumable({"FILE": file, "set": set, "out": out, **kept, **reading})
        return _carry_out(_resume(resume, data, epochs, steps), json)
    if file is None:
        raise click.BadParameter("name a file to train, or a run with --resume", param_hint="FILE")
    return _carry_out(_prepare(file, model, out, settings(set), _given(fresh), _given(reading)), json)


def _check_length(epochs: int | None, steps: int | None) -> None:
    if epochs is not None and steps is not None:
        raise click.BadParameter("give one of the two", param_hint="--epochs and --steps")


def _check_resumable(options: Mapping[str, Any]) -> None:
    """Refuses what a run has settled when it began."""
    for name in _given(options):
        option = name if name.isupper() else f"--{name.replace('_', '-')}"
        raise click.BadParameter("the run that is resumed has settled this", param_hint=option)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, ())}


def _prepare(
    file: str,
    model: str | None,
    out: Path | None,
    given_settings: Mapping[str, Any],
    options: Mapping[str, Any],
    reading: Mapping[str, Any],
) -> Training:
    from ..data import DataOptions
    from ..job import TrainingRequest, prepare

    length = {} if "steps" in options or "epochs" in options else {"epochs": EPOCHS}
    return prepare(
        TrainingRequest(
            file=file,
            model=model,
            out=out or next_run(file, model),
            settings=given_settings,
            data_options=DataOptions(**reading),
            **length,
            **options,
        )
    )


def next_run(file: str, model: str | None, parent: Path = Path("runs")) -> Path:
    """The first of `runs/MODEL-1`, `runs/MODEL-2`, … that is not there."""
    from ..loader import open_program

    program, named = open_program(file)
    name = program.network(model or named).name
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


def _resume(run: Path, data: str | None, epochs: int | None, steps: int | None) -> Training:
    from ..job import resume

    return resume(run, data=data, epochs=epochs, steps=steps)


def _carry_out(training: Training, json: bool) -> int:
    """Trains, showing how it goes on standard error and what came of it on standard output; the exit status."""
    from .training_display import TrainingDisplay

    done = training.trainer.step_count
    for line in _headlines(training):
        print(line, file=sys.stderr)
    with TrainingDisplay(training.plan.steps, done) as display:
        report = training.carry_out([display])
    if json:
        print_json(_facts(report))
    else:
        _print_report(report)
    return INTERRUPTED if report.state == "interrupted" else 0


def _headlines(training: Training) -> list[str]:
    network, plan, dataset = training.trainer.network, training.plan, training.dataset
    rows = ", ".join(f"{number:,} {split}" for split, number in dataset.rows().items())
    done = f", {training.trainer.step_count:,} of them done" if training.trainer.step_count else ""
    return [
        f"{network.name}: {count(network.parameter_count, 'parameter')}",
        f"{dataset.name}: {rows}",
        *dataset.notes,
        *training.notes,
        f"{count(plan.steps, 'step')} of {plan.batch}{done}; run directory {training.run.path}",
    ]


def _facts(report: Report) -> dict[str, Any]:
    return {
        "run": str(report.run.path),
        "state": report.state,
        "step": report.step,
        "split": report.split,
        "metrics": finite(report.metrics),
        "checkpoint": report.checkpoint,
        "files": [str(path) for path in report.files],
    }


def _print_report(report: Report) -> None:
    for note in report.notes:
        print(note, file=sys.stderr)
    if report.state == "interrupted":
        print(f"stopped after step {report.step:,}, and saved")
        print(f"go on with: netlang train --resume {report.run.path}")
        return
    print(f"{report.split}  {numbers(report.metrics)}  ({report.checkpoint} checkpoint)")
    for path in (report.run.path, *report.files):
        print(path)
