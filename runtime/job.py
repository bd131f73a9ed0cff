"""A training from the names of things to files: what `netlang train` and `netlang eval` do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from netlang.diagnostics import DiagnosticError, fail

from ..compiler import Network, Program
from .artifacts import MANIFEST, describe_export, export
from .bound_network import BoundNetwork
from .data import DataOptions, Dataset, Table, TrainingFeed, batches, match, open_data
from .data.vocabulary import MARK_SETTINGS
from .engine import require_training
from .evaluate import Evaluator
from .files import write_json
from .initial_weights import InitialWeights, initial_weights
from .inputs import InputCheck
from .loader import open_program
from .loop import Callback, Outcome, Plan, check_plan
from .plot import plot_curves
from .run_config import RunConfig
from .run_directory import RunDirectory, refuse_occupied
from .session import Device
from .trainer import Trainer, choose_split, evaluation_split
from .variables import place_all


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train, on what, and how; `out` is the directory of the run. Either `epochs` or `steps` is needed.

    weights: the file of the weights to begin with, where they are not drawn. freeze: patterns of the names of
    parameters that are not trained.
    """

    file: str
    out: Path
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: str = "digits"
    data_options: DataOptions = field(default_factory=DataOptions)
    epochs: int | None = None
    steps: int | None = None
    batch: int = 64
    log_every: int | None = None
    evaluate_every: int | None = None
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    weights: Path | None = None
    freeze: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """How a training ended.

    state: "finished" or "interrupted". step: steps done. split, metrics: of the final evaluation, with the checkpoint
    `checkpoint`; None and empty where there is none. files: what was written for use. notes: for the user to see.
    """

    run: RunDirectory
    state: str
    step: int
    split: str | None
    metrics: Mapping[str, float]
    checkpoint: str | None
    files: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Training:
    """A training that is ready to go: everything that can be wrong with the request has been looked at.

    notes: for the user to see before it begins.
    """

    trainer: Trainer
    run: RunDirectory
    plan: Plan
    dataset: Dataset
    notes: tuple[str, ...] = ()

    def carry_out(self, callbacks: Sequence[Callback] = ()) -> Report:
        """Trains, and then evaluates, exports and draws. Raises DiagnosticError (`not-finite`, `disk-full`, …)."""
        try:
            return self._carry_out(callbacks)
        finally:
            self.run.release()

    def _carry_out(self, callbacks: Sequence[Callback]) -> Report:
        outcome = self.trainer.train(self.plan, self.dataset, callbacks)
        curves = self.run.path / "curves.png"
        note = _draw(self.run, curves)
        notes = (note,) if note else ()
        files = (curves,) if curves.exists() else ()
        if outcome.state == "interrupted":
            return Report(self.run, outcome.state, outcome.step, None, {}, None, files, notes)
        network = self.trainer.network.network
        split, metrics = self._result(network, outcome)
        files = (*_export(self.run, self.run.trained(network=network)), *files)
        return Report(self.run, outcome.state, outcome.step, split, metrics, self.run.chosen(), files, notes)

    def _result(self, network: Network, outcome: Outcome) -> tuple[str, Mapping[str, float]]:
        """The split that says most, and its metrics for the chosen checkpoint; the loop may have just found them."""
        split, table = choose_split(self.dataset)
        evaluated = evaluation_split(self.dataset)
        if outcome.metrics and evaluated and evaluated[0] == split and self.run.chosen() == "last":
            return split, outcome.metrics
        return split, _metrics(self.run, network, table, self.run.chosen(), self.trainer.engine.device)


def open_network(
    file: str, model: str | None = None, settings: Mapping[str, Any] | None = None, dataset: Dataset | None = None
) -> Network:
    """The network of a FILE argument. What `settings` leaves open, the data decides where it can (`vocab`, `classes`).

    Raises DiagnosticError.
    """
    return _network(*_open(file, model), settings or {}, dataset)


def _open(file: str, model: str | None) -> tuple[Program, str | None]:
    """The program of a FILE argument, and the model that it or `model` names, if either does."""
    program, named = open_program(file)
    if named is not None and model is not None and model != named:
        raise fail("bad-value", f"`{file}` names a model already", found=model)
    return program, model or named


def _network(
    program: Program,
    model: str | None,
    settings: Mapping[str, Any],
    dataset: Dataset | None,
    frozen: Sequence[str] = (),
) -> Network:
    known = dataset.settings if dataset else {}
    parameters = program.parameters(model)
    _check_one_vocabulary(parameters, settings, known)
    decided = {name: known[name] for name in parameters if name in known}
    return program.network(model, {**decided, **settings}, frozen)


def _check_one_vocabulary(parameters: Iterable[str], settings: Mapping[str, Any], known: Mapping[str, int]) -> None:
    """Refuses two vocabularies for a model that has one table of words."""
    if "vocab" in parameters and "vocab" not in settings and "vocab" not in known and "source_vocab" in known:
        raise fail(
            "vocabulary-mismatch",
            "the model has one vocabulary, and the data has two",
            found=f"{known['source_vocab']:,} and {known['target_vocab']:,} tokens",
            help="make one of both sides: `--tokens words`",
        )


def prepare(request: TrainingRequest) -> Training:
    """Compiles the network, reads the data, and creates the run directory. Raises DiagnosticError."""
    check_plan(request.epochs, request.steps, request.batch)
    device = Device(request.device, request.threads)
    program, model = _open(request.file, request.model)  # its mistakes are told before a long reading of data
    dataset = open_data(request.data, request.data_options)
    network = _network(program, model, request.settings, dataset, request.freeze)
    _require_settings(network, dataset)
    require_training(network)
    matched = match(dataset, network)
    if "train" not in matched.splits:
        raise fail("bad-data", f"`{request.data}` has no rows to train on")
    plan = Plan.make(
        matched.rows()["train"],
        request.batch,
        epochs=request.epochs,
        steps=request.steps,
        log_every=request.log_every,
        evaluate_every=request.evaluate_every,
    )
    config = RunConfig.of(
        network,
        seed=request.seed,
        device=device.name,
        threads=device.threads,
        steps=plan.steps,
        batch=plan.batch,
        log_every=plan.log_every,
        evaluate_every=plan.evaluate_every,
        data=request.data,
        data_options=request.data_options,
        rows=matched.rows(),
        weights=None if request.weights is None else str(request.weights),
    )
    _check_sizes(network, matched.splits["train"], plan.batch, request.seed)
    refuse_occupied(request.out, config)
    given = _given_weights(network, config)
    trainer = _beginning(network, config, given)
    trainer.run = RunDirectory.create(request.out, config, network, matched.vocabularies)
    trainer.run.hold()
    notes = (*_decided(network, dataset, request.settings), *(() if given is None else (given.note,)))
    return Training(trainer, trainer.run, plan, matched, notes)


def _require_settings(network: Network, dataset: Dataset) -> None:
    """Asks for what the model lacks. Raises DiagnosticError (`missing-argument`, …) with what the data decide."""
    try:
        network.check_settings()
    except DiagnosticError as error:
        decided = ", ".join(f"`{name}`" for name in dataset.settings) or "no setting"
        note = f"the data are `{dataset.name}`, which decide {decided}; `--data` takes others"
        missing = "missing-argument"
        raise DiagnosticError(
            *(replace(d, notes=(*d.notes, note)) if d.code == missing else d for d in error.diagnostics)
        ) from None


def _check_sizes(network: Network, table: Table, batch: int, seed: int) -> None:
    """Refuses data of sizes that the program does not allow before anything is written.

    Where rows differ in length, the last batch of an epoch is filled up to the greatest, if it is a smaller one.
    """
    check, feed = InputCheck(network.train_graph()), TrainingFeed(table, batch, seed)
    for step in {0, feed.steps_per_epoch - 1}:
        check(feed.batch(step))


def _decided(network: Network, dataset: Dataset, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """A note of the settings that the data has decided."""
    decided = {name: value for name, value in dataset.settings.items() if name not in MARK_SETTINGS}
    shown = [
        f"{name} = {value}" for name, value in decided.items() if name in network.settings and name not in settings
    ]
    return (f"{', '.join(shown)}, as the data has it",) if shown else ()


def resume(path: Path, *, data: str | None = None, epochs: int | None = None, steps: int | None = None) -> Training:
    """The training of a run directory from its last checkpoint on, or the one it has, or else from the beginning.

    `epochs` or `steps` extend the plan, which schedules follow; `data` says where the data is now. Raises
    DiagnosticError: `run-busy` where another process trains there, `changed-data` where its rows are not those that the
    run was trained on, …
    """
    run = RunDirectory.open(path)
    run.hold()
    try:
        return _resumed(run, data, epochs, steps)
    except BaseException:
        run.release()
        raise


def _resumed(run: RunDirectory, data: str | None, epochs: int | None, steps: int | None) -> Training:
    config = run.config
    if config.batch is None or config.steps is None or config.data is None:
        raise fail("bad-run", f"`{run.path}` was trained by hand, step by step", help="go on with it from Python")
    run.clear()
    checkpoint = next((name for name in ("last", "best") if run.checkpoint(name).exists()), None)
    trainer = Trainer.restore(run.path, checkpoint) if checkpoint else _afresh(run)
    dataset = match(_data_of(run, data, config.data_options), trainer.network.network)
    if dataset.rows() != config.rows:
        raise fail("changed-data", f"`{dataset.name}` is not what the run was trained on", expected=config.rows,
                   found=dataset.rows())  # fmt: skip
    if epochs is not None or steps is not None:
        run.write_config(steps=_extended(config, trainer.step_count, epochs, steps))
    plan = Plan.make(
        config.rows["train"],
        config.batch,
        steps=run.config.steps,
        log_every=config.log_every,
        evaluate_every=config.evaluate_every,
    )
    return Training(trainer, run, plan, dataset)


def _extended(config: RunConfig, done: int, epochs: int | None, steps: int | None) -> int:
    """The steps of another plan for a run. Raises DiagnosticError (`bad-value`) where it has done more than these."""
    assert config.batch is not None
    check_plan(epochs, steps, config.batch)
    planned = Plan.make(config.rows["train"], config.batch, epochs=epochs, steps=steps).steps
    if planned < done:
        help = "epochs and steps count from the beginning of the training"
        raise fail("bad-value", f"the run has done {done:,} steps already, more than {planned:,}", help=help)
    return planned


def evaluate_run(
    run: RunDirectory,
    data: str | None = None,
    *,
    options: DataOptions | None = None,
    split: str | None = None,
    checkpoint: str | None = None,
    device: Device | None = None,
) -> tuple[str, dict[str, float]]:
    """The split and the mean metrics over it, for a checkpoint of a run: "last", "best", or the one it has `chosen`.

    Without `data`, the run's own is read. Without `split`: "test", or else "validation", or else "train". Raises
    DiagnosticError.
    """
    network = run.network()
    require_training(network)
    if options is None:
        options = run.config.data_options if data is None else DataOptions()
    dataset = match(_data_of(run, data, options), network)
    name, table = choose_split(dataset, split)
    return name, _metrics(run, network, table, checkpoint or run.chosen(), device or run.device())


def _data_of(run: RunDirectory, other: str | None, options: DataOptions) -> Dataset:
    """The data of a run, or other data, read with its vocabularies.

    Raises DiagnosticError, which says what to do where the run and its data have been parted.
    """
    source = other or run.config.data
    if source is None:
        raise fail("unknown-source", f"`{run.path}` does not say what it was trained on", help="name it: `--data`")
    try:
        return open_data(source, options, run.vocabularies())
    except DiagnosticError as error:
        if other is not None or error.diagnostics[0].code not in ("unreadable-file", "unknown-source"):
            raise
        help = f"the run was trained on `{source}`: say where that is now, with `--data`"
        raise DiagnosticError(*(replace(each, help=help) for each in error.diagnostics)) from None


def _export(run: RunDirectory, network: BoundNetwork) -> tuple[Path, ...]:
    """Writes `model.onnx` into the run, and its manifest; the paths written."""
    paths = export(network, run.path / "model.onnx")
    write_json(run.path / MANIFEST, describe_export(network, paths[0]))
    return (*paths, run.path / MANIFEST)


def _draw(run: RunDirectory, path: Path) -> str | None:
    """Draws the curves of a run; what to tell the user where they cannot be, which must not cost the network."""
    try:
        return plot_curves(run.records(), path)
    except DiagnosticError as error:
        return f"no curves were drawn: {error.diagnostics[0].title}"


def _metrics(run: RunDirectory, network: Network, table: Table, checkpoint: str, device: Device) -> dict[str, float]:
    variables = run.for_inference(network, checkpoint)
    return Evaluator(network, device).run(place_all(variables, device), batches(table, run.config.batch or 64))


def _given_weights(network: Network, config: RunConfig) -> InitialWeights | None:
    return None if config.weights is None else initial_weights(network, Path(config.weights), config.seed)


def _beginning(network: Network, config: RunConfig, given: InitialWeights | None) -> Trainer:
    """A trainer that has not begun, with the weights that are given or drawn ones."""
    bound = BoundNetwork(network, None if given is None else given.arrays)
    return Trainer(bound, config.seed, config.device, config.threads, config.steps)


def _afresh(run: RunDirectory) -> Trainer:
    """The trainer of a run that was stopped before its first checkpoint."""
    network = run.network()
    trainer = _beginning(network, run.config, _given_weights(network, run.config))
    trainer.run = run
    run.forget_after(0)
    return trainer
