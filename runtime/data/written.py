"""What goes into an entry and comes out of it, as people write it: text, and the names of classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netlang.types import INTEGERS, TensorType

from .vocabulary import NAMES, Vocabulary


def vocabulary_of(name: str, type_: TensorType, vocabularies: Mapping[str, Vocabulary]) -> Vocabulary | None:
    """The vocabulary of an input: that of the column of its name, or of the text, where there is one kind of text."""
    if type_.dtype not in INTEGERS or type_.rank == 0:
        return None
    if name in vocabularies:
        return vocabularies[name]
    texts = [each for each in vocabularies.values() if each.kind != NAMES]
    return texts[0] if texts and all(each.tokens == texts[0].tokens for each in texts) else None


def written(result: np.ndarray, vocabularies: Mapping[str, Vocabulary]) -> list[str] | None:
    """What each row of a result says, where that is known.

    Integers are text in the language of the column `target`, or of `tokens`, or else numbers of classes. Floats
    `[n, classes]` say how likely each class is: the most likely one is meant. None for everything else.
    """
    labels = next((each for each in vocabularies.values() if each.kind == NAMES), None)
    texts = [each for each in vocabularies.values() if each.kind != NAMES]
    text = vocabularies.get("target") or (texts[0] if texts else None)
    if result.dtype.kind == "f":
        chooses = labels is not None and result.ndim == 2 and result.shape[1] == len(labels)
        return [labels.name(int(row.argmax())) for row in result] if labels and chooses else None
    if result.dtype.kind != "i" or result.ndim not in (1, 2):
        return None
    if result.ndim == 2:
        return None if text is None else [text.decode(row) for row in result]
    meant = labels or text
    return None if meant is None else [meant.name(int(number)) for number in result]
