"""Run directories that others wrote, that a crash cut short, or that grew without bound."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from netlang.runtime import run_directory
from netlang.runtime.artifacts import compile_network, export
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.checkpoint import load_tensors, save_tensors
from netlang.runtime.data import DataOptions
from netlang.runtime.job import TrainingRequest, evaluate_run, prepare, resume
from netlang.runtime.records import from_json
from netlang.runtime.run_config import RunConfig
from netlang.runtime.trainer import Trainer

from netlang.diagnostics import Diagnostic, DiagnosticError

EXAMPLES = Path(__file__).parents[2] / "examples"

GOOD = asdict(
    RunConfig(
        file="a.net",
        model="A",
        settings={"classes": 10},
        digest="d",
        sources={"a.net": "00-a.net"},
        seed=1,
        steps=9,
        batch=4,
        data="digits",
        data_options=DataOptions(limit=50),
    )
)


def refused(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def read(folder: Path, content: object) -> RunConfig:
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return RunConfig.read(path)


def test_a_configuration_comes_back_as_it_was(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert asdict(found) == GOOD
    assert found.data_options == DataOptions(limit=50)


def test_what_a_later_version_added_is_left_out(tmp_path: Path) -> None:
    options = {**GOOD["data_options"], "shards": 3}
    assert asdict(read(tmp_path, {**GOOD, "data_options": options, "cluster": [1, 2]})) == GOOD


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"batch": "64"}, "`batch` cannot be '64'"),
        ({"batch": 0}, "`batch` cannot be 0"),
        ({"steps": 1.5}, "`steps` cannot be 1.5"),
        ({"seed": 2**63}, "`seed` cannot be 9223372036854775808"),
        ({"seed": True}, "`seed` cannot be True"),
        ({"model": None}, "`model` cannot be None"),
        ({"rows": {"train": "many"}}, "`rows` cannot be {'train': 'many'}"),
        ({"frozen": ["a.*", 3]}, "`frozen` cannot be ['a.*', 3]"),
        ({"data_options": 7}, "`data_options` cannot be 7"),
        ({"data_options": {"limit": "few"}}, "`limit` cannot be 'few'"),
        ({"sources": {"a.net": "../../secret.txt"}}, "a copy of a source cannot be at `../../secret.txt`"),
    ],
    ids=str,
)
def test_a_field_of_another_type_is_told(tmp_path: Path, change: dict[str, Any], title: str) -> None:
    diagnostic = refused(lambda: read(tmp_path, {**GOOD, **change}))
    assert diagnostic.code == "bad-run"
    assert diagnostic.title.endswith(f"config.json` is damaged: {title}")


@pytest.mark.parametrize("content", ["", "[]", "null", '{"file": ' + "[" * 100_000, '{"seed": 1' + "0" * 9_000 + "}"])
def test_what_is_no_configuration(tmp_path: Path, content: str) -> None:
    assert refused(lambda: read(tmp_path, content)).code == "bad-run"


def test_a_run_of_another_format(tmp_path: Path) -> None:
    title = refused(lambda: read(tmp_path, {**GOOD, "format": 2, "seed": "another kind of seed"})).title
    assert title == f"`{tmp_path}` is a run of another version of netlang"


@dataclass
class Inner:
    rate: float | None = None


@dataclass
class Outer:
    names: list[str]
    inner: Inner = field(default_factory=Inner)


def test_records() -> None:
    assert from_json(Outer, {"names": ["a"], "inner": {"rate": 1}}) == Outer(["a"], Inner(1))
    for values, message in (
        (3, "no fields"),
        ({}, "does not say `names`"),
        ({"names": "ab"}, "`names` cannot be 'ab'"),
    ):
        with pytest.raises(ValueError, match=message):
            from_json(Outer, values)


def changed_checkpoint(path: Path, **progress: object) -> None:
    """Writes a checkpoint again, with other things about its progress."""
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors, {**metadata, **progress})


@pytest.fixture
def saved(classifier: Callable[..., BoundNetwork], tmp_path: Path) -> Path:
    """A run that was saved after two steps."""
    trainer = Trainer(classifier(), threads=1, steps=4)
    for _ in range(2):
        trainer.step(image=np.ones((4, 1, 8, 8), np.float32), label=np.arange(4))
    trainer.save(tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("change", [{"step": "2"}, {"step": -1}, {"digest": None}, {"best": [1]}, {"format": 9}])
def test_a_checkpoint_whose_progress_makes_no_sense(saved: Path, change: dict[str, object]) -> None:
    changed_checkpoint(saved / "checkpoints" / "last.safetensors", **change)
    assert refused(lambda: Trainer.restore(saved)).code == "bad-checkpoint"


def test_a_checkpoint_without_the_state_of_the_optimizer_does_not_begin_that_anew(saved: Path) -> None:
    path = saved / "checkpoints" / "last.safetensors"
    tensors, metadata = load_tensors(path)
    name = next(name for name in tensors if name.startswith("optimizer."))
    save_tensors(path, {key: array for key, array in tensors.items() if key != name}, metadata)
    diagnostic = refused(lambda: Trainer.restore(saved))
    assert (diagnostic.code, diagnostic.title) == ("bad-checkpoint", f"`{path}` has no `{name}` to go on with")
    assert f"--weights {path}" in (diagnostic.help or "")


def request(out: Path, **more: Any) -> TrainingRequest:
    """To train a plane for four steps."""
    file, data = (EXAMPLES / f"linear_regression.{kind}" for kind in ("net", "csv"))
    return TrainingRequest(file=str(file), out=out, data=f"csv:{data}", steps=4, batch=8, threads=1, **more)


def test_a_log_that_a_crash_left_with_zeros_is_gone_on_with(tmp_path: Path) -> None:
    run = prepare(request(tmp_path / "run", log_every=1)).carry_out().run
    with run.log.open("ab") as log:
        log.write(b'{"kind": "train", "st\0\0\0\n[1]\n{"step": 1e999}\n' + b"[" * 100_000)
    report = resume(run.path, steps=6).carry_out()
    assert [record["step"] for record in report.run.records() if record["kind"] == "train"] == [1, 2, 3, 4, 5, 6]


def test_a_log_that_a_crash_cut_off_before_the_end_of_a_line_keeps_that_line(tmp_path: Path) -> None:
    run = prepare(request(tmp_path / "run", log_every=1)).carry_out().run
    run.log.write_bytes(run.log.read_bytes().rstrip(b"\n"))
    report = resume(run.path, steps=6).carry_out()
    assert [record["step"] for record in report.run.records() if record["kind"] == "train"] == [1, 2, 3, 4, 5, 6]


def test_a_run_that_was_parted_from_its_data_asks_for_them(tmp_path: Path) -> None:
    data = tmp_path / "plane.csv"
    data.write_bytes((EXAMPLES / "linear_regression.csv").read_bytes())
    run = prepare(replace(request(tmp_path / "run"), data=f"csv:{data}")).carry_out().run
    moved = data.rename(tmp_path / "elsewhere.csv")
    for use in (lambda: resume(run.path), lambda: evaluate_run(run)):
        diagnostic = refused(use)
        assert diagnostic.code == "unreadable-file"
        assert diagnostic.help == f"the run was trained on `csv:{data}`: say where that is now, with `--data`"
    assert evaluate_run(run, f"csv:{moved}")[1]["loss"] > 0
    assert resume(run.path, data=f"csv:{moved}").carry_out().step == 4


@pytest.mark.parametrize("full_at", ["01-std.layers.net", "config.json"])
def test_a_disk_that_is_full_at_the_beginning_leaves_no_half_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    rename = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == full_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        assert refused(lambda: prepare(request(tmp_path / "run"))).code == "disk-full"
    assert list(tmp_path.iterdir()) == []
    prepare(request(tmp_path / "run"))


def test_resuming_takes_away_the_checkpoint_that_a_kill_cut_short(tmp_path: Path) -> None:
    run = prepare(request(tmp_path / "run")).carry_out().run
    (run.path / "checkpoints" / ".last.safetensors.a8x_q.tmp").write_bytes(bytes(1000))
    resume(run.path, steps=6).carry_out()
    assert sorted(item.name for item in (run.path / "checkpoints").iterdir()) == ["last.safetensors"]


def test_a_log_too_long_to_draw_costs_only_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_directory, "_LOG_LIMIT", 100)
    report = prepare(request(tmp_path / "run", log_every=1)).carry_out()
    assert any(note.startswith("no curves were drawn: ") for note in report.notes)
    assert (tmp_path / "run" / "model.onnx") in report.files
    assert resume(tmp_path / "run", steps=6).carry_out().step == 6


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there alone")
def test_a_folder_whose_name_onnx_cannot_read_is_refused_before_the_training(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    assert refused(lambda: prepare(request(folder / "run"))).code == "unwritable-file"
    network = BoundNetwork(prepare(request(tmp_path / "run")).trainer.network.network)
    for write in (lambda: export(network, folder / "model.onnx"), lambda: compile_network(network, folder)):
        assert refused(write).code == "unwritable-file"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no locks of this kind")
def test_a_run_that_is_being_trained_is_left_alone(tmp_path: Path) -> None:
    training = prepare(request(tmp_path / "run", log_every=1))
    assert refused(lambda: resume(tmp_path / "run")).code == "run-busy"
    training.carry_out()
    resume(tmp_path / "run", steps=5).carry_out()
    assert [record["step"] for record in training.run.records() if record["kind"] == "train"] == [1, 2, 3, 4, 5]
