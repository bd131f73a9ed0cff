"""`@recompute` on every block of a deep network: the same loss from a fraction of the memory that the system counts."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

STEP = """
    from pathlib import Path
    import numpy as np, onnxruntime
    from netlang.compiler import load_program
    from netlang.compiler.emit import emit
    from netlang.compiler.initializers import materialise
    from netlang.runtime.loader import load
    from netlang.source import Source

    def peak():
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1])

    text = '''
    use std.layers: linear, layer_norm
    %s
    layer block()(x: f32[b, d]) -> f32[b, d] {
      return x |> layer_norm() |> linear(4 * d) |> gelu |> linear(4 * d) |> gelu |> linear(d)
    }
    model M(x: f32[4096, 96]) -> f32[4096, 96] {
      repeat 10 { x = x |> residual(block()) }
      return x
    }
    train M { y = forward(x); minimize mean(y * y); optimizer sgd(0.1) }
    '''
    graph = load_program(Source("deep.net", text), load).network().train_graph()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = options.enable_cpu_mem_arena = False  # so that memory is given back when it is free
    session = onnxruntime.InferenceSession(emit(graph).SerializeToString(), options)
    x = np.random.default_rng(0).standard_normal((4096, 96)).astype(np.float32)
    numbers = {"x": x, "step": np.array(0), "steps": np.array(9), "seed": np.array(0)}
    values = {**materialise(graph.variables, seed=0), **numbers}
    before = peak()
    (loss,) = session.run(["loss"], {item.name: values[item.name] for item in session.get_inputs()})
    print(loss, peak() - before)
"""


def step(mark: str) -> tuple[float, float]:
    """The loss, and by how much the step raises the peak of the process."""
    script = textwrap.dedent(STEP) % mark
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loss, peak = done.stdout.split()
    return float(loss), float(peak)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_memory_is_a_fraction() -> None:
    (loss, peak), (again, lower) = step(""), step("@recompute")
    assert abs(again - loss) < 1e-5 * loss
    assert lower < peak / 3
