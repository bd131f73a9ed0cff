"""Numbers and sizes as the language writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from netlang.dims import Dim, Opaque, Size, Symbol


def value_text(value: Any) -> str:
    """A number, truth value, string or `none`."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
    return _float_text(value) if isinstance(value, float) else str(value)


def _float_text(value: float) -> str:
    """The shortest text that is read as this number, in single precision where it has no more digits than that."""
    if math.isinf(value):
        return "-infinity" if value < 0 else "infinity"
    single = np.float32(value) if abs(value) < 3e38 else np.float32(0)
    text = str(single) if float(single) == value else repr(value)
    return re.sub(r"e\+?(-?)0*(\d)", r"e\1\2", text.removesuffix(".0"))


def size_text(size: Size, names: Mapping[str, str]) -> str:
    """A size in terms of `names`, which every symbol in it has."""
    if isinstance(size, int):
        return str(size)
    parts: list[str] = []
    for monomial, coefficient in sorted(size.terms, key=lambda term: (not term[0], term[1] < 0)):
        factors = [_atom_text(atom, names) for atom, power in monomial for _ in range(power)]
        if abs(coefficient) != 1 or not factors:
            factors.insert(0, str(abs(coefficient)))
        sign = "-" if coefficient < 0 else "+"
        parts.append(f" {sign} " if parts else "-" if coefficient < 0 else "")
        parts.append(" * ".join(factors))
    return "".join(parts)


def _atom_text(atom: Symbol | Opaque, names: Mapping[str, str]) -> str:
    if isinstance(atom, Symbol):
        return names[atom.name]
    left, right = size_text(atom.left, names), size_text(atom.right, names)
    if atom.operator in ("min", "max"):
        return f"{atom.operator}imum({left}, {right})"
    return f"(({left}) {atom.operator} ({right}))" if isinstance(atom.right, Dim) else f"(({left}) // {right})"


def tensor_text(array: np.ndarray, dtype: str) -> str:
    """`tensor([1, 2])`: a constant written out."""
    numbers = array.astype(np.float32 if array.dtype.kind not in "biuf" else array.dtype)  # bfloat16 is no NumPy type
    text = _nested(numbers.tolist())
    natural = "bool" if array.dtype == bool else "f32" if re.search(r"[.e]", text) else "i64"
    return f"tensor({text})" if dtype == natural else f"tensor({text}, {dtype})"


def _nested(items: Any) -> str:
    if isinstance(items, list):
        return f"[{', '.join(_nested(item) for item in items)}]"
    return value_text(items)
