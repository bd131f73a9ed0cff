"""The machine that measurements were taken on, and how busy it was."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

VERSIONED = ("netlang", "onnxruntime", "onnx", "numpy", "torch")
"""Packages whose versions are recorded."""


def describe() -> dict[str, Any]:
    """Processor, cores, memory, system and versions, for the record of a run."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in VERSIONED},
    }


def load() -> float:
    """How many processes wanted to run in the last minute: near 0 on a machine fit for measuring."""
    return os.getloadavg()[0]


def _processor() -> str:
    """The model's name and the widest vector instructions, which say more than the name in virtual machines."""
    text = Path("/proc/cpuinfo").read_text()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    flags = fields.get("flags", "").split()
    vectors = next((name for flag, name in _VECTORS if flag in flags), "no AVX")
    kind = f"family {fields.get('cpu family')}, model {fields.get('model')}, {vectors}"
    return f"{fields.get('model name', platform.machine())} ({kind})"


_VECTORS = (("amx_tile", "AMX"), ("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"))
