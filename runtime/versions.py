"""Versions of netlang and of what it stands on."""

from __future__ import annotations

from importlib import metadata

_PACKAGES = ("netlang", "numpy", "onnx")
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")


def versions() -> dict[str, str]:
    """Installed versions by package, as results depend on them."""
    found = {name: metadata.version(name) for name in _PACKAGES}
    for name in _RUNTIMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
