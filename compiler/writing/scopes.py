"""Scopes of nodes: where in its author's program each of them comes from."""

from __future__ import annotations

import re
import unicodedata

_INDEX = re.compile(r"\d+")
_UNWANTED = re.compile(r"\W+", re.ASCII)
_ACCENTS = re.compile("[\u0300-\u036f]+")


MAX_DEPTH = 20
"""Scopes within scopes; what is deeper counts as the last of them."""


def path_of(scope: str) -> tuple[str, ...]:
    """The parts of a scope, from the outside in; a number belongs to the part before it.

    `/encoder/layers.0/attn` and `encoder.layers.0.attn` are both `("encoder", "layers.0", "attn")`.
    """
    parts = [part for part in scope.split("/") if part]
    if len(parts) == 1:
        parts = parts[0].split(".")
    merged: list[str] = []
    for part in parts:
        if _INDEX.fullmatch(part) and merged:
            merged[-1] = f"{merged[-1]}.{part}"
        else:
            merged.append(part)
    return tuple(merged[:MAX_DEPTH])


def stem(part: str) -> str:
    """A part of a scope without its numbers, as a name: `layers.0` and `decoder.layers.0` are `layers`."""
    words = [word for word in part.split(".") if word and not _INDEX.fullmatch(word)]
    return identifier(words[-1]) if words else ""


def index(part: str) -> int | None:
    """The number at the end of a part of a scope."""
    last = part.rpartition(".")[2]
    return int(last) if _INDEX.fullmatch(last) else None


def without_number(name: str) -> str:
    """`linear` of `linear_2` and `linear2`."""
    return re.sub(r"_?\d+$", "", name)


def identifier(text: str) -> str:
    """The nearest name to a text, in lower case; "" where nothing of it can be in a name."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    name = _UNWANTED.sub("_", plain).strip("_")
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return f"n{name}" if name[:1].isdigit() else name


def common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """What two paths have in common from the outside in."""
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]
