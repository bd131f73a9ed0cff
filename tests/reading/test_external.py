"""Models on disk, and weights in files beside them: only these files are read, and only what is there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from netlang.compiler.reading import Reading, read_model
from netlang.runtime.onnx_files import load_onnx, read_external
from onnx import external_data_helper, numpy_helper

from netlang.diagnostics import DiagnosticError

from .models import model
from .test_hostile import GOOD


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model whose weights are in `weights.bin`; a secret lies outside its folder."""
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    folder = tmp_path / "model"
    folder.mkdir()
    proto = model(GOOD)
    for tensor in proto.graph.initializer:  # only bytes can be moved into another file
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    place = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save_model(proto, folder / "model.onnx", **place)
    return folder / "model.onnx"


def read(path: Path) -> Reading:
    proto, external = load_onnx(path)
    return read_model(proto, external=external)


def change(path: Path, **entries: str) -> None:
    """Rewrites where the first weight is said to lie; an empty entry is left out."""
    proto = onnx.load(path, load_external_data=False)
    tensor = proto.graph.initializer[0]
    known = {entry.key: entry.value for entry in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in known.items():
        if value:
            tensor.external_data.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())


def refusal(path: Path) -> str:
    with pytest.raises(DiagnosticError) as caught:
        read(path)
    return caught.value.diagnostics[0].code


def test_weights_are_read(path: Path):
    reading = read(path)
    np.testing.assert_array_equal(reading.weights["w"], np.arange(1, 9, dtype=np.float32).reshape(4, 2))
    np.testing.assert_array_equal(reading.weights["c"], np.array([1, 2], np.float32))


def test_offset_and_length_may_be_left_out(path: Path):
    change(path, length="")
    np.testing.assert_array_equal(read(path).weights["w"], np.arange(1, 9, dtype=np.float32).reshape(4, 2))


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "a/../../secret.bin", "..", "/etc/passwd", "C:\\secret.bin", "..\\secret.bin", "\x00", "."],
)
def test_paths_out_of_the_folder_are_refused(path: Path, location: str):
    change(path, location=location)
    assert refusal(path) == "onnx-external"


def test_links_out_of_the_folder_are_refused(path: Path):
    (path.parent / "link.bin").symlink_to(path.parent.parent / "secret.bin")
    (path.parent / "linked").symlink_to(path.parent.parent)
    for location in ("link.bin", "linked/secret.bin"):
        change(path, location=location)
        assert refusal(path) == "onnx-external"


def test_links_within_the_folder_are_followed(path: Path):
    (path.parent / "same.bin").symlink_to(path.parent / "weights.bin")
    change(path, location="same.bin")
    assert read(path).weights["w"].shape == (4, 2)


def test_what_is_no_plain_file_is_refused(path: Path):
    os.mkfifo(path.parent / "pipe.bin")
    change(path, location="pipe.bin")
    assert refusal(path) == "onnx-external"


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ({"location": "missing.bin"}, "onnx-external"),
        ({"offset": "100000"}, "onnx-external"),
        ({"offset": str(1 << 62)}, "onnx-external"),
        ({"offset": "-4"}, "onnx-malformed"),
        ({"offset": "four"}, "onnx-malformed"),
        ({"length": "31"}, "onnx-malformed"),
        ({"length": "9" * 30}, "onnx-malformed"),
    ],
)
def test_ranges_outside_the_file_are_refused(path: Path, entries: dict[str, str], code: str):
    change(path, **entries)
    assert refusal(path) == code


def test_a_huge_weight_is_refused_before_it_is_made(path: Path):
    proto = onnx.load(path, load_external_data=False)
    proto.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "length":
            entry.value = str(1 << 42)
    path.write_bytes(proto.SerializeToString())
    assert refusal(path) == "onnx-external"


def test_a_truncated_file_of_weights_is_refused(path: Path):
    weights = path.parent / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert refusal(path) == "onnx-external"


def test_a_model_without_its_folder_cannot_read_files(path: Path):
    with pytest.raises(DiagnosticError, match="onnx-external"):
        read_model(path.read_bytes())


def test_an_external_tensor_in_an_attribute_is_refused(path: Path):
    proto = onnx.load(path, load_external_data=False)
    node = onnx.helper.make_node("Constant", [], ["extra"], value=proto.graph.initializer[0])
    proto.graph.node.insert(0, node)
    assert external_data_helper.uses_external_data(node.attribute[0].t)
    path.write_bytes(proto.SerializeToString())
    assert refusal(path) == "onnx-unsupported"


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(DiagnosticError, match="unreadable-file"):
        load_onnx(tmp_path / "missing.onnx")
    with pytest.raises(DiagnosticError, match="unreadable-file"):
        load_onnx(tmp_path)


def test_a_range_of_a_file(tmp_path: Path):
    (tmp_path / "data.bin").write_bytes(bytes(range(10)))
    assert read_external(tmp_path, "data.bin", 2, 3) == bytes([2, 3, 4])
    assert read_external(tmp_path, "data.bin", 7, None) == bytes([7, 8, 9])
