"""The machine that measurements are taken on, and what other programs do on it meanwhile."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

VERSIONED = ("netlang", "onnxruntime", "onnx", "numpy", "torch")
"""Packages whose versions are recorded."""


def describe() -> dict[str, Any]:
    """Processor, cores, memory, system and versions, for the record of a run."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in VERSIONED},
    }


def installed_environment(**more: str) -> dict[str, str]:
    """The environment for processes that start as those of an installed program do: with the bytecode of its modules.

    Where Python is told to write none, it would compile netlang's sources anew in each process, and nobody else's:
    other packages have had theirs since they were installed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compileall = [sys.executable, "-m", "compileall", "-q", *(str(_ROOT / folder) for folder in _SOURCES)]
    subprocess.run(compileall, check=True, env=environment)
    return environment | more


_ROOT = Path(__file__).parents[1]
_SOURCES = ("netlang", "compiler", "runtime")


def today() -> str:
    """The date, as 2026-11-21."""
    return datetime.now(UTC).date().isoformat()


class Others:
    """How many cores other programs use: near 0 on a machine fit for measuring.

    Counts from when it is made; `processes` are those that measure, which have to live until the end.
    """

    def __init__(self, processes: Sequence[int]) -> None:
        self._processes = (os.getpid(), *processes)
        self._begin = time.monotonic()
        self._used = self._used_by_others()

    def cores(self) -> float:
        """The mean since the beginning."""
        return max(0.0, (self._used_by_others() - self._used) / (time.monotonic() - self._begin))

    def _used_by_others(self) -> float:
        """Seconds of the processors."""
        own = sum(sum(_process_ticks(process)) for process in self._processes)
        return (sum(_machine_ticks()) - own) / os.sysconf("SC_CLK_TCK")


def _machine_ticks() -> list[int]:
    """Of all cores since the machine's start: user, nice, system, irq, softirq, stolen; not idle, not waiting."""
    user, nice, system, _idle, _waiting, *others = map(int, Path("/proc/stat").read_text().split()[1:9])
    return [user, nice, system, *others]


def _process_ticks(process: int) -> list[int]:
    """Of a process: user, system, and both of the children it has waited for. Its name may hold blanks."""
    return [int(ticks) for ticks in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]]


def _processor() -> str:
    """The model's name and the widest vector instructions, which say more than the name in virtual machines."""
    text = Path("/proc/cpuinfo").read_text()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    flags = fields.get("flags", "").split()
    vectors = next((name for flag, name in _VECTORS if flag in flags), "no AVX")
    kind = f"family {fields.get('cpu family')}, model {fields.get('model')}, {vectors}"
    return f"{fields.get('model name', platform.machine())} ({kind})"


_VECTORS = (("amx_tile", "AMX"), ("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"))
