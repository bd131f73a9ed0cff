"""Whole trainings: stopped and resumed to the bit, logged, kept, and refused where they would destroy something."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from netlang.runtime import job
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.checkpoint import load_checkpoint
from netlang.runtime.data import DataOptions
from netlang.runtime.job import Report, TrainingRequest, evaluate_run, prepare, resume
from netlang.runtime.loop import Evaluated, Event, Logged, Plan, Saved, StepDone
from netlang.runtime.run_directory import RunDirectory
from netlang.runtime.trainer import Trainer

import netlang as nl
from netlang.diagnostics import Diagnostic, DiagnosticError

CLASSIFIER = """
use "./blocks.net": hidden

model Classifier(classes: int, drop: float = 0.2)(image: f32[batch, 1, 8, 8]) -> f32[batch, classes] {
  return image |> flatten |> hidden(16) |> dropout(drop) |> linear(classes)
}
train Classifier(lr: float = 1e-2) {
  in label: i64[batch]
  logits = forward(image)
  minimize cross_entropy(logits, label)
  report accuracy(logits, label)
  optimizer adam(cosine(lr, warmup = 5))
}
"""
BLOCKS = """
use std.layers: linear

layer hidden(n: int)(x: f32[b, i]) -> f32[b, n] { return x |> linear(n) |> relu }
"""


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., TrainingRequest]:
    """`request_for("a", **changes)`: to train a small classifier on 100 digits, 4 batches an epoch, into `a`."""
    (tmp_path / "model.net").write_text("use std.layers: linear, dropout\n" + CLASSIFIER)
    (tmp_path / "blocks.net").write_text(BLOCKS)

    def make(out: str = "run", **changes: object) -> TrainingRequest:
        values: dict[str, object] = {
            "file": str(tmp_path / "model.net"),
            "out": tmp_path / out,
            "data_options": DataOptions(limit=100),
            "epochs": 5,
            "batch": 32,
            "seed": 7,
            "threads": 1,
        }
        return TrainingRequest(**{**values, **changes})  # type: ignore[arg-type]

    return make


Requests = Callable[..., TrainingRequest]


def interrupt_at(step: int, number: int = signal.SIGINT) -> Callable[[Event], None]:
    """A callback that sends a signal to this process when a step is done."""

    def callback(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == step:
            os.kill(os.getpid(), number)

    return callback


def variables(report: Report, name: str = "last") -> dict[str, np.ndarray]:
    return report.run.load(name)[0]


def refused(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.mark.parametrize("stops", [[1], [4], [7, 8], [3, 10, 19]])  # within epochs of 4 steps and at their ends
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(request_for: Requests, stops: list[int]) -> None:
    whole = prepare(request_for("whole")).carry_out()
    training = prepare(request_for("parts"))
    for step in stops:
        report = training.carry_out([interrupt_at(step)])
        assert (report.state, report.step) == ("interrupted", step)
        training = resume(report.run.path)
    report = training.carry_out()
    assert (report.state, report.step) == ("finished", 20)
    for checkpoint in ("last", "best"):
        expected, found = variables(whole, checkpoint), variables(report, checkpoint)
        assert expected.keys() == found.keys()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert report.metrics == whole.metrics
    assert report.run.load("last")[1] == whole.run.load("last")[1]
    evaluations = [
        [record for record in run.records() if record["kind"] == "evaluation"] for run in (whole.run, report.run)
    ]
    assert evaluations[0] == evaluations[1]
    assert [record["step"] for record in report.run.records()] == sorted(
        record["step"] for record in report.run.records()
    )


def test_what_came_after_the_last_checkpoint_is_done_again(request_for: Requests) -> None:
    """As after a kill: the checkpoint is of an earlier step than the log."""
    whole = prepare(request_for("whole", log_every=1)).carry_out()
    report = prepare(request_for("parts", log_every=1)).carry_out([interrupt_at(6)])
    early = report.run.checkpoint("last").read_bytes()
    resume(report.run.path).carry_out([interrupt_at(11)])
    report.run.checkpoint("last").write_bytes(early)
    with report.run.log.open("a") as log:
        log.write('{"kind": "train", "step": 12, "lo')  # cut short in the middle of a line
    report = resume(report.run.path).carry_out()
    assert [r["step"] for r in report.run.records() if r["kind"] == "train"] == list(range(1, 21))
    for name, array in variables(whole).items():
        np.testing.assert_array_equal(variables(report)[name], array)


def test_a_run_killed_before_its_first_checkpoint_begins_again(request_for: Requests) -> None:
    whole = prepare(request_for("whole")).carry_out()
    run = prepare(request_for("parts")).run  # prepared, and nothing more
    run.release()  # as the end of its process does
    report = resume(run.path).carry_out()
    for name, array in variables(whole).items():
        np.testing.assert_array_equal(variables(report)[name], array)


def test_a_terminated_run_saves_as_well(request_for: Requests) -> None:
    report = prepare(request_for()).carry_out([interrupt_at(2, signal.SIGTERM)])
    assert (report.state, report.run.load("last")[1].step) == ("interrupted", 2)


def test_an_evaluation_that_was_interrupted_is_made_up_for(request_for: Requests) -> None:
    """A signal at the step before an evaluation stops the evaluation; the resumed run begins with it."""
    whole = prepare(request_for("whole")).carry_out()
    report = prepare(request_for("parts")).carry_out([interrupt_at(4)])
    assert not [record for record in report.run.records() if record["kind"] == "evaluation"]
    events: list[Event] = []
    report = resume(report.run.path).carry_out([events.append])
    first = next(event for event in events if isinstance(event, Evaluated))
    assert first.step == 4
    assert report.run.load("last")[1] == whole.run.load("last")[1]


def test_extending_a_finished_run(request_for: Requests) -> None:
    report = prepare(request_for(epochs=1)).carry_out()
    assert report.step == 4
    assert resume(report.run.path).carry_out().step == 4
    assert resume(report.run.path, epochs=3).carry_out().step == 12
    assert RunDirectory.open(report.run.path).config.steps == 12
    diagnostic = refused(lambda: resume(report.run.path, steps=11))
    assert (diagnostic.code, diagnostic.title) == ("bad-value", "the run has done 12 steps already, more than 11")
    assert RunDirectory.open(report.run.path).config.steps == 12


def test_the_run_directory_holds_all_that_is_needed(request_for: Requests, tmp_path: Path) -> None:
    report = prepare(request_for()).carry_out()
    names = sorted(str(path.relative_to(report.run.path)) for path in report.run.path.rglob("*") if path.is_file())
    assert [name for name in names if not name.startswith("sources")] == [
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
        "config.json",
        "curves.png",
        "log.jsonl",
        "manifest.json",
        "model.onnx",
        "vocabulary.json",
    ]
    assert all(path.exists() for path in report.files)
    for name in ("model.net", "blocks.net"):
        (tmp_path / name).unlink()  # the run has copies
    split, metrics = evaluate_run(RunDirectory.open(report.run.path))
    assert (split, metrics) == (report.split, report.metrics)
    assert report.run.trained().forward(np.zeros((2, 1, 8, 8), np.float32)).shape == (2, 10)


def test_the_log_says_what_happened(request_for: Requests) -> None:
    events: list[Event] = []
    report = prepare(request_for(log_every=2, evaluate_every=8)).carry_out([events.append])
    records = [json.loads(line) for line in report.run.log.read_text().splitlines()]
    assert [r["step"] for r in records if r["kind"] == "train"] == list(range(2, 21, 2))
    assert [(r["step"], r["split"]) for r in records if r["kind"] == "evaluation"] == [
        (8, "validation"),
        (16, "validation"),
        (20, "validation"),
    ]
    assert records[0].keys() == {"kind", "step", "epoch", "loss", "accuracy", "rows_per_second"}
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.rows for event in steps] == [32, 32, 32, 4] * 5
    logged = [event for event in events if isinstance(event, Logged)]
    expected = (steps[2].metrics["loss"] * 32 + steps[3].metrics["loss"] * 4) / 36  # weighted by rows
    assert logged[1].metrics["loss"] == pytest.approx(expected)
    assert [event.name for event in events if isinstance(event, Saved)][-1] == "last"


def test_best_is_the_checkpoint_of_the_lowest_validation_loss(request_for: Requests) -> None:
    events: list[Event] = []
    report = prepare(request_for(epochs=30, settings={"lr": 0.3})).carry_out([events.append])
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    lowest = min(evaluated, key=lambda event: event.metrics["loss"])
    assert lowest.step < report.step  # such a rate makes it worse again
    _, progress = report.run.load("best")
    assert (progress.step, progress.best, progress.best_step) == (lowest.step, lowest.metrics["loss"], lowest.step)
    assert report.checkpoint == "best"
    _, metrics = evaluate_run(report.run, split="validation", checkpoint="best")
    assert metrics == pytest.approx(dict(lowest.metrics))


def test_test_data_does_not_choose_the_checkpoint(request_for: Requests, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, rows in (("train", 40), ("test", 20)):
        arrays[f"image_{split}"] = rng.random((rows, 1, 8, 8), np.float32)
        arrays[f"label_{split}"] = rng.integers(0, 10, rows)
    np.savez(tmp_path / "a.npz", **arrays)
    report = prepare(request_for(data=str(tmp_path / "a.npz"), settings={"classes": 10})).carry_out()
    assert (report.split, report.checkpoint) == ("test", "last")


def test_a_loss_that_is_not_finite_leaves_the_checkpoint_before(request_for: Requests, tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((40, 1, 8, 8), np.float32)
    label = np.arange(40) % 10
    np.savez(tmp_path / "a.npz", image=image, label=label)
    request = request_for(data=str(tmp_path / "a.npz"), batch=10, evaluate_every=2, settings={"classes": 10})
    training = prepare(request)

    def poison(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            image_buffer = training.dataset.splits["train"]._table._arrays["image"]  # type: ignore[attr-defined]
            image_buffer[:] = np.nan

    def save(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 2:
            training.trainer.run.keep("last", training.trainer.variables(), training.trainer.progress(10))  # type: ignore[union-attr]

    diagnostic = refused(lambda: training.carry_out([poison, save]))
    assert diagnostic.code == "not-finite"
    assert diagnostic.title == "the loss is nan at step 3"
    assert "out of the data" in (diagnostic.help or "")
    variables, progress = training.run.load("last")
    assert progress.step == 2
    assert all(np.isfinite(array).all() for array in variables.values())


@pytest.mark.parametrize(
    ("occupy", "changes", "code"),
    [
        ("run", {}, "run-exists"),
        ("run", {"settings": {"drop": 0.5}}, "foreign-run"),
        ("file", {}, "foreign-run"),
        ("damaged", {}, "bad-run"),
    ],
)
def test_nothing_is_overwritten(request_for: Requests, occupy: str, changes: dict[str, object], code: str) -> None:
    request = request_for(**changes)
    if occupy == "file":
        request.out.mkdir()
        (request.out / "thesis.tex").write_text("years of work")
    else:
        prepare(request_for(epochs=1)).carry_out()
    if occupy == "damaged":
        (request.out / "config.json").write_text("{")
    before = {path: path.read_bytes() for path in request.out.rglob("*") if path.is_file()}
    assert refused(lambda: prepare(request)).code == code
    assert {path: path.read_bytes() for path in request.out.rglob("*") if path.is_file()} == before


def test_a_run_of_another_network_is_described(request_for: Requests) -> None:
    prepare(request_for(epochs=1)).carry_out()
    diagnostic = refused(lambda: prepare(request_for(settings={"drop": 0.5})))
    assert (diagnostic.found or "").endswith("with drop = 0.2")


def test_a_checkpoint_of_another_run_is_refused(request_for: Requests) -> None:
    first = prepare(request_for("a", epochs=1)).carry_out()
    second = prepare(request_for("b", epochs=1, settings={"drop": 0.5})).carry_out()
    second.run.checkpoint("last").write_bytes(first.run.checkpoint("last").read_bytes())
    assert refused(lambda: resume(second.run.path)).code == "foreign-run"


def test_data_that_changed_is_noticed(request_for: Requests) -> None:
    run = prepare(request_for()).carry_out([interrupt_at(2)]).run
    run.write_config(data_options=DataOptions(limit=50))
    assert refused(lambda: resume(run.path)).code == "changed-data"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"epochs": None}, "bad-value"),
        ({"steps": 5}, "bad-value"),
        ({"epochs": 0}, "bad-value"),
        ({"batch": 0}, "bad-value"),
        ({"device": "tpu"}, "no-device"),
        ({"data": "nowhere"}, "unknown-source"),
        ({"file": "nowhere.net"}, "unreadable-file"),
        ({"model": "Clasifier"}, "unknown-model"),
        ({"settings": {"clases": 3}}, None),
        ({"settings": {"classes": 3}}, "index-out-of-range"),
    ],
)
def test_a_request_that_cannot_be_met_leaves_no_directory(
    request_for: Requests, changes: dict[str, object], code: str | None
) -> None:
    request = request_for(**changes)
    diagnostic = refused(lambda: prepare(request))
    assert code is None or diagnostic.code == code
    assert not request.out.exists()


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_a_directory_that_is_no_run(tmp_path: Path, path: str) -> None:
    assert refused(lambda: resume(tmp_path / path)).code == "no-run"


def test_training_from_python_saves_and_restores(classifier: Callable[..., BoundNetwork], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    batches = [{"image": rng.random((8, 1, 8, 8), np.float32), "label": rng.integers(0, 10, 8)} for _ in range(6)]
    whole = Trainer(classifier(), seed=5, threads=1, steps=6)
    for batch in batches:
        whole.step(**batch)
    first = Trainer(classifier(), seed=5, threads=1, steps=6)
    for batch in batches[:3]:
        first.step(**batch)
    first.save(tmp_path / "run")
    second = Trainer.restore(tmp_path / "run")
    for batch in batches[3:]:
        second.step(**batch)
    for name, array in whole.variables().items():
        np.testing.assert_array_equal(second.variables()[name], array)
    second.save(tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.safetensors")[1].step == 6
    assert refused(lambda: whole.save(tmp_path / "run")).code == "run-exists"


def test_a_run_saved_from_python_keeps_the_vocabulary_of_its_data(tmp_path: Path) -> None:
    (tmp_path / "writer.net").write_text(WRITER)
    (tmp_path / "story.txt").write_text("abc cab bac " * 40)
    data = nl.open_data(f"text:{tmp_path / 'story.txt'}", length=8)
    trainer = nl.Trainer(nl.load(tmp_path / "writer.net")["Writer"](), seed=0, threads=1)
    trainer.fit(data, steps=2, batch=4)
    for out in ("first", "second"):
        trainer.save(tmp_path / out)
        assert RunDirectory.open(tmp_path / out).vocabularies() == data.vocabularies
        trainer = nl.Trainer.restore(tmp_path / out)
    assert "".join(data.vocabularies["tokens"].tokens) == " abc"


WRITER = """
use std.layers: linear, embedding

model Writer(vocab: int = 4)(tokens: i64[batch, t]) -> f32[batch, t, vocab] {
  return tokens |> embedding(vocab, 4) |> linear(vocab)
}

train Writer {
  in target: i64[batch, t]
  minimize cross_entropy(forward(tokens), target)
  optimizer sgd(0.1)
}
"""


def test_the_network_follows_its_trainer(classifier: Callable[..., BoundNetwork]) -> None:
    net = classifier()
    image = np.random.default_rng(0).random((4, 1, 8, 8), np.float32)
    before = net.forward(image)
    trainer = Trainer(net, steps=10)
    np.testing.assert_array_equal(net.forward(image), before)  # the same seed, and no step yet
    trainer.step(image=image, label=np.arange(4))
    after = net.forward(image)
    assert not np.array_equal(after, before)
    np.testing.assert_array_equal(net.forward(image), after)
    np.testing.assert_array_equal(net.parameters["linear.weight"], trainer.variables()["linear.weight"])


def test_fit_takes_sources_and_arrays(classifier: Callable[..., BoundNetwork]) -> None:
    trainer = Trainer(classifier())
    outcome = trainer.fit("digits", epochs=2, batch=64)
    assert outcome.state == "finished" and outcome.step == 40
    assert trainer.evaluate("digits")["accuracy"] > 0.5
    arrays = {"image": np.zeros((10, 1, 8, 8), np.float32), "label": np.arange(10)}
    assert trainer.fit(arrays, steps=42, batch=5).step == 42
    assert refused(lambda: trainer.fit(arrays)).code == "bad-value"


@pytest.mark.parametrize(
    ("how", "steps", "log_every", "evaluate_every"),
    [
        ({"epochs": 10}, 200, 1, 20),
        ({"epochs": 1000}, 20_000, 100, 200),
        ({"epochs": 1}, 20, 1, 2),
        ({"steps": 1}, 1, 1, 1),
        ({"steps": 2000}, 2000, 10, 20),
        ({"steps": 2000, "log_every": 7, "evaluate_every": 3}, 2000, 7, 3),
    ],
)
def test_plans(how: dict[str, int], steps: int, log_every: int, evaluate_every: int) -> None:
    plan = Plan.make(1257, 64, **how)
    assert (plan.steps, plan.log_every, plan.evaluate_every) == (steps, log_every, evaluate_every)
    assert plan.steps_per_epoch == 20 and plan.epoch(50) == 2.5


def test_without_matplotlib_there_is_a_note_and_all_the_rest(
    request_for: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    report = prepare(request_for(epochs=1)).carry_out()
    assert len(report.notes) == 1 and "netlang[plot]" in report.notes[0]
    assert report.state == "finished" and (report.run.path / "model.onnx").exists()
    assert job.MANIFEST == "manifest.json"


def test_training_goes_on_from_weights_that_the_network_was_given(
    classifier: Callable[..., BoundNetwork], tmp_path: Path
) -> None:
    source = classifier()
    Trainer(source).fit("digits", epochs=3)
    trained = dict(source.weights)
    net = classifier()
    net.weights = trained
    trainer = Trainer(net, seed=9)
    np.testing.assert_array_equal(trainer.variables()["linear.weight"], trained["linear.weight"])
    trainer.save(tmp_path / "run")
    found = nl.load_run(tmp_path / "run")
    np.testing.assert_array_equal(found.weights["linear.weight"], trained["linear.weight"])
    assert Trainer(found).evaluate("digits")["accuracy"] > 0.5
    # A new trainer of a network that was only trained, and given nothing, begins anew.
    np.testing.assert_array_equal(Trainer(source).variables()["linear.weight"], classifier().weights["linear.weight"])


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_graph_can_hold(classifier: Callable[..., BoundNetwork], seed: int) -> None:
    assert refused(lambda: Trainer(classifier(), seed=seed)).code == "bad-value"


def test_the_test_part_chooses_no_checkpoint(request_for: Requests, tmp_path: Path) -> None:
    digits = nl.open_data("digits").splits
    arrays = {f"{name}_{split}": digits[split].take(range(100))[name] for split in ("train", "test")
              for name in ("image", "label")}  # fmt: skip
    np.savez(tmp_path / "parts.npz", **arrays)
    events: list[Event] = []
    report = prepare(request_for(data=f"npz:{tmp_path / 'parts.npz'}", settings={"classes": 10})).carry_out(
        [events.append]
    )
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [(event.split, event.best) for event in evaluated] == [("test", False)] * 5
    assert [path.name for path in (report.run.path / "checkpoints").iterdir()] == ["last.safetensors"]


def test_a_metric_that_is_not_finite_is_null_in_the_log_and_never_best(request_for: Requests) -> None:
    run = prepare(request_for()).run
    run(Evaluated(4, 1.0, "validation", {"loss": float("inf"), "step": 3.0}, False))
    run(Logged(6, 1.5, {"loss": 1.0}, 10.0))
    assert run.records() == [
        {"kind": "evaluation", "split": "validation", "step": 4, "epoch": 1.0, "loss": None},
        {"kind": "train", "step": 6, "epoch": 1.5, "rows_per_second": 10.0, "loss": 1.0},
    ]
    assert job.plot_curves(run.records(), run.path / "curves.png") is None
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_resuming_from_the_best_checkpoint_where_the_last_is_damaged(request_for: Requests) -> None:
    whole = prepare(request_for("whole")).carry_out()
    report = prepare(request_for("parts")).carry_out([interrupt_at(14)])
    report.run.checkpoint("last").write_bytes(b"damaged")
    assert refused(lambda: resume(report.run.path)).code == "bad-checkpoint"
    report.run.checkpoint("last").unlink()
    best = report.run.load("best")[1].step
    training = resume(report.run.path)
    assert training.trainer.step_count == best
    report = training.carry_out()
    for name, array in variables(whole).items():
        np.testing.assert_array_equal(variables(report)[name], array)
