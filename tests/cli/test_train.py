"""`netlang train`: what it shows, what it leaves, and how it stops."""

from __future__ import annotations

import errno
import inspect
import json
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from netlang.runtime import files
from netlang.runtime.cli.train import EPOCHS
from netlang.runtime.cli.train import command as train_command
from netlang.runtime.job import TrainingRequest
from safetensors.numpy import load_file

from .conftest import netlang
from .test_command_line import ESCAPE, SCRIPT, in_terminal

ROOT = Path(__file__).parents[2]
LINE = ("train", "good.net", "--data", "npz:line.npz", "--batch", "8")


def test_leaves_a_run_directory_and_says_where(folder: Path) -> None:
    result = netlang(*LINE, "--steps", "40")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert re.fullmatch(r"test  loss \d\.\d{4}  mae \d\.\d{4}  \(last checkpoint\)", lines[0])
    assert lines[1] == "runs/Line-1"
    written = {Path(line) for line in lines[1:]}
    assert {path.name for path in written} >= {"Line-1", "model.onnx", "curves.png"}
    assert all(path.exists() for path in written)
    assert result.err.startswith(
        "Line: 17 parameters\nnpz:line.npz: 32 train, 8 test\n40 steps of 8; run directory runs/"
    )
    assert "epoch  10.00  step      40  test " in result.err
    assert ESCAPE not in result.err


def test_a_second_run_gets_the_next_name(folder: Path) -> None:
    assert netlang(*LINE, "--steps", "1").code == 0
    assert netlang(*LINE, "--steps", "1").out.splitlines()[1] == "runs/Line-2"


def test_json_has_stable_keys(folder: Path) -> None:
    facts = json.loads(netlang(*LINE, "--steps", "2", "--out", "here", "--json").out)
    assert list(facts) == ["run", "state", "step", "split", "metrics", "checkpoint", "files"]
    assert (facts["run"], facts["state"], facts["step"], facts["split"]) == ("here", "finished", 2, "test")
    assert set(facts["metrics"]) == {"loss", "mae"}
    assert "here/model.onnx" in facts["files"]


def test_options_reach_the_run(folder: Path) -> None:
    options = ["--set", "hidden=3", "--seed", "7", "--epochs", "2", "--limit", "16", "--threads", "1", "--test", "0.25"]
    (folder / "plain.npz").write_bytes(b"")
    with np.load("line.npz") as arrays:
        np.savez("plain.npz", x=arrays["x"], y=arrays["y"])
    result = netlang("train", "good.net", "--data", "npz:plain.npz", "--batch", "4", "--out", "r", *options)
    assert result.code == 0, result.err
    config = json.loads((folder / "r" / "config.json").read_text())
    assert config["settings"] == {"hidden": 3}
    assert config["rows"] == {"train": 16, "test": 8}
    found = {key: config[key] for key in ("seed", "steps", "batch", "threads", "data", "model")}
    assert found == {"seed": 7, "steps": 8, "batch": 4, "threads": 1, "data": "npz:plain.npz", "model": "Line"}


def test_the_defaults_in_the_help_are_those_in_force() -> None:
    options = re.split(r" (?=--[a-z])", " ".join(netlang("train", "--help").out.split()))
    shown = dict(found.groups() for text in options if (found := re.match(r"--([a-z]+) .*\[default: ([^]]+)\]", text)))
    request = inspect.signature(TrainingRequest).parameters
    for name in ("data", "batch", "seed", "device"):
        assert shown[name] == str(request[name].default)
    assert shown["epochs"] == str(EPOCHS)
    assert train_command.make_context("train", []).params["epochs"] is None


def test_resuming_goes_on_as_if_it_had_not_stopped(folder: Path) -> None:
    assert netlang(*LINE, "--steps", "7", "--out", "half").code == 0
    result = netlang("train", "--resume", "half", "--steps", "20")
    assert result.code == 0, result.err
    assert "20 steps of 8, 7 of them done; run directory half" in result.err
    assert netlang(*LINE, "--steps", "20", "--out", "whole").code == 0
    halves, whole = (load_file(f"{name}/checkpoints/last.safetensors") for name in ("half", "whole"))
    assert set(halves) == set(whole)
    for name, array in whole.items():
        np.testing.assert_array_equal(halves[name], array)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(folder: Path, number: signal.Signals) -> None:
    command = [*SCRIPT, *LINE, "--steps", "100000000", "--log-every", "1000", "--out", "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        log = folder / "run" / "log.jsonl"
        deadline = time.monotonic() + 60
        while not log.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    stopped = re.match(r"stopped after step ([\d,]+), and saved\ngo on with: netlang train --resume run\n", out)
    assert stopped is not None, out
    step = int(stopped[1].replace(",", ""))
    result = netlang("train", "--resume", "run", "--steps", str(step + 3), "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["step"] == step + 3


def test_a_terminal_shows_a_bar(folder: Path) -> None:
    shown = in_terminal([*LINE, "--steps", "3000"], {"TERM": "xterm-256color", "COLUMNS": "120"})
    assert ESCAPE in shown
    assert re.search(r"step .*3,000", shown)
    assert "rows/s" in shown
    assert "runs/Line-1/model.onnx" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["wrong.net"], "no-loss", "`Wrong` has no `train` block"),
        (["mismatched.net", "--data", "npz:line.npz"], "shape-mismatch", "the two sides of `+` differ"),
        (["missing.net"], "unreadable-file", "there is no file `missing.net`"),
        (["good.net", "--data", "npz:absent.npz"], "unreadable-file", "there is no file or folder `absent.npz`"),
        (["good.net", "--data", "digit"], "unknown-source", "did you mean `digits`?"),
        (["good.net", "--data", "digits"], "missing-input", "`digits` has nothing for the input"),
        (["good.net", "--data", "npz:truncated.npz"], "truncated-data", "truncated.npz"),
        (["good.net", "--data", "npz:line.npz", "--out", "."], "foreign-run", "holds files that are no run"),
        (["good.net", "--data", "npz:line.npz", "--set", "hiden=3"], "unknown-", "hiden"),
        (["good.net", "--data", "npz:line.npz", "--device", "cuda"], "no-device", "onnxruntime-gpu"),
        (["good.net", "--data", "npz:line.npz", "--validation", "1.5"], "bad-value", "fraction"),
        (["std:GPT"], "missing-argument", "the data are `digits`, which decide `classes`; `--data` takes others"),
        (["--resume", "nowhere"], "no-run", "`nowhere` is no directory of a run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_explained(folder: Path, arguments: list[str], code: str, message: str) -> None:
    good = (folder / "good.net").read_text()
    (folder / "mismatched.net").write_text(good.replace("return x", "return linear(2)(x) + linear(3)(x)"))
    data = (folder / "line.npz").read_bytes()
    (folder / "truncated.npz").write_bytes(data[: len(data) // 2])
    result = netlang("train", *arguments)
    assert result.code == 1, result.out + result.err
    assert result.out == ""
    assert result.err.startswith(f"error[{code}")
    assert message in result.err
    assert not (folder / "runs").exists()


def test_a_run_of_another_network_is_left_alone(folder: Path) -> None:
    assert netlang(*LINE, "--steps", "2", "--out", "run").code == 0
    before = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    result = netlang(*LINE, "--steps", "2", "--set", "hidden=9", "--out", "run")
    assert result.code == 1
    assert "error[foreign-run]: `run` holds a run of another network" in result.err
    result = netlang(*LINE, "--steps", "2", "--out", "run")
    assert result.code == 1
    assert "error[run-exists]" in result.err
    assert {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()} == before


def test_a_loss_that_explodes_stops_and_keeps_the_last_good_checkpoint(folder: Path) -> None:
    (folder / "wild.net").write_text((folder / "good.net").read_text().replace("sgd(0.1)", "sgd(1e30)"))
    result = netlang("train", "wild.net", "--data", "npz:line.npz", "--steps", "50", "--out", "run")
    assert result.code == 1
    assert "error[not-finite]: " in result.err
    assert "lower the learning rate" in result.err
    for path in (folder / "run").rglob("*.safetensors"):
        assert all(np.isfinite(array).all() for array in load_file(path).values())


def test_a_full_disk_is_explained_and_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert netlang(*LINE, "--steps", "2", "--out", "run").code == 0
    kept = load_file("run/checkpoints/last.safetensors")
    with monkeypatch.context() as full:
        full.setattr(files, "_synchronise", refuse)
        result = netlang("train", "--resume", "run", "--steps", "9")
    assert result.code == 1
    assert "error[disk-full]: no space left to write" in result.err
    assert {name: array.tolist() for name, array in load_file("run/checkpoints/last.safetensors").items()} == {
        name: array.tolist() for name, array in kept.items()
    }
    assert netlang("train", "--resume", "run", "--steps", "9").code == 0


def test_the_first_command_of_the_readme_learns_the_digits(folder: Path) -> None:
    facts = json.loads(netlang("train", str(ROOT / "examples" / "digits.net"), "--json").out)
    assert facts["split"] == "test"
    assert facts["metrics"]["accuracy"] > 0.97
