"""Tables in text files: comma- or tab-separated, a header line, one row a line, the target last."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netlang.diagnostics import DiagnosticError, fail

from ..files import read_text
from .table import ArrayTable, Dataset
from .vocabulary import Vocabulary, class_names

SIZE_LIMIT = 1_000_000_000


def csv_dataset(path: Path, given: Mapping[str, Vocabulary] | None = None) -> Dataset:
    """A table with a header: each column under its name, and all but the last together as `x`, f32[features].

    Columns are numbers, except that the last may hold words: classes, numbered in alphabetical order or as in the
    `given` vocabulary of its name. The last column is i64 where all its values are whole, else f32. Settings:
    `features`, and `classes` where the last column can be some. Raises DiagnosticError (`bad-data`) with the line at
    fault.
    """
    text = read_text(path, SIZE_LIMIT, "table")
    rows = _rows(path, text, "\t" if "\t" in text.partition("\n")[0] else ",")
    if len(rows) < 2:
        raise fail("bad-data", f"`{path}` has no rows", expected="a line with the names of the columns, then rows")
    names = [name.strip() for name in rows[0]]
    _check_header(path, names)
    _check_widths(path, rows)
    columns = {name: _numbers(path, name, [row[i] for row in rows[1:]]) for i, name in enumerate(names[:-1])}
    target, classes, meaning = _target(path, names[-1], [row[-1].strip() for row in rows[1:]], given or {})
    arrays = dict(columns)
    if columns:
        arrays["x"] = np.stack(list(columns.values()), axis=1)
    arrays[names[-1]] = target
    settings = {"features": len(columns)} | ({"classes": classes} if classes else {})
    return Dataset(f"csv:{path}", {"train": ArrayTable(arrays)}, settings, meaning)


def _rows(path: Path, text: str, delimiter: str) -> list[list[str]]:
    """The fields of every line that is not empty. A quotation mark without its other half takes in all that follows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False)
    rows: list[list[str]] = []
    start = 1
    try:
        for row in reader:
            start = reader.line_num + 1
            rows += [row] if row else []
    except csv.Error as error:
        help = "is there a quotation mark without its other half?"
        raise fail("bad-data", f"line {start} of `{path}` cannot be read: {error}", help=help) from None
    return rows


def _check_header(path: Path, names: list[str]) -> None:
    if len(set(names)) != len(names) or "" in names:
        raise fail("bad-data", f"the columns of `{path}` need names, each its own", found=", ".join(names))
    if all(_is_number(name) for name in names):
        raise fail("bad-data", f"the first line of `{path}` holds numbers", expected="the names of the columns")


def _check_widths(path: Path, rows: list[list[str]]) -> None:
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise fail(
                "bad-data",
                f"row {number} of `{path}` has another number of columns",
                expected=len(rows[0]),
                found=len(row),
            )


def _numbers(path: Path, name: str, texts: list[str]) -> np.ndarray:
    try:
        return np.array(texts, np.float64).astype(np.float32)
    except ValueError:
        raise _not_a_number(path, name, texts) from None


def _target(
    path: Path, name: str, texts: list[str], given: Mapping[str, Vocabulary]
) -> tuple[np.ndarray, int, dict[str, Vocabulary]]:
    """The values of the last column, the number of classes where it holds classes, else 0, and their names if any."""
    if name in given or not all(_is_number(text) for text in texts):
        if any(text == "" for text in texts):
            raise _not_a_number(path, name, texts)
        classes = class_names(texts, given, name)
        return np.array([classes.number(text) for text in texts], np.int64), len(classes), {name: classes}
    values = np.array(texts, np.float64)
    if np.isfinite(values).all() and (values == np.round(values)).all() and np.abs(values).max() < 2**53:
        return values.astype(np.int64), _classes(values), {}
    return values.astype(np.float32), 0, {}


def _classes(values: np.ndarray) -> int:
    """The number of classes where whole numbers can be classes: 0, 1, …, not more of them than rows; else 0."""
    return int(values.max()) + 1 if values.min() >= 0 and values.max() < len(values) else 0


def _not_a_number(path: Path, name: str, texts: list[str]) -> DiagnosticError:
    row = next(i for i, text in enumerate(texts) if not _is_number(text))
    found = repr(texts[row]) if texts[row].strip() else "nothing"
    return fail("bad-data", f"row {row + 2} of `{path}` has no number in the column `{name}`", found=found)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
