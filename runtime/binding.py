"""Where a session reads and writes, with the arrays themselves."""

from __future__ import annotations

import onnxruntime as ort


class Binding(ort.IOBinding):
    """A binding that holds the values it is given, and so the arrays whose memory they share.

    ONNX Runtime itself keeps an address alone: of an array that nobody else holds, it would read and write memory that
    has been given back. (From version 1.30 on it happens to hold the values, for captured graphs.)
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        super().__init__(session)
        self._inputs: dict[str, ort.OrtValue] = {}
        self._outputs: dict[str, ort.OrtValue] = {}

    def bind_ortvalue_input(self, name: str, ortvalue: ort.OrtValue) -> None:
        super().bind_ortvalue_input(name, ortvalue)
        self._inputs[name] = ortvalue

    def bind_ortvalue_output(self, name: str, ortvalue: ort.OrtValue) -> None:
        super().bind_ortvalue_output(name, ortvalue)
        self._outputs[name] = ortvalue
