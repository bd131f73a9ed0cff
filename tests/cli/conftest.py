"""Command lines run in this process, in a directory of their own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from netlang.runtime.cli import main

GOOD = """\
use std.layers: linear

model Line(hidden: int = 4)(x: f32[batch, 2]) -> f32[batch, 1] {
  return x |> linear(hidden) |> tanh |> linear(1)
}

train Line {
  in y: f32[batch, 1]
  prediction = forward(x)
  minimize mse(prediction, y)
  report mae(prediction, y)
  optimizer sgd(0.1)
}
"""

MISMATCHED = """\
use std.layers: linear

model Wrong(x: f32[batch, 4]) -> f32[batch, 2] {
  return linear(2)(x) + linear(3)(x)
}
"""


@dataclass(frozen=True)
class Result:
    """What a command line did: exit status, standard output, standard error."""

    code: int
    out: str
    err: str


def netlang(*arguments: str) -> Result:
    """Runs `netlang` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    return Result(code, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "NETLANG_TRACEBACK", "COLUMNS", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with `good.net`, `wrong.net` and `line.npz`, which `good.net` can learn."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path)
    return tmp_path


def fill(path: Path) -> None:
    (path / "good.net").write_text(GOOD)
    (path / "wrong.net").write_text(MISMATCHED)
    x = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    y = x @ np.array([[1.0], [-2.0]], np.float32)
    np.savez(path / "line.npz", x=x[:32], y=y[:32], x_test=x[32:], y_test=y[32:])


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run of `good.net`; not to be written to."""
    path = tmp_path_factory.mktemp("trained")
    fill(path)
    with chdir(path):
        result = netlang("train", "good.net", "--data", "npz:line.npz", "--steps", "20", "--batch", "8")
    assert result.code == 0, result.err
    yield path / "runs" / "Line-1"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data of `tiny_runs`, in which their runs are made; not to be written to."""
    from .tiny_runs import write_data

    path = tmp_path_factory.mktemp("tiny")
    write_data(path)
    return path
