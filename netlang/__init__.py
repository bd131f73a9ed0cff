"""netlang: a small declarative language for neural networks that compiles to ONNX, training step included.

>>> import netlang as nl
>>> net = nl.load("lenet5.net")["LeNet5"](classes=10)
>>> trainer = nl.Trainer(net, seed=0)
>>> metrics = trainer.step(image=images, label=labels)
>>> net.forward(images)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "BoundNetwork": "netlang.runtime.bound_network",
    "Dataset": "netlang.runtime.data",
    "Diagnostic": "netlang.diagnostics",
    "DiagnosticError": "netlang.diagnostics",
    "Trainer": "netlang.runtime.trainer",
    "check": "netlang.runtime.api",
    "compile": "netlang.runtime.api",
    "format_source": "netlang.runtime.api",
    "from_onnx": "netlang.runtime.imported",
    "load": "netlang.runtime.api",
    "load_run": "netlang.runtime.api",
    "open_data": "netlang.runtime.data",
    "save": "netlang.runtime.api",
}
"""Public names and the modules they come from, which are imported when a name is first used."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("netlang")
    if name not in _PUBLIC:
        raise AttributeError(f"module `netlang` has no attribute `{name}`")
    from netlang.collection import without_collection

    with without_collection():
        value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_PUBLIC, "__version__"])
