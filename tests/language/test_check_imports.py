"""A check imports only what it needs: most of the time of a short command goes into imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NOT_NEEDED = (
    "onnx",
    "onnxruntime",
    "ml_dtypes",
    "netlang.compiler.passes",
    "netlang.compiler.pretrained",
    "netlang.compiler.emit",
)

PROGRAM = """
use std.layers: linear
model m(x: f32[b, 4]) -> f32[b, 2] { return x |> linear(2) }
train m {
  in y: f32[b, 2]
  minimize mean((forward(x) - y) ** 2)
  optimizer adam(1e-3)
}
"""

SCRIPT = """
import sys
from netlang.runtime.loader import open_program
assert open_program(sys.argv[1])[0].check() == []
print(*sys.modules)
"""


def test_a_check_leaves_out_what_compiles(tmp_path: Path) -> None:
    path = tmp_path / "m.net"
    path.write_text(PROGRAM)
    command = [sys.executable, "-c", SCRIPT, str(path)]
    imported = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert set(imported) & set(NOT_NEEDED) == set()
