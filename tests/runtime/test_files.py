"""Writing that loses nothing: full disks, kills, and what stays behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from netlang.runtime.checkpoint import (
    Progress,
    load_checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
    tensor_offsets,
)
from netlang.runtime.files import write_atomically
from safetensors.numpy import load_file

from netlang.diagnostics import DiagnosticError

PROGRESS = Progress(step=3, seed=1, steps=10, batch=64, digest="d", best=0.5, best_step=2)


def tensors(value: float = 1.0) -> dict[str, np.ndarray]:
    return {
        "conv.weight": np.full((2, 3), value, np.float32),
        "scale": np.array(value, np.float32),
        "mask": np.array([True, False]),
        "count": np.array([7], np.int64),
        "empty": np.zeros((0, 4), np.float32),
    }


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, tensors(), PROGRESS)
    found, progress = load_checkpoint(path)
    assert progress == PROGRESS
    assert found.keys() == tensors().keys()
    for name, array in tensors().items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
    assert [item.name for item in tmp_path.iterdir()] == ["a.safetensors"]


def test_others_read_what_we_write_and_find_it_where_we_say(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, tensors())
    theirs = load_file(path)
    data = path.read_bytes()
    for name, offset in tensor_offsets(tensors()).items():
        np.testing.assert_array_equal(theirs[name], tensors()[name])
        assert data[offset : offset + theirs[name].nbytes] == theirs[name].tobytes()
        assert offset % theirs[name].itemsize == 0


@pytest.mark.parametrize("cut", [0, 7, 20, 200, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, tensors(), PROGRESS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DiagnosticError, match="bad-checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 400,  # a header of 2**64 - 1 bytes
        (8).to_bytes(8, "little") + b'{"a": 1}',
        b"\x80\x04pickle" * 40,
        (2).to_bytes(8, "little") + b"{}",  # whole, but no progress
    ],
)
def test_a_foreign_file_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(DiagnosticError, match="bad-checkpoint"):
        load_checkpoint(path)


def test_a_header_that_promises_terabytes_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    header = b'{"w":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    with pytest.raises(DiagnosticError, match="bad-checkpoint"):
        load_tensors(path)


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match="unreadable-file"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, tensors(1), PROGRESS)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(DiagnosticError) as caught:
        save_checkpoint(path, tensors(2), PROGRESS)
    monkeypatch.undo()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "disk-full"
    assert load_checkpoint(path)[0]["scale"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["a.safetensors"]  # and no litter


def test_a_file_size_limit_counts_as_a_full_disk(tmp_path: Path) -> None:
    """Writes for real until the system says no; the limit holds for a process, so another one has it."""
    program = f"""
import resource, signal
from pathlib import Path
from netlang.diagnostics import DiagnosticError
from netlang.runtime.files import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path({str(tmp_path / "a")!r})
write_atomically(path, [b"old"])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_atomically(path, [bytes(50_000)] * 10)
except DiagnosticError as error:
    print(error.diagnostics[0].code, path.read_bytes(), len(list(path.parent.iterdir())))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "disk-full b'old' 1"


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiagnosticError, match="unwritable-file"):
        write_atomically(tmp_path / "file" / "a", [b"x"])


SAVING = """
import sys
from pathlib import Path
import numpy as np
from netlang.runtime.checkpoint import Progress, save_checkpoint
path = Path(sys.argv[1])
step = 0
while True:
    step += 1
    value = np.full(200_000, step, np.float32)
    save_checkpoint(path, {"a": value, "b": value}, Progress(step, 0, None, None, "d"))
    print(step, flush=True)
"""


def test_a_process_killed_while_saving_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for attempt in range(4):
        process = subprocess.Popen([sys.executable, "-c", SAVING, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(3):
            seen = int(process.stdout.readline())
        time.sleep(0.003 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found, progress = load_checkpoint(path)
        assert progress.step >= seen
        assert (found["a"] == progress.step).all() and (found["b"] == progress.step).all()
