"""Trains a translator of the library and the same network of torch.nn on Multi30k, side by side on the same batches.

python examples/results/translation.py multi30k --model Transformer --steps 2400 --seeds 2 --out runs/multi30k

German to English. Each has a process and a thread of its own. Both begin with the same weights; dropout is of each
one's own. From time to time the perplexity of the words of the 1,000 test sentences of 2016 is taken, and the weights
are kept in `--out`, a folder for each seed: netlang's as a run, that `bleu.py` translates with, PyTorch's as
safetensors. Ctrl-C ends both, and the seeds after them; the last test that all have done counts. A seed that `--out`
already has is not trained again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from netlang.runtime.data import Dataset, TrainingFeed, match
from netlang.runtime.loop import Event, StepDone
from pictures import COLOURS, panels, save
from safetensors.torch import save_file
from side_by_side import Course, Report, Tell, side_by_side
from torch.nn import functional
from torch_translation import PADDING, TorchSeq2Seq, TorchTransformer, TorchTranslator

import netlang as nl

Batch = dict[str, np.ndarray]
After = Callable[[int, float], None]
Logits = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Lesson:
    """A model of the library: its settings, those of its `train` block, and the same network in PyTorch."""

    settings: Mapping[str, Any]
    tokens: str
    peer: type[TorchTranslator]


LESSONS = {
    "Transformer": Lesson(
        {"vocab": 8000, "d": 256, "layers": 3, "h": 8, "ff": 512, "drop": 0.1, "warmup": 1500},
        "words:8000",
        TorchTransformer,
    ),
    "Seq2Seq": Lesson(
        {"source_vocab": 8000, "target_vocab": 6000, "d": 256, "n": 256, "drop": 0.3, "lr": 0.001},
        "words:8000,words:6000",
        TorchSeq2Seq,
    ),
}


@dataclass(frozen=True)
class Options:
    """What both trainings are told."""

    data: Path
    model: str
    batch: int
    seed: int
    test_every: int
    out: Path

    def network(self) -> nl.BoundNetwork:
        """The model with its first weights."""
        model = nl.load(f"std:{self.model}")[self.model]
        return model(seed=self.seed, threads=1, **LESSONS[self.model].settings)

    def dataset(self, network: nl.BoundNetwork) -> Dataset:
        """Multi30k as the network takes it."""
        spec = f"parallel:{self.data}/train.de.gz,{self.data}/train.en.gz"
        return match(nl.open_data(spec, tokens=LESSONS[self.model].tokens), network.network)


class NetlangSide:
    """The network as the library has it."""

    def __init__(self, options: Options, network: nl.BoundNetwork, data: Dataset) -> None:
        self._options, self._data = options, data
        self._network = network
        self._trainer = nl.Trainer(network, seed=options.seed, threads=1)

    def train(self, steps: int, after: After) -> None:
        """Calls `after` with each step and its loss."""

        def tell(event: Event) -> None:
            if isinstance(event, StepDone):
                after(event.step, event.metrics["loss"])

        batch = self._options.batch
        self._trainer.fit(self._data, steps=steps, batch=batch, evaluate_every=10**9, callbacks=[tell])

    def logits(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """As the weights now are."""
        return np.asarray(self._network.forward(source, target))

    def save(self, step: int) -> None:
        """Keeps the weights, and with them what translating needs."""
        self._trainer.save(self._options.out / f"netlang-{step}")


class TorchSide:
    """The same network of torch.nn."""

    def __init__(self, options: Options, network: nl.BoundNetwork, data: Dataset) -> None:
        torch.manual_seed(options.seed)
        lesson = LESSONS[options.model]
        self._options = options
        self._model = lesson.peer(lesson.settings)
        self._model.begin_with(network.weights)
        self._feed = TrainingFeed(data.splits["train"], options.batch, options.seed)

    def train(self, steps: int, after: After) -> None:
        """Calls `after` with each step and its loss."""
        training_step = self._model.training_step()
        for step in range(steps):
            self._model.train()
            after(step + 1, training_step(self._feed.batch(step)))

    @torch.no_grad()
    def logits(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """As the weights now are."""
        self._model.eval()
        return self._model(torch.from_numpy(source), torch.from_numpy(target)).numpy()

    def save(self, step: int) -> None:
        """Keeps the weights."""
        save_file(self._model.state_dict(), self._options.out / f"torch-{step}.safetensors")


SIDES = {"netlang": NetlangSide, "PyTorch": TorchSide}


def work(name: str, steps: int, tell: Tell, options: Options) -> None:
    """Trains one side, and tells of each step. Runs in a process of its own."""
    torch.set_num_threads(1)
    network = options.network()
    data = options.dataset(network)
    test = test_batches(data)
    side = SIDES[name](options, network, data)
    tested_for = 0.0

    def after(step: int, loss: float) -> None:
        nonlocal tested_for
        seconds, found = time.process_time(), None
        if step % options.test_every == 0 or step == steps:
            side.save(step)
            found = perplexity(side.logits, test)
        tell(Report(name, step, loss, seconds - tested_for, found))
        tested_for += time.process_time() - seconds

    side.train(steps, after)


def test_batches(data: Dataset) -> list[Batch]:
    """The test sentences, those of similar length together."""
    table = data.splits["test"]
    order = np.argsort(table.take(table.sequence())["source"].astype(bool).sum(1), kind="stable")
    return [table.take(part) for part in np.array_split(order, 20)]


def perplexity(logits_of: Logits, batches: list[Batch]) -> float:
    """Of each word and each end of the sentences, given the words before it."""
    total, count = 0.0, 0
    for batch in batches:
        logits = torch.from_numpy(logits_of(batch["source"], batch["target"][:, :-1])).flatten(0, 1)
        answer = torch.from_numpy(batch["target"][:, 1:]).flatten()
        total += functional.cross_entropy(logits, answer, ignore_index=PADDING, reduction="sum").item()
        count += int((answer != PADDING).sum())
    return math.exp(total / count)


def trained(steps: int, options: Options) -> dict[str, Course]:
    """Both trainings of a seed: run now, or read from where they are kept. Raises SystemExit for half a training."""
    kept = options.out / "courses.json"
    if kept.exists():
        return {name: read_course(told) for name, told in json.loads(kept.read_text("utf-8")).items()}
    if options.out.exists():
        raise SystemExit(f"{options.out} holds a training that was cut off; move it away or name another --out")
    options.out.mkdir(parents=True)
    courses = side_by_side(work, list(SIDES), steps, options)
    kept.write_text(json.dumps({name: asdict(course) for name, course in courses.items()}), "utf-8")
    return courses


def read_course(told: dict[str, Any]) -> Course:
    """What `asdict` wrote; JSON knows no whole numbers as keys."""
    return Course(**told | {"tested": {int(step): figure for step, figure in told["tested"].items()}})


def last_test(seeds: Sequence[Mapping[str, Course]]) -> int:
    """The last step after which every training of every seed was tested. Raises SystemExit where there is none."""
    common = set.intersection(*(set(course.tested) for courses in seeds for course in courses.values()))
    if not common:
        raise SystemExit("no test was done")
    return max(common)


def report(seeds: Sequence[Mapping[str, Course]]) -> list[str]:
    """Each side's perplexity: the mean over the seeds, and its deviation where there are several."""
    step, lines = last_test(seeds), []
    for name in SIDES:
        tested = np.array([courses[name].tested[step] for courses in seeds])
        seconds = np.mean([courses[name].seconds / len(courses[name].losses) for courses in seeds])
        spread = "" if len(tested) == 1 else f" ± {tested.std(ddof=1):.3f}, {len(tested)} seeds"
        each = ", ".join(f"{figure:.3f}" for figure in tested)
        lines.append(
            f"{name}: perplexity {tested.mean():.3f}{spread} ({each}) after {step:,} steps "
            f"of {seconds:.3f} processor seconds"
        )
    return lines


def draw(seeds: Sequence[Mapping[str, Course]], path: Path) -> None:
    """The losses of training and the perplexities of the test, by step: a line for each seed."""
    figure, (losses, tests) = panels(2)
    for name, colour, line in zip(SIDES, COLOURS, ("-", "--"), strict=False):
        for number, courses in enumerate(seeds):
            course, label = courses[name], name if number == 0 else None
            width = min(50, len(course.losses))
            smooth = np.convolve(course.losses, np.ones(width) / width, "valid")
            losses.plot(
                range(width, len(course.losses) + 1), smooth, color=colour, label=label, linestyle=line, linewidth=1
            )
            steps, figures = list(course.tested), list(course.tested.values())
            tests.plot(steps, figures, f"o{line}", color=colour, label=label, markersize=3, linewidth=1)
    losses.set_title("loss on Multi30k, mean of 50 steps", loc="left", fontsize=11)
    tests.set_title("perplexity of the test sentences", loc="left", fontsize=11)
    tests.set_yscale("log")
    for formatter in (tests.yaxis.set_major_formatter, tests.yaxis.set_minor_formatter):
        formatter("{x:g}")
    for panel in (losses, tests):
        panel.set_xlim(0, last_test(seeds) * 1.02)
        panel.set_xlabel("step")
        panel.legend(frameon=False)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with train.de.gz, train.en.gz, …")
    parser.add_argument("--model", choices=LESSONS, default="Transformer")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=1, metavar="COUNT", help="one after the other, from seed 0")
    parser.add_argument("--test-every", type=int, default=400, metavar="STEPS")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the weights")
    parser.add_argument("--picture", type=Path, default=Path("translation.png"))
    given = parser.parse_args()
    seeds = []
    for seed in range(given.seeds):
        folder = given.out / f"seed-{seed}"
        options = Options(given.data, given.model, given.batch, seed, given.test_every, folder)
        seeds.append(trained(given.steps, options))
        if min(len(course.losses) for course in seeds[-1].values()) < given.steps:
            break  # Ctrl-C
    print("\n".join(report(seeds)))
    draw(seeds, given.picture)


if __name__ == "__main__":
    main()
