"""Numbers too small for full precision are 0, whatever made the first session of the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

PRODUCT = """
import numpy as np, onnx
from netlang.runtime.session import Device
from onnx import TensorProto, helper

x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
graph = helper.make_graph([helper.make_node("Mul", ["x", "x"], ["y"])], "product", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
print(Device("cpu", 1).session(model).run(None, {"x": np.array([1e-20], np.float32)})[0][0].tobytes().hex())
"""


@pytest.mark.parametrize("first", ["channel_blocks import block_size", "panel_width import panel_width",
                                   "further_passes import adds_products"])  # fmt: skip
def test_products_below_the_smallest_normal_number(first: str) -> None:
    name = first.rsplit(maxsplit=1)[-1]
    code = f"from netlang.runtime.{first}\n{name}()\n{PRODUCT}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "00000000"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_still_knows_the_smallest_numbers(dtype: str) -> None:
    """Before version 2.4 it warns where it finds none below the normal ones, as matplotlib's axes let it look."""
    code = f"{PRODUCT}\nprint(np.finfo(np.{dtype}).smallest_subnormal.tobytes().hex())"
    command = [sys.executable, "-W", "error", "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.stderr, found.stdout.split()[-1].strip("0")) == ("", "1")
