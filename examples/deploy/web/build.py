"""Assembles the page as a folder of static files, which any web server can serve.

npm install
python examples/deploy/web/build.py -o site
python -m http.server --directory site

`site/` has the page; `network/`, the compiled LeNet of `examples/digits.net`; `digits.safetensors`, the digits inside
netlang; and `runtime/`, onnxruntime-web as npm installed it beside this file.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import netlang as nl

HERE = Path(__file__).parent
PROGRAM = HERE.parents[1] / "digits.net"
RUNTIME = HERE / "node_modules" / "onnxruntime-web" / "dist"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


def build(site: Path, runtime: Path = RUNTIME) -> None:
    """Writes the page, the network, the digits and the runtime into `site`."""
    shutil.copytree(HERE / "page", site, dirs_exist_ok=True)
    nl.compile(nl.load(PROGRAM)["LeNet"](), site / "network")
    write_digits(site / "digits.safetensors")
    (site / "runtime").mkdir(exist_ok=True)
    for name in RUNTIME_FILES:
        shutil.copy(runtime / name, site / "runtime" / name)


def write_digits(path: Path) -> None:
    """The training and the test digits: counts of ink u8[n, 8, 8] from 0 to 16, and labels u8[n]."""
    arrays: dict[str, np.ndarray] = {}
    for name in ("train", "test"):
        table = nl.open_data("digits").splits[name]
        rows = table.take(table.sequence())
        arrays[f"{name}.image"] = np.rint(16 * rows["image"][:, 0]).astype(np.uint8)
        arrays[f"{name}.label"] = rows["label"].astype(np.uint8)
    save_file(arrays, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Assemble the page as a folder of static files.")
    parser.add_argument("-o", "--out", type=Path, default=Path("site"), help="the folder to write (default: site)")
    out = parser.parse_args().out
    if not RUNTIME.is_dir():
        sys.exit(f"onnxruntime-web is not there: run `npm install` in {HERE}")
    build(out)
    print(f"{out}/index.html is ready: python -m http.server --directory {out}")


if __name__ == "__main__":
    main()
