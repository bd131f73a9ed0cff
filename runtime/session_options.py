"""Options that every session of a process has."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

_FATAL_ONLY = 4  # errors are exceptions already


def session_options() -> ort.SessionOptions:
    """New options, to which a session may add its own.

    Exponentials of masked scores underflow, and the processor takes 8 times as long over numbers below 1e-38: they are
    taken for 0. ONNX Runtime does as the first session of a process says, so that all of them must say so.
    The threads that call it do so, too: NumPy before 2.4 warns where it finds the limits of floats then, not before.
    """
    for type_ in (np.float32, np.float64):
        np.finfo(type_)  # NumPy keeps them
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return options
