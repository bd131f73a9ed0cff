"""The embedded data set: 1,797 handwritten digits of 8×8 pixels.

They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, 1998, UCI Machine
Learning Repository, doi.org/10.24432/C50P49), licensed CC BY 4.0, in its original order; 13 people wrote them. Pixels
count the strokes of a 4×4 block of the original bitmap, 0 to 16.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

from .table import ArrayTable, Dataset, generator
from .vocabulary import numbered

TEST_ROWS = 360
VALIDATION_ROWS = 180
_ORDER_KEY = 1797


def digits() -> Dataset:
    """1,257 rows to train, 180 to validate, 360 to test, the same ones always: a random choice made once.

    Columns: `image` f32[1, 8, 8] in [0, 1], `label` i64 from 0 to 9.
    """
    with resources.files("netlang.runtime.data").joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        table = ArrayTable(
            {"image": arrays["image"][:, None], "label": arrays["label"]}, divisors={"image": 16}, images=("image",)
        )
    order = generator(_ORDER_KEY).permutation(len(table.sequence()))
    test, validation, train = np.split(order, [TEST_ROWS, TEST_ROWS + VALIDATION_ROWS])
    splits = {"train": train, "validation": validation, "test": test}
    tables = {name: table.part(rows) for name, rows in splits.items()}
    return Dataset("digits", tables, {"classes": 10}, {"label": numbered(10)})
