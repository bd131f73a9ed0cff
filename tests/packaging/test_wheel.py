"""The wheel, in an empty environment: what a user has who installs it."""

from __future__ import annotations

import os
import re
import subprocess
import venv
import zipfile
from pathlib import Path

from .test_documents import ROOT, blocks

REPOSITORY_FOLDERS = ("compiler", "runtime", "stdlib", "tests", "benchmarks", "docs")
EXTRAS = ("matplotlib", "PIL", "torch", "pytest")


def execute(program: Path, *arguments: str, cwd: Path | None = None) -> str:
    """What a program prints; it must succeed, and it sees nothing of the environment that the tests run in."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    clean = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [str(program), *arguments]
    result = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


def test_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names} == {
        "netlang",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }
    for folder in ("netlang", "compiler", "runtime", "stdlib"):
        inside = "netlang" if folder == "netlang" else f"netlang/{folder}"
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".net", ".lark", ".json", ".npz", ".md"):
                assert f"{inside}/{path.relative_to(ROOT / folder).as_posix()}" in names


def test_is_all_that_a_user_needs(wheel: Path, tmp_path: Path) -> None:
    """One test, because making the environment takes longer than what is done in it. It needs a package index."""
    venv.create(tmp_path / "venv", with_pip=True)
    commands = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python, netlang = commands / "python", commands / "netlang"
    execute(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    place = tmp_path / "place"
    place.mkdir()
    (place / "examples").symlink_to(ROOT / "examples")

    absent = (*REPOSITORY_FOLDERS, *EXTRAS)
    code = f"import importlib.util as u; print([n for n in {absent} if u.find_spec(n)])"
    assert execute(python, "-c", code, cwd=place) == "[]\n"

    execute(netlang, "check", "examples", cwd=place)
    assert execute(python, "-m", "netlang", "--version", cwd=place) == execute(netlang, "--version", cwd=place)
    printed = execute(netlang, "train", "examples/digits.net", "--steps", "40", cwd=place)
    assert re.match(r"test  loss \d\.\d+  accuracy 0\.[5-9]\d* ", printed)
    assert "runs/LeNet-1/model.onnx" in printed

    (script,) = [text for text in blocks(ROOT / "README.md", "python") if "InferenceSession" in text]
    assert "netlang" not in script
    printed = execute(python, "-c", script, cwd=place)
    assert re.fullmatch(r"this is a \d, with probability \d\.\d\d\n", printed)


def test_the_readme_and_ci_use_the_same_command() -> None:
    commands = [text for text in blocks(ROOT / "README.md", "sh") if "venv .venv" in text]
    assert len(commands) == 2
    # Python takes the folder `netlang` where it starts for the whole package, unless the tree is what is installed.
    assert all("pip install -e " in command for command in commands)
    assert commands[1].endswith("bin/pytest -n 2\n")
    assert re.findall("bin/pytest", (ROOT / "README.md").read_text()) == ["bin/pytest"]
    assert "grep -m 1 'bin/pytest' README.md" in (ROOT / ".ci" / "run").read_text()
