"""Pictures: a folder for each class, decoded as they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netlang.diagnostics import fail

from ..files import unreadable
from .fitting import Fit
from .table import Dataset, Field, Rows, generator
from .vocabulary import Vocabulary, class_names

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
_MAX_PIXELS = 100_000_000
_SHOWN_CLASSES = 10


class ImageTable:
    """Image files with labels. Columns: `image` f32[channels, height, width] in [0, 1], `label` i64.

    Files of different sizes can only be taken together once `fitted` brings them to one.
    """

    def __init__(
        self,
        files: list[tuple[Path, int]],
        channels: int,
        size: tuple[int, int] | None,
        classes: int,
        fit: Fit | None = None,
    ) -> None:
        """`size` is the height and width of all files, or None where they differ."""
        self._files = files
        self._channels = channels
        self._size = size
        self._classes = classes
        self._fit = fit

    @property
    def fields(self) -> dict[str, Field]:
        size = self._fit.size if self._fit else self._size or (None, None)
        image = Field("f32", (self._channels, *size), image=True)
        return {"image": image, "label": Field("i64", (), classes=self._classes)}

    def take(self, rows: Rows) -> dict[str, np.ndarray]:
        files = [self._files[int(row)] for row in rows]
        images = [read_image(path, self._channels) for path, _ in files]
        if self._fit is not None:
            images = [self._fit(image[None])[0] for image in images]
        return {"image": np.stack(images), "label": np.array([label for _, label in files], np.int64)}

    def sequence(self) -> Rows:
        return np.arange(len(self._files))

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        return generator(seed, epoch).permutation(len(self._files))

    def part(self, rows: Rows) -> ImageTable:
        """The table of these rows only."""
        return ImageTable([self._files[int(i)] for i in rows], self._channels, self._size, self._classes, self._fit)

    def fitted(self, fit: Fit) -> ImageTable:
        """The same pictures, each resized or padded as it is read."""
        return ImageTable(self._files, self._channels, self._size, self._classes, fit)


def image_dataset(folder: Path, given: Mapping[str, Vocabulary] | None = None) -> Dataset:
    """A folder with a folder of pictures for each class, or with such folders in `train`, `validation` and `test`.

    Classes are numbered in the order of their names, or as in the `given` vocabulary of `label`. Raises
    DiagnosticError (`bad-data`, `missing-extra`).
    """
    roots = {split: folder / mark for split, marks in _SPLITS.items() for mark in marks if (folder / mark).is_dir()}
    roots = roots if "train" in roots else {"train": folder}
    names = class_names((path.name for root in roots.values() for path in root.iterdir() if path.is_dir()), given or {})
    listed = {split: _list(root, names) for split, root in roots.items()}
    for split, files in listed.items():
        if not files:
            help = "it should hold a folder for each class, with its pictures"
            raise fail("bad-data", f"`{roots[split]}` holds no pictures", help=help)
    modes, sizes = _survey([path for files in listed.values() for path, _ in files])
    channels = 1 if modes <= _GREY else 3
    size = next(iter(sizes)) if len(sizes) == 1 else None
    tables = {split: ImageTable(files, channels, size, len(names)) for split, files in listed.items()}
    shown = ", ".join(names.tokens[:_SHOWN_CLASSES]) + (", …" if len(names) > _SHOWN_CLASSES else "")
    note = f"{len(names)} classes: {shown}"
    return Dataset(f"images:{folder}", tables, {"classes": len(names)}, {"label": names}, (note,))


def is_image_directory(folder: Path) -> bool:
    """Whether a folder holds folders of pictures."""
    return any(path.suffix.lower() in SUFFIXES for path in [*folder.glob("*/*"), *folder.glob("train/*/*")])


def read_image(path: Path, channels: int | None = None) -> np.ndarray:
    """A picture as f32[channels, height, width] in [0, 1]; `channels` is 1, 3, or None for what the file has.

    Raises DiagnosticError (`unreadable-file`, `bad-data`, `missing-extra`).
    """

    def decode(image: Any) -> np.ndarray:
        wide = image.mode.startswith("I;16")
        mode = image.mode if wide else "L" if (channels or (1 if image.mode in _GREY else 3)) == 1 else "RGB"
        pixels = np.asarray(image.convert(mode) if image.mode != mode else image)
        scaled = np.divide(pixels, 65535 if wide else 255, dtype=np.float32)
        planes = scaled[None] if scaled.ndim == 2 else np.moveaxis(scaled, -1, 0)
        return np.repeat(planes, 3, axis=0) if channels == 3 and len(planes) == 1 else np.ascontiguousarray(planes)

    return _opened(path, decode)


_GREY = {"1", "L", "I;16", "I;16B", "I;16L"}


def _survey(paths: list[Path]) -> tuple[set[str], set[tuple[int, int]]]:
    """Modes and sizes of all files, from their headers; a file that is no picture is refused before training starts."""
    modes: set[str] = set()
    sizes: set[tuple[int, int]] = set()
    for path in paths:
        mode, size = _opened(path, lambda image: (image.mode, (image.height, image.width)))
        modes.add(mode)
        sizes.add(size)
    return modes, sizes


def _opened(path: Path, use: Any) -> Any:
    pillow = _pillow()
    try:
        with pillow.open(path) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise fail("bad-data", f"`{path}` has {image.width} × {image.height} pixels, more than this can hold")
            return use(image)
    except pillow.UnidentifiedImageError:
        raise fail("bad-data", f"`{path}` is no picture, or of a kind that is not known") from None
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(path, error) from None
        raise fail("bad-data", f"`{path}` is damaged: {str(error).lower()}") from None


def _pillow() -> Any:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise fail("missing-extra", "reading pictures needs Pillow", help="`pip install 'netlang[image]'`") from None
    return Pillow(Image.open, UnidentifiedImageError, Image.DecompressionBombError)


class Pillow(NamedTuple):
    """What this module uses of Pillow, which is an extra."""

    open: Any
    UnidentifiedImageError: type[Exception]
    DecompressionBombError: type[Exception]


def _list(root: Path, names: Vocabulary) -> list[tuple[Path, int]]:
    folders = sorted(path.name for path in root.iterdir() if path.is_dir())
    return [
        (path, names.number(name))
        for name in folders
        for path in sorted((root / name).glob("*"))
        if path.suffix.lower() in SUFFIXES
    ]
