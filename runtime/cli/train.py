"""`netlang train`: from a file and data to a run directory with a trained network."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .failures import INTERRUPTED
from .options import (
    JsonOption,
    LengthOption,
    LimitOption,
    ModelArgument,
    SetOption,
    ThreadsOption,
    WeightsOption,
    settings,
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
    "neighbours:FILE, contexts:FILE, planetoid:DIR, or a path whose kind is guessed."
)
TOKENS = (
    "How text becomes tokens: characters, words, bpe; words:8000 for the 8,000 most frequent, :lower for no capitals."
)


def command(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A `.net` file, or `std:NAME` for a model of the library.")
    ] = None,
    model: ModelArgument = None,
    data: Annotated[str | None, typer.Option("--data", metavar="SOURCE", help=f"{SOURCES}  [default: digits]")] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", "-e", min=1, help=f"Times through the data.  [default: {EPOCHS}]")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps, instead of epochs.")] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", "-b", min=1, help="Examples in a batch.  [default: 64]")
    ] = None,
    set: SetOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Where to write.  [default: runs/MODEL-1, -2, …]")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Go on with a run that was stopped, or extend it.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of everything that is random.  [default: 0]")
    ] = None,
    weights: WeightsOption = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option("--freeze", metavar="NAME", help="Do not train these parameters: `encoder.*`. Repeatable."),
    ] = None,
    tokens: Annotated[str | None, typer.Option("--tokens", metavar="HOW", help=TOKENS)] = None,
    length: LengthOption = None,
    limit: LimitOption = None,
    validation: Annotated[
        float | None, typer.Option("--validation", help="Hold out this fraction of the data to choose the weights by.")
    ] = None,
    test: Annotated[float | None, typer.Option("--test", help="Hold out this fraction of the data to test on.")] = None,
    evaluate_every: Annotated[
        int | None, typer.Option("--evaluate-every", min=1, metavar="STEPS", help="Steps between evaluations.")
    ] = None,
    log_every: Annotated[
        int | None, typer.Option("--log-every", min=1, metavar="STEPS", help="Steps between lines of the log.")
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"] | None, typer.Option("--device", help="Where to compute.  [default: cpu]")
    ] = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
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
        raise typer.BadParameter("name a file to train, or a run with --resume", param_hint="FILE")
    return _carry_out(_prepare(file, model, out, settings(set), _given(fresh), _given(reading)), json)


def _check_length(epochs: int | None, steps: int | None) -> None:
    if epochs is not None and steps is not None:
        raise typer.BadParameter("give one of the two", param_hint="--epochs and --steps")


def _check_resumable(options: Mapping[str, Any]) -> None:
    """Refuses what a run has settled when it began."""
    for name in _given(options):
        option = name if name.isupper() else f"--{name.replace('_', '-')}"
        raise typer.BadParameter("the run that is resumed has settled this", param_hint=option)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


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
