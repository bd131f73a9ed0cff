"""How long `netlang check` takes: `python -m benchmarks.check`.

It checks a program of 500 lines, 40 layers and a model of all of them with its training, and then all models of the
library. Each check is a process of its own, imports included; the least time of several counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .machine import installed_environment

LAYERS = 40

LIBRARY = Path(__file__).parents[1] / "stdlib" / "models"

_CHECK = "import sys; from netlang.runtime.cli import main; sys.exit(main(['check', *sys.argv[1:]]))"


def program() -> str:
    """The program of 500 lines."""
    layers = "\n".join(_LAYER.format(number=number) for number in range(LAYERS))
    calls = "\n".join(f"    |> stage{number}(32, drop = 0.1)" for number in range(LAYERS))
    return f"use std.layers: linear, dropout\n{layers}{_MODEL.format(calls=calls)}"


_LAYER = """
layer stage{number}(c: int, drop: float = 0.0)(x: f32[b, n]) -> f32[b, c] {{
  hidden = x |> linear(c * 2) |> relu
  mixed = hidden |> linear(c)
  scaled = mixed * 0.5
  gated = (scaled + 1.0) * sigmoid(mixed)
  kept = gated |> dropout(drop)
  result = kept + mixed
  return result |> tanh
}}
"""

_MODEL = """
model Deep(classes: int = 10)(image: f32[batch, 64]) -> f32[batch, classes] {{
  hidden = image
{calls}
  return hidden |> linear(classes)
}}

train Deep {{
  in label: i64[batch]
  logits = forward(image)
  minimize cross_entropy(logits, label)
  report accuracy(logits, label)
  optimizer adam(lr = cosine(1e-3, warmup = 200))
}}
"""


def least_seconds(files: Sequence[Path], starts: int) -> float:
    """The least time of that many checks. Raises CalledProcessError where a file has an error."""
    environment = installed_environment()
    times: list[float] = []
    for _ in range(starts):
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", _CHECK, *map(str, files)], check=True, stderr=subprocess.DEVNULL, env=environment
        )
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    """Prints a line for the program, and one for the library."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description="how long `netlang check` takes")
    parser.add_argument("--starts", type=int, default=10, help="of which the fastest counts; %(default)s")
    starts = parser.parse_args().starts
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep.net"
        path.write_text(program())
        for files in ([path], sorted(LIBRARY.glob("*.net"))):
            lines = sum(len(file.read_text().splitlines()) for file in files)
            print(f"{lines:,} lines in {len(files)}: {least_seconds(files, starts):.2f} s", flush=True)


if __name__ == "__main__":
    main()
