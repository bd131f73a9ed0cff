"""ONNX Runtime sessions: which device, how many threads, and what to say when a device is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from netlang.diagnostics import DiagnosticError, fail

DEVICES = ("cpu", "cuda")

_CUDA_OPTIONS = {
    "use_tf32": "0",  # full float32, so that CPU and CUDA agree
    "cudnn_conv_algo_search": "HEURISTIC",  # the exhaustive search may choose another algorithm each time
}
_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class Device:
    """Where graphs run. `threads` is the number of threads of one operator on the CPU; None leaves it to the runtime.

    The number of threads decides how sums are split, so results are bit-identical only for the same number.
    """

    name: str = "cpu"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.name not in DEVICES:
            raise fail("no-device", f"there is no device `{self.name}`", help=f"one of {', '.join(DEVICES)}")
        if self.threads is not None and self.threads < 1:
            raise fail("bad-value", f"the number of threads must be at least 1, found {self.threads}")
        if self.name == "cuda" and "CUDAExecutionProvider" not in ort.get_available_providers():
            raise _no_cuda("this onnxruntime has no CUDA provider")

    @property
    def providers(self) -> list[Any]:
        """ONNX Runtime's providers, in the order of preference."""
        cpu = "CPUExecutionProvider"
        return [cpu] if self.name == "cpu" else [("CUDAExecutionProvider", _CUDA_OPTIONS), cpu]

    def session(self, model: onnx.ModelProto | str) -> ort.InferenceSession:
        """A session for a model, or for the model file at a path (which may have its weights in other files)."""
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.use_deterministic_compute = True
        # The order of the graph frees values early: the runtime's own order computes again what `@recompute` marks long
        # before it is needed.
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        # Exponentials of masked scores underflow; the processor takes 8 times as long over numbers below 1e-38.
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        source = model if isinstance(model, str) else model.SerializeToString()
        session = ort.InferenceSession(source, options, providers=self.providers)
        if self.name == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
            raise _no_cuda("the CUDA provider does not start: its libraries or a GPU are missing")
        return session

    def place(self, array: np.ndarray) -> ort.OrtValue:
        """The array on this device. On the CPU the value shares the array's memory: writing one writes the other."""
        return ort.OrtValue.ortvalue_from_numpy(np.asarray(array, order="C"), self.name, 0)


@contextmanager
def explained() -> Iterator[None]:
    """Makes diagnostics of what a user can cause inside ONNX Runtime: `out-of-memory`, `index-out-of-range`."""
    try:
        yield
    except Exception as error:
        text = str(error)
        if re.search(r"failed to allocate|bad_alloc|out of memory|bad allocation", text, re.IGNORECASE):
            raise fail("out-of-memory", "there is not enough memory for this", help="use a smaller batch") from None
        outside = re.search(r"idx=(-?\d+) must be within the inclusive range \[(-?\d+),(-?\d+)\]", text)
        if outside is not None:
            index, low, high = outside.groups()
            raise fail("index-out-of-range", f"an index is {index}", expected=f"{low} to {high}") from None
        raise


def _no_cuda(title: str) -> DiagnosticError:
    return fail(
        "no-device",
        title,
        help="`pip uninstall onnxruntime && pip install onnxruntime-gpu`, or leave out `--device cuda`",
    )
