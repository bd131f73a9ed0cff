"""Bringing images to the size that a network takes, in the way its file says: never silently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netlang.diagnostics import fail

METHODS = ("pad", "resize")


@dataclass(frozen=True, slots=True)
class Fit:
    """One way to bring images to a height and width: `pad` (zeros around, centred) or `resize` (bilinear)."""

    method: str
    size: tuple[int, int]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Images f32[n, c, h, w] at the new size. Raises DiagnosticError (`wrong-input`) where padding cannot do it."""
        return pad(images, self.size) if self.method == "pad" else resize(images, self.size)


def pad(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images `[…, h, w]` in the middle of zeros; an odd rest goes below and to the right."""
    rows, columns = size[0] - images.shape[-2], size[1] - images.shape[-1]
    if rows < 0 or columns < 0:
        raise fail(
            "wrong-input",
            "padding cannot make an image smaller",
            expected=f"at most {size[0]} × {size[1]}",
            found=f"{images.shape[-2]} × {images.shape[-1]}",
            help="say `fit …: resize`",
        )
    around = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    return np.pad(images, ((0, 0),) * (images.ndim - 2) + around)


def resize(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images `[…, h, w]` interpolated bilinearly between pixel centres (`align_corners = false`), without smoothing."""
    images = _along(images, -2, size[0])
    return _along(images, -1, size[1])


def _along(images: np.ndarray, axis: int, size: int) -> np.ndarray:
    found = images.shape[axis]
    if found == size:
        return images
    position = np.clip((np.arange(size) + 0.5) * (found / size) - 0.5, 0, found - 1)
    before = np.floor(position).astype(np.int64)
    after = np.minimum(before + 1, found - 1)
    weight = (position - before).astype(np.float32)
    if axis == -2:
        weight = weight[:, None]
    return np.take(images, before, axis) * (1 - weight) + np.take(images, after, axis) * weight
