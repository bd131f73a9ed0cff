"""The directory of a run: everything to reproduce it, to go on with it, and to use what it made.

config.json                 what was trained, on what, and how; versions
sources/                    copies of all files that the model is written in
vocabulary.json             what the numbers of text and of classes stand for, where the data has such
log.jsonl                   one line for each log interval and each evaluation
checkpoints/last.safetensors, best.safetensors
model.onnx, manifest.json   the trained network, and what its inputs and outputs are
curves.png
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from netlang.diagnostics import fail
from netlang.source import Source

from ..compiler import Network, load_program
from .averages import for_inference
from .bound_network import BoundNetwork
from .checkpoint import Progress, load_checkpoint, save_checkpoint
from .data.vocabulary import Vocabulary
from .data.vocabulary_file import read_vocabularies, vocabularies_json
from .files import (
    lock,
    make_directory,
    read_text,
    reading,
    remove_unfinished,
    require_text,
    unreadable,
    unwritable,
    write_atomically,
    write_json,
)
from .loader import SOURCE_LIMIT, is_library, recorded
from .loop import Evaluated, Event, Logged
from .run_config import RunConfig, all_sources
from .session import Device

_LOG_LIMIT = 100_000_000


class RunDirectory:
    """A run on the disk. Also what a training loop tells its events (the log) and gives its checkpoints."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self.config = config
        self._held: weakref.finalize | None = None

    @classmethod
    def create(
        cls, path: Path, config: RunConfig, network: Network, vocabularies: Mapping[str, Vocabulary] | None = None
    ) -> RunDirectory:
        """A new run in a directory that is empty or not there yet; with the vocabularies of its data.

        Raises DiagnosticError: `run-exists` and `foreign-run` where the directory holds something, `disk-full`, ….
        """
        refuse_occupied(path, config)
        run = cls(path, config)
        try:
            run._describe(network, vocabularies or {})
        except BaseException:  # half of a run can neither be gone on with nor be begun again
            shutil.rmtree(run.sources, ignore_errors=True)
            with contextlib.suppress(OSError):
                run.vocabulary.unlink(missing_ok=True)
                path.rmdir()
            raise
        return run

    def _describe(self, network: Network, vocabularies: Mapping[str, Vocabulary]) -> None:
        """Writes everything that is known before the first step."""
        make_directory(self.sources)
        for name, source in all_sources(network).items():
            write_atomically(self.sources / self.config.sources[name], [source.text.encode()])
        if vocabularies:
            write_json(self.vocabulary, vocabularies_json(vocabularies))
        self.write_config()

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """The run in a directory. Raises DiagnosticError (`no-run`, `bad-run`, `unreadable-file`)."""
        if not (path / "config.json").is_file():
            inside = (path.parent / "config.json").is_file()
            help = f"it is part of the run `{path.parent}`" if inside else "a run is what `netlang train` leaves"
            raise fail("no-run", f"`{path}` is no directory of a run", help=help)
        return cls(path, RunConfig.read(path / "config.json"))

    def write_config(self, **changes: Any) -> None:
        """Writes `config.json`, with changes to what it said."""
        self.config = replace(self.config, **changes)
        write_json(self.path / "config.json", asdict(self.config))

    def network(self) -> Network:
        """The network, from the run's own copies of its sources. Raises DiagnosticError (`bad-run`)."""
        sources = {
            name: Source(name, read_text(self.sources / file, SOURCE_LIMIT, "source file"), library=is_library(name))
            for name, file in self.config.sources.items()
        }
        if self.config.file not in sources:
            raise fail("bad-run", f"`{self.path}` does not say where its copy of `{self.config.file}` is")
        program = load_program(sources[self.config.file], recorded(sources))
        return program.network(self.config.model, self.config.settings, self.config.frozen)

    @property
    def sources(self) -> Path:
        """The folder with the copies of the sources."""
        return self.path / "sources"

    @property
    def vocabulary(self) -> Path:
        """The file of the vocabularies, where the data of the run has any."""
        return self.path / "vocabulary.json"

    def vocabularies(self) -> dict[str, Vocabulary]:
        """What numbers stand for, by the column of the data. Raises DiagnosticError (`bad-data`, `unreadable-file`)."""
        return read_vocabularies(self.vocabulary) if self.vocabulary.exists() else {}

    def device(self) -> Device:
        """The device and threads of the training."""
        return Device(self.config.device, self.config.threads)

    def trained(
        self, checkpoint: str | None = None, device: Device | None = None, network: Network | None = None
    ) -> BoundNetwork:
        """The network with the weights of a checkpoint: "last", "best", or what `chosen` says.

        `network` is the run's, where it is at hand. Raises DiagnosticError.
        """
        network = network or self.network()
        variables = self.for_inference(network, checkpoint or self.chosen())
        weights = {v.name: variables[v.name] for v in network.variables if v.name in variables}
        return BoundNetwork(network, weights, device=device)

    def for_inference(self, network: Network, checkpoint: str) -> dict[str, np.ndarray]:
        """The variables of a checkpoint, with averages in place of the parameters that have one. Raises as `load`."""
        variables, progress = self.load(checkpoint)
        missing = [name for name, average in network.averages.items() if average not in variables]
        if missing:
            raise fail("bad-checkpoint", f"`{self.checkpoint(checkpoint)}` has no average of `{missing[0]}`")
        return for_inference(network, variables, progress.step)

    def chosen(self) -> str:
        """Which checkpoint is the result: "best" where validation data chose it, "last" where there was none.

        Test data chooses nothing: a figure on it would no longer be one on unseen data.
        """
        return "best" if "validation" in self.config.rows and self.checkpoint("best").exists() else "last"

    def checkpoint(self, name: str) -> Path:
        """The path of a checkpoint."""
        return self.path / "checkpoints" / f"{name}.safetensors"

    def load(self, name: str) -> tuple[dict[str, np.ndarray], Progress]:
        """Variables and progress of a checkpoint, "last" or "best".

        Raises DiagnosticError (`no-checkpoint`, `bad-checkpoint`, `foreign-run`, `unreadable-file`).
        """
        path = self.checkpoint(name)
        if not path.exists():
            others = [item.stem for item in sorted(path.parent.glob("*.safetensors"))]
            help = f"it has {', '.join(f'`{other}`' for other in others)}" if others else "it was stopped too early"
            raise fail("no-checkpoint", f"`{self.path}` has no checkpoint `{name}`", help=help)
        variables, progress = load_checkpoint(path)
        if progress.digest != self.config.digest:
            raise fail("foreign-run", f"`{path}` is a checkpoint of another network than the run's")
        return variables, progress

    def keep(self, name: str, variables: Mapping[str, np.ndarray], progress: Progress) -> None:
        """Replaces the checkpoint called `name`, "last" or "best". Raises DiagnosticError (`disk-full`, …)."""
        save_checkpoint(self.checkpoint(name), variables, progress)

    def hold(self) -> None:
        """Keeps other processes from training here, until `release` or the end of this one.

        Raises DiagnosticError (`run-busy`) where one does.
        """
        descriptor = lock(self.path)
        if descriptor is None:
            help = "wait until it is done, or stop it with Ctrl-C, which saves"
            raise fail("run-busy", f"a training is under way in `{self.path}`", help=help)
        self._held = weakref.finalize(self, os.close, descriptor)

    def release(self) -> None:
        """Lets others train here again."""
        if self._held is not None:
            self._held()

    def clear(self) -> None:
        """Removes half-written checkpoints, which a killed training left. Nobody may be training here."""
        remove_unfinished(self.path / "checkpoints")

    @property
    def log(self) -> Path:
        """The log: lines of JSON with `kind` "train" or "evaluation", `step`, `epoch` and metrics."""
        return self.path / "log.jsonl"

    def __call__(self, event: Event) -> None:
        """Writes the line of an event to the log, if it has one."""
        match event:
            case Logged(step, epoch, metrics, rate):
                record = {"kind": "train", "step": step, "epoch": epoch, "rows_per_second": round(rate, 1)}
                self._append(record, metrics)
            case Evaluated(step, epoch, split, metrics, _):
                self._append({"kind": "evaluation", "split": split, "step": step, "epoch": epoch}, metrics)

    def forget_after(self, step: int) -> None:
        """Takes from the log what came after a step, which a resumed run goes through again, and what a crash left."""

        def stays(line: bytes) -> bool:
            return line.endswith(b"\n") and _step_of(line) <= step

        if not self.log.exists() or reading(self.log, lambda lines: all(map(stays, lines))):
            return
        with self.log.open("rb") as lines:
            write_atomically(self.log, (line.rstrip(b"\n") + b"\n" for line in lines if _step_of(line) <= step))

    def records(self) -> list[dict[str, Any]]:
        """The lines of the log. Raises DiagnosticError (`unreadable-file`), also where they are very many."""
        if not self.log.exists():
            return []
        lines = read_text(self.log, _LOG_LIMIT, "log").splitlines()
        return [json.loads(line) for line in lines if _step_of(line) < _NEVER]

    def _append(self, record: dict[str, Any], metrics: Mapping[str, float]) -> None:
        """Writes a line. JSON has no infinity, so a metric that is not finite is null."""
        values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        try:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**record, **values, **record}) + "\n")
        except OSError as error:
            raise unwritable(self.log, error) from None


_NEVER = 2**63


def _step_of(line: str | bytes) -> int:
    """The step of a line of the log; later than any for one that a crash cut short."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return _NEVER
    return step if isinstance(step, int) else _NEVER


def refuse_occupied(path: Path, config: RunConfig) -> None:
    """Refuses to start a run where something is already. Raises DiagnosticError (`run-exists`, `foreign-run`,
    `unwritable-file`)."""
    require_text(path)  # before a training whose network could not be exported
    try:
        occupied = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise unreadable(path, error) from None
    if not occupied:
        return
    if not (path / "config.json").is_file():
        raise fail("foreign-run", f"`{path}` holds files that are no run", help="choose another directory with `--out`")
    other = RunDirectory.open(path).config
    if other.digest == config.digest:
        help = "go on with it by `--resume`, or choose another directory with `--out`"
        raise fail("run-exists", f"`{path}` already holds a run of this network", help=help)
    raise fail(
        "foreign-run",
        f"`{path}` holds a run of another network",
        expected=f"{config.model} from `{config.file}`",
        found=f"{other.model} from `{other.file}`" + _difference(config, other),
        help="choose another directory with `--out`",
    )


def _difference(ours: RunConfig, other: RunConfig) -> str:
    if (ours.model, ours.file) != (other.model, other.file):
        return ""
    different = [key for key in other.settings if ours.settings.get(key) != other.settings[key]]
    if different:
        return f" with {', '.join(f'{key} = {other.settings[key]}' for key in different)}"
    return " as it read then"


def trained_network(path: Path, checkpoint: str | None = None, device: Device | None = None) -> BoundNetwork:
    """The trained network of the run in a directory. Raises DiagnosticError."""
    return RunDirectory.open(path).trained(checkpoint, device)
