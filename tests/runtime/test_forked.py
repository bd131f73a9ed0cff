"""A forked copy of a process has none of its threads: what would wait for them is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NET = """
use std.layers: linear
model Net(x: f32[batch, 3]) -> f32[batch, 2] { return x |> linear(2) }
train Net {
  in label: i64[batch]
  minimize cross_entropy(forward(x), label)
  optimizer sgd(0.1)
}
"""

SCRIPT = """
import os, warnings
import numpy as np
import netlang as nl

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of forks beside threads
net = nl.load("net.net")["Net"]()
trainer = nl.Trainer(net, threads=2)
batch = {"x": np.zeros((8, 3), np.float32), "label": np.zeros(8, np.int64)}
trainer.step(**batch)
net.forward(batch["x"])
if os.fork() == 0:
    for use in (lambda: trainer.step(**batch), lambda: net.forward(batch["x"])):
        try:
            use()
        except nl.DiagnosticError as error:
            print(error.diagnostics[0].code, flush=True)
    os._exit(0)
os.wait()
trainer.step(**batch)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_what_another_process_made_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "net.net").write_text(NET)
    command = [sys.executable, "-c", SCRIPT]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.split() == ["forked-process"] * 2
