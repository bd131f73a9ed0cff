"""Training from Python: one step at a time, or a whole plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from netlang.diagnostics import fail

from .averages import for_inference
from .bound_network import BoundNetwork
from .checkpoint import Progress
from .data import Dataset, Table, TrainingFeed, array_dataset, batches, match, open_data
from .data.vocabulary import Vocabulary
from .engines import make_engine
from .evaluate import Evaluator
from .loop import Callback, Outcome, Plan, TrainingLoop, check_plan
from .run_config import RunConfig, network_digest
from .run_directory import RunDirectory
from .session import Device


class Trainer:
    """Trains a network.

    >>> trainer = Trainer(net, seed=0)
    >>> metrics = trainer.step(image=images, label=labels)  # one step by hand, or
    >>> outcome = trainer.fit("digits", epochs=20)

    Everything is determined by the network, the seed, the data, and on the CPU the number of threads: the same again
    gives the same weights, bit for bit, also when it was saved and restored in between. Trainers may work side by side
    in threads; one trainer and its network belong to one thread at a time.
    """

    def __init__(
        self,
        network: BoundNetwork,
        seed: int = 0,
        device: str = "cpu",
        threads: int | None = None,
        steps: int | None = None,
    ) -> None:
        """Compiles the step. The variables begin with the initial values for `seed`, a number from 0 to 2⁶³ - 1, or
        with the network's weights where those were given to it (and did not come from another trainer) or come from
        the file that a `pretrained` declaration names.

        `steps` is the planned number of steps, which schedules may need; `fit` sets it. From now on `network` has the
        weights of the trainer. Raises DiagnosticError (`no-loss`, `no-device`, `bad-value`).
        """
        if not 0 <= seed < 2**63:
            raise fail("bad-value", f"a seed is a number from 0 to 2⁶³ - 1, found {seed}")
        self.network = network
        self.engine = make_engine(network.network, Device(device, threads), seed, steps)
        self.run: RunDirectory | None = None
        self._vocabularies: Mapping[str, Vocabulary] = {}
        self._progress: Progress | None = None
        self._evaluator: Evaluator | None = None
        self._shown = -1
        self._digest: str | None = None
        chosen = network.chosen_weights
        if chosen is not None:
            self.engine.load(chosen)
        network.follow(self._changed_weights)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Trainer is neither copied nor pickled: `save` writes it, and `Trainer.restore` reads it")

    @property
    def step_count(self) -> int:
        """Steps done."""
        return self.engine.step_count

    def step(self, **arrays: Any) -> dict[str, float]:
        """One step on a batch, by the names of the `train` block's inputs: the loss as `loss`, then the reports.

        Raises DiagnosticError (`not-finite`, which leaves the trainer as it was, `missing-input`, `wrong-input`, …).
        """
        return self.engine.step(arrays)

    def fit(
        self,
        data: str | Dataset | Mapping[str, np.ndarray],
        *,
        epochs: int | None = None,
        steps: int | None = None,
        batch: int = 64,
        log_every: int | None = None,
        evaluate_every: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Outcome:
        """Trains until `epochs` or `steps` in all are done, counted from the beginning of the training.

        `data` is a source (`"digits"`, `"mnist:DIR"`), a data set, or arrays by name. It is evaluated on the
        validation split, or else the test split. Ctrl-C ends it after the step under way. Where the trainer has a run
        directory (`run`), its log and checkpoints are written. Raises DiagnosticError.
        """
        dataset = match(as_dataset(data), self.network.network)
        if "train" not in dataset.splits:
            raise fail("bad-data", f"`{dataset.name}` has no rows to train on")
        check_plan(epochs, steps, batch)
        rows = dataset.rows()["train"]
        plan = Plan.make(rows, batch, epochs=epochs, steps=steps, log_every=log_every, evaluate_every=evaluate_every)
        return self.train(plan, dataset, callbacks)

    def train(self, plan: Plan, dataset: Dataset, callbacks: Sequence[Callback] = ()) -> Outcome:
        """Trains by a plan, from wherever the trainer stands, on data already matched to the network."""
        self.engine.steps = plan.steps
        self._vocabularies = dataset.vocabularies
        feed = TrainingFeed(dataset.splits["train"], plan.batch, self.engine.seed)
        loop = TrainingLoop(
            self.engine,
            feed,
            plan,
            self.progress(plan.batch),
            evaluation=evaluation_split(dataset),
            keeper=self.run,
            callbacks=[self.run, *callbacks] if self.run else callbacks,
        )
        outcome = loop.run()
        self._progress = outcome.progress
        return outcome

    def evaluate(
        self, data: str | Dataset | Mapping[str, np.ndarray], split: str | None = None, batch: int = 64
    ) -> dict[str, float]:
        """Mean loss and reports over a split of the data: "test" where there is one, else the last it has."""
        dataset = match(as_dataset(data), self.network.network)
        table = choose_split(dataset, split)[1]
        if self._evaluator is None:
            self._evaluator = Evaluator(self.network.network, self.engine.device)
        return self._evaluator.run(self.engine.for_inference(), batches(table, batch))

    def variables(self) -> dict[str, np.ndarray]:
        """Copies of all variables by name: parameters, states, the optimizer's, and averages of parameters."""
        return self.engine.variables()

    def progress(self, batch: int | None = None) -> Progress:
        """How far the training has come, as a checkpoint records it."""
        engine, before = self.engine, self._progress
        self._digest = self._digest or network_digest(self.network.network)
        return Progress(
            engine.step_count,
            engine.seed,
            engine.steps,
            batch or (before.batch if before else None),
            self._digest,
            before.best if before else None,
            before.best_step if before else None,
            before.evaluated if before else None,
        )

    def save(self, path: str | Path) -> None:
        """Writes a run directory with the sources and a checkpoint, or a new checkpoint into this trainer's own.

        With the run go the vocabularies of the data of the last `fit`.

        Raises DiagnosticError (`run-exists`, `foreign-run`, `disk-full`, …).
        """
        path = Path(path)
        if self.run is None or self.run.path.resolve() != path.resolve():
            engine = self.engine
            device = {"device": engine.device.name, "threads": engine.device.threads}
            config = RunConfig.of(self.network.network, seed=engine.seed, steps=engine.steps, **device)
            self.run = RunDirectory.create(path, config, self.network.network, self._vocabularies)
        self.run.keep("last", self.variables(), self.progress())

    @classmethod
    def restore(
        cls, path: str | Path, checkpoint: str = "last", *, device: str | None = None, threads: int | None = None
    ) -> Trainer:
        """The trainer of a run directory as it was at a checkpoint; device and threads as then unless given.

        Raises DiagnosticError (`no-run`, `bad-run`, `no-checkpoint`, `bad-checkpoint`, `foreign-run`).
        """
        run = RunDirectory.open(Path(path))
        config = run.config
        variables, progress = run.load(checkpoint)
        own = run.network()
        network = BoundNetwork(own, {v.name: variables[v.name] for v in own.variables if v.name in variables})
        trainer = cls(network, config.seed, device or config.device, threads or config.threads, progress.steps)
        missing = next((name for name in trainer.engine.current() if name not in variables), None)
        if missing is not None:  # of the optimizer's, say, which would silently begin anew
            path = run.checkpoint(checkpoint)
            help = f"begin a new training with the weights that it has: `--weights {path}`"
            raise fail("bad-checkpoint", f"`{path}` has no `{missing}` to go on with", help=help)
        trainer.engine.load(variables)
        trainer.engine.step_count = progress.step
        trainer.run = run
        trainer._vocabularies = run.vocabularies()
        trainer._progress = progress
        run.forget_after(progress.step)
        return trainer

    def _changed_weights(self) -> dict[str, np.ndarray] | None:
        """The weights for the network to use, where steps were done since it last asked."""
        if self._shown == self.engine.changes:
            return None
        self._shown = self.engine.changes
        own = self.network.network
        values = for_inference(own, self.variables(), self.step_count)
        return {variable.name: values[variable.name] for variable in own.variables}


def as_dataset(data: str | Dataset | Mapping[str, np.ndarray]) -> Dataset:
    """A source, a data set, or arrays by name, as a data set. Raises DiagnosticError."""
    if isinstance(data, str):
        return open_data(data)
    if isinstance(data, Dataset):
        return data
    return array_dataset("arrays", {name: np.asarray(array) for name, array in data.items()})


def evaluation_split(dataset: Dataset) -> tuple[str, Table] | None:
    """The split to evaluate on while training: "validation", else "test", else none."""
    for name in ("validation", "test"):
        if name in dataset.splits:
            return name, dataset.splits[name]
    return None


def choose_split(dataset: Dataset, split: str | None = None) -> tuple[str, Table]:
    """The split asked for, or the one that says most: "test", else "validation", else "train".

    Raises DiagnosticError (`bad-value`).
    """
    for name in (split,) if split else ("test", "validation", "train"):
        if name in dataset.splits:
            return name, dataset.splits[name]
    found = ", ".join(f"`{name}`" for name in dataset.splits)
    raise fail("bad-value", f"`{dataset.name}` has no split `{split}`", help=f"it has {found}")
