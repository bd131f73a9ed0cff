"""Pictures from folders, and bringing them to size."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from netlang.runtime.data import open_data
from netlang.runtime.data.fitting import Fit, pad, resize
from netlang.runtime.data.images import ImageTable, read_image
from PIL import Image

from netlang.diagnostics import DiagnosticError


def picture(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of grey pictures, 4 × 6, two of each."""
    for label, name in enumerate(("cat", "dog")):
        for i in range(2):
            picture(tmp_path / name / f"{i}.png", np.full((4, 6), 50 * label + i, np.uint8))
    return tmp_path


def test_folders_are_classes(folder: Path) -> None:
    dataset = open_data(str(folder))
    assert dataset.rows() == {"train": 4}
    assert dataset.settings == {"classes": 2}
    taken = dataset.splits["train"].take(np.arange(4))
    assert taken["image"].shape == (4, 1, 4, 6)
    np.testing.assert_array_equal(taken["label"], [0, 0, 1, 1])
    np.testing.assert_array_equal(taken["image"][:, 0, 0, 0], np.array([0, 1, 50, 51], np.float32) / 255)


def test_folders_of_splits(folder: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            target = folder / "all" / split / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(folder / name)
    assert open_data(f"images:{folder / 'all'}").rows() == {"train": 4, "test": 4}


def test_one_picture_in_colour_makes_three_channels(folder: Path) -> None:
    colour = np.zeros((4, 6, 3), np.uint8)
    colour[..., 1] = 255
    picture(folder / "cat" / "2.png", colour)
    taken = open_data(f"images:{folder}").splits["train"].take(np.array([0, 2]))["image"]
    assert taken.shape == (2, 3, 4, 6)
    np.testing.assert_array_equal(taken[1, :, 0, 0], [0, 1, 0])


def test_deep_grey_keeps_its_range(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", np.array([[0, 65535], [32768, 1]], np.uint16))
    np.testing.assert_allclose(read_image(tmp_path / "a.png")[0], np.array([[0, 65535], [32768, 1]]) / 65535, rtol=1e-6)


def test_pictures_of_different_sizes_are_fitted_one_by_one(folder: Path) -> None:
    picture(folder / "dog" / "2.png", np.full((2, 2), 255, np.uint8))
    table = open_data(f"images:{folder}").splits["train"]
    assert isinstance(table, ImageTable)
    assert table.fields["image"].shape == (1, None, None)
    fitted = table.fitted(Fit("pad", (8, 8)))
    assert fitted.fields["image"].shape == (1, 8, 8)
    taken = fitted.take(np.array([0, 4]))["image"]
    assert taken.shape == (2, 1, 8, 8)
    assert taken[1].sum() == 4


def test_a_file_that_is_no_picture(folder: Path) -> None:
    (folder / "cat" / "3.png").write_text("hello")
    with pytest.raises(DiagnosticError, match=r"bad-data.*3\.png"):
        open_data(f"images:{folder}")


def test_a_truncated_picture_is_named_when_it_is_read(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    path = folder / "cat" / "0.png"
    picture(path, noise)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DiagnosticError, match=r"bad-data.*0\.png"):
        read_image(path)


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(DiagnosticError, match="holds no pictures"):
        open_data(f"images:{tmp_path}")


def test_without_pillow_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DiagnosticError) as caught:
        open_data(f"images:{folder}")
    assert caught.value.diagnostics[0].code == "missing-extra"
    assert "netlang[image]" in (caught.value.diagnostics[0].help or "")


@pytest.mark.parametrize("size", [(28, 28), (8, 8), (4, 4), (32, 20), (3, 7)])
def test_resizing_is_pytorchs_bilinear_interpolation(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    expected = torch.nn.functional.interpolate(torch.tensor(images), size, mode="bilinear", align_corners=False)
    found = resize(images, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_padding_centres() -> None:
    found = pad(np.ones((1, 1, 2, 3), np.float32), (5, 5))
    np.testing.assert_array_equal(found[0, 0].sum(0), [0, 2, 2, 2, 0])
    np.testing.assert_array_equal(found[0, 0].sum(1), [0, 3, 3, 0, 0])
    with pytest.raises(DiagnosticError, match="smaller"):
        pad(found, (4, 8))
