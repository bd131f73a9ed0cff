"""PyTorch's own ONNX export of the same models, run by the same onnxruntime: inference only."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from .cases import Case
from .torch_recipes import RECIPES
from .torch_side import to_torch_names

Inputs = Mapping[str, np.ndarray]


class TorchOnnxSide:
    """One case, exported as `torch.onnx.export` does by default: a graph for each batch size, weights within.

    Sessions have the default options but for the number of threads, which would not know how many cores are meant.
    """

    def __init__(self, case: Case, threads: int) -> None:
        torch.set_num_threads(threads)
        self._options = ort.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._model = RECIPES[case.name].model(**case.settings).eval()
        self._inputs = tuple(case.inputs)
        self._weights: dict[str, np.ndarray] = {}
        self._sessions: dict[tuple[tuple[int, ...], ...], ort.InferenceSession] = {}

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Takes netlang's weights; what was exported stays where they are the same as before."""
        known = self._weights
        if known.keys() == weights.keys() and all(np.array_equal(known[name], weights[name]) for name in weights):
            return
        self._weights = dict(weights)
        self._model.load_state_dict(to_torch_names(self._model, weights))
        self._sessions.clear()

    def place(self, arrays: Inputs) -> Inputs:
        """onnxruntime takes arrays as they are."""
        return arrays

    def infer(self, inputs: Inputs) -> np.ndarray:
        """The model's first output."""
        shapes = tuple(inputs[name].shape for name in self._inputs)
        if shapes not in self._sessions:
            self._sessions[shapes] = self._exported(inputs)
        return np.asarray(self._sessions[shapes].run(None, inputs)[0])

    def _exported(self, inputs: Inputs) -> ort.InferenceSession:
        example = tuple(torch.from_numpy(inputs[name]) for name in self._inputs)
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names other packages that it could use
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                torch.onnx.export(self._model, example, path, input_names=list(self._inputs), dynamo=True)
            return ort.InferenceSession(path, self._options, providers=["CPUExecutionProvider"])
