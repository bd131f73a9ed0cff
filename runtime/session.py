"""ONNX Runtime sessions: which device, how many threads, and what to say when a device is not there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from netlang.diagnostics import DiagnosticError, fail

from .channel_blocks import blocked
from .session_options import session_options

DEVICES = ("cpu", "cuda")

_CUDA_OPTIONS = {
    "use_tf32": "0",  # full float32, so that CPU and CUDA agree
    "cudnn_conv_algo_search": "HEURISTIC",  # the exhaustive search may choose another algorithm each time
}
_SLOWER = ["SkipLayerNormFusion"]  # its kernel takes 1.8 ms for 16×128×256, where a sum and a normalisation take 0.8


@dataclass(frozen=True, slots=True)
class Device:
    """Where graphs run. `threads` is the number of threads of one operator on the CPU; None leaves it to the runtime.
    `blocks`: whether the CPU may compute convolutions in blocks of channels (`channel_blocks`).

    The number of threads decides how sums are split, so results are bit-identical only for the same number.
    """

    name: str = "cpu"
    threads: int | None = None
    blocks: bool = True

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

    def session(
        self,
        model: onnx.ModelProto | str,
        *,
        in_order: bool = False,
        plans_memory: bool = True,
        yields: bool = False,
        profile: str | None = None,
    ) -> ort.InferenceSession:
        """A session for a model, or for the model file at a path (which may have its weights in other files).

        `in_order` keeps to the order of the graph, and not to that of the runtime.
        `plans_memory` lays out the memory of later runs, in one block, by what a first run of the same sizes needed.
        Inference takes up to 4 % less time so. But what the first run needed stays taken beside that block.
        `yields` frees the cores at the end of each run, where the runtime's threads would look out for more work for a
        while: for what other threads follow.
        `profile` is how the path of the file begins that `end_profiling` writes: how long each node takes.
        """
        options = session_options()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.use_deterministic_compute = True
        options.enable_mem_pattern = plans_memory
        if in_order:
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        _make_shared_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        if yields:
            options.add_session_config_entry("session.force_spinning_stop", "1")
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = profile
        if not isinstance(model, str) and self.blocks and self.name == "cpu":
            model = blocked(model)
        source = model if isinstance(model, str) else model.SerializeToString()
        session = ort.InferenceSession(source, options, providers=self.providers, disabled_optimizers=_SLOWER)
        if self.name == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
            raise _no_cuda("the CUDA provider does not start: its libraries or a GPU are missing")
        return session

    def place(self, array: np.ndarray) -> ort.OrtValue:
        """The array on this device. On the CPU the value shares the array's memory: writing one writes the other."""
        return ort.OrtValue.ortvalue_from_numpy(np.asarray(array, order="C"), self.name, 0)


@cache
def _make_shared_arena() -> None:
    """Makes the arena that all sessions of the process take the processor's memory from: alone, each would keep what it
    has once needed. With 25 lengths of sentences, for each of which a step is compiled, a Transformer's training took
    three times the memory."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, None)


def _no_cuda(title: str) -> DiagnosticError:
    return fail(
        "no-device",
        title,
        help="`pip uninstall onnxruntime && pip install onnxruntime-gpu`, or leave out `--device cuda`",
    )
