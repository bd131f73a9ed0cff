"""Imports run one way: the language <- the compiler <- the runtime. Read from the wheel, where all are in place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LANGUAGE_NEVER = ("numpy", "onnx", "onnxruntime", "os", "pathlib", "shutil", "subprocess", "tempfile", "socket")
COMPILER_NEVER = ("onnxruntime", "rich", "click", "os", "pathlib", "shutil", "subprocess", "tempfile", "socket")

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(config_filename='layers.ini'))"


@pytest.fixture
def language(unpacked: Path) -> list[str]:
    """Modules of the language itself. `netlang` is left out: it hands on the public names, and the command, of all."""
    files = (unpacked / "netlang").glob("*.py")
    return sorted(f"netlang.{file.stem}" for file in files if file.stem not in ("__init__", "__main__"))


def test_imports_run_one_way(unpacked: Path, language: list[str]) -> None:
    contracts = [
        contract("language", language, ["netlang.compiler", "netlang.runtime", *LANGUAGE_NEVER]),
        contract("compiler", ["netlang.compiler"], ["netlang.runtime", *COMPILER_NEVER]),
    ]
    result = lint(unpacked, "\n".join(contracts))
    assert result.returncode == 0, result.stdout


def test_the_contract_notices_an_import_the_wrong_way(unpacked: Path) -> None:
    result = lint(unpacked, contract("runtime", ["netlang.runtime"], ["netlang.compiler"]))
    assert result.returncode == 1
    assert "netlang.runtime is not allowed to import netlang.compiler" in result.stdout


def contract(name: str, sources: list[str], forbidden: list[str]) -> str:
    """A contract that `sources` import none of `forbidden`, not even through others."""
    lines = [f"[importlinter:contract:{name}]", f"name = {name}", "type = forbidden"]
    lines += ["source_modules =", *(f"    {module}" for module in sources)]
    lines += ["forbidden_modules =", *(f"    {module}" for module in forbidden)]
    return "\n".join(lines)


def lint(unpacked: Path, contracts: str) -> subprocess.CompletedProcess[str]:
    header = "[importlinter]\nroot_package = netlang\ninclude_external_packages = True\n"
    (unpacked / "layers.ini").write_text(header + contracts + "\n")
    command = [sys.executable, "-c", LINT]
    return subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
