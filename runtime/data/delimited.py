"""Tables in text files: comma- or tab-separated, a header line, one row a line, the target last."""

from __future__ import annotations

import csv
import io
import math
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
    `given` vocabulary of its name. Numbers are finite. The last column is i64 where all its values are whole, else f32.
    Settings: `features`, and `classes` where the last column can be some. Raises DiagnosticError (`bad-data`) with the
    line at fault.
    """
    text = read_text(path, SIZE_LIMIT, "table")
    rows = _rows(path, text, _delimiter(path, text.partition("\n")[0]))
    if len(rows) < 2:
        raise fail("bad-data", f"`{path}` has no rows", expected="a line with the names of the columns, then rows")
    names = [name.strip() for name in rows[0]]
    _check_widths(path, rows)
    _check_header(path, names, {row[-1].strip() for row in rows[1:]})
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


def _delimiter(path: Path, header: str) -> str:
    delimiter = "\t" if "\t" in header else ","
    if delimiter not in header and ";" in header:
        help = "save it with commas, and with points in numbers such as 0.5"
        raise fail("bad-data", f"the columns of `{path}` are separated by `;`", expected="commas or tabs", help=help)
    return delimiter


def _check_header(path: Path, names: list[str], targets: set[str]) -> None:
    """`targets` are the texts of the last column: one of them where its name should be is a row, and no header."""
    if len(set(names)) != len(names) or "" in names:
        raise fail("bad-data", f"the columns of `{path}` need names, each its own", found=", ".join(names))
    if all(map(_is_number, names[:-1])) and (_is_number(names[-1]) or names[-1] in targets):
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
        values = np.array(texts, np.float64)
    except ValueError:
        values = None
    if values is None or not np.isfinite(values).all():
        raise _not_a_number(path, name, texts, "only the last column, the target, can hold words")
    return values.astype(np.float32)


def _target(
    path: Path, name: str, texts: list[str], given: Mapping[str, Vocabulary]
) -> tuple[np.ndarray, int, dict[str, Vocabulary]]:
    """The values of the last column, the number of classes where it holds classes, else 0, and their names if any."""
    if "" in texts:
        raise fail("bad-data", f"row {texts.index('') + 2} of `{path}` has nothing in the column `{name}`")
    if name in given or not all(map(_is_float, texts)):
        classes = class_names(texts, given, name)
        return np.array([classes.number(text) for text in texts], np.int64), len(classes), {name: classes}
    values = np.array(texts, np.float64)
    if not np.isfinite(values).all():
        raise _not_a_number(path, name, texts)
    if (values == np.round(values)).all() and np.abs(values).max() < 2**53:
        return values.astype(np.int64), _classes(values), {}
    return values.astype(np.float32), 0, {}


def _classes(values: np.ndarray) -> int:
    """The number of classes where whole numbers can be classes: 0, 1, …, not more of them than rows; else 0."""
    return int(values.max()) + 1 if values.min() >= 0 and values.max() < len(values) else 0


def _not_a_number(path: Path, name: str, texts: list[str], words: str | None = None) -> DiagnosticError:
    """For the first text that is no finite number; `words` is the way out where it is a word."""
    row = next(i for i, text in enumerate(texts) if not _is_number(text))
    text = texts[row].strip()
    title = f"row {row + 2} of `{path}` has no number in the column `{name}`"
    help = words if text and not _is_float(text) else None
    return fail("bad-data", title, found=repr(text) if text else "nothing", help=help)


def _is_number(text: str) -> bool:
    return _is_float(text) and math.isfinite(float(text))


def _is_float(text: str) -> bool:
    """Whether it is a number, nan or an infinity."""
    try:
        float(text)
    except ValueError:
        return False
    return True
