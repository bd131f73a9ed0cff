"""The page that trains in a browser: what is assembled, and, where npm has installed its packages, `npm test`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import load_file

import netlang as nl

WEB = Path(__file__).parents[2] / "examples" / "deploy" / "web"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", WEB / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, with empty files as the runtime."""
    build = script()
    runtime = tmp_path_factory.mktemp("runtime")
    for name in build.RUNTIME_FILES:
        (runtime / name).touch()
    folder = tmp_path_factory.mktemp("site")
    build.build(folder, runtime)
    return folder


def test_whatever_the_page_refers_to_is_there(site: Path):
    for path in [site / "index.html", *site.glob("*.js")]:
        text = path.read_text("utf-8")
        found = re.findall(r'(?:src|href)="([^":]+)"|from "(\.[^"]+)"', text)
        assert found or path.suffix == ".js"
        for target in (one or other for one, other in found):
            assert (site / target).is_file(), f"{path.name} refers to {target}"
    for name in ("train.onnx", "forward.onnx", "weights.safetensors", "manifest.json"):
        assert (site / "network" / name).is_file()


def test_the_digits_are_those_of_the_data(site: Path):
    arrays = load_file(site / "digits.safetensors")
    for name in ("train", "test"):
        table = nl.open_data("digits").splits[name]
        rows = table.take(table.sequence())
        np.testing.assert_array_equal(arrays[f"{name}.image"] / np.float32(16), rows["image"][:, 0])
        np.testing.assert_array_equal(arrays[f"{name}.label"], rows["label"])


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", (WEB / "README.md").read_text("utf-8")):
        assert (WEB / target).exists(), target


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js with npm")
@pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="needs `npm install` in examples/deploy/web")
def test_it_trains_in_the_browser_as_in_python():
    result = subprocess.run(
        ["npm", "test"],
        cwd=WEB,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout
