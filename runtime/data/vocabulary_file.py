"""Vocabularies on the disk: plain JSON, by the name of the column whose numbers they explain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlang.diagnostics import fail

from ..files import read_text
from .vocabulary import Vocabulary

SIZE_LIMIT = 500_000_000


def read_vocabularies(path: Path) -> dict[str, Vocabulary]:
    """The vocabularies in a file. Raises DiagnosticError (`unreadable-file`, `bad-data`)."""
    try:
        values = json.loads(read_text(path, SIZE_LIMIT, "vocabulary"))
        if not isinstance(values, dict):
            raise ValueError("no names of columns")
        return {name: Vocabulary.from_json(value) for name, value in values.items()}
    except (ValueError, RecursionError) as error:
        title = f"`{path}` holds no vocabularies: {str(error).splitlines()[0]}"
        raise fail("bad-data", title, help="`vocabulary.json` of a run is such a file") from None


def vocabularies_json(vocabularies: Mapping[str, Vocabulary]) -> dict[str, Any]:
    """What a file of vocabularies holds."""
    return {name: vocabulary.to_json() for name, vocabulary in vocabularies.items()}
