"""Pieces of words by byte-pair encoding (Sennrich et al. 2016), through the `tokenizers` library, which is an extra."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from netlang.diagnostics import fail

from .vocabulary import BPE, MARKS, SPACE, UNKNOWN, Vocabulary

_AT_ONCE = 10_000


def train(texts: Iterable[str], size: int, lower: bool) -> Vocabulary:
    """The vocabulary of at most `size` pieces, marks included. Raises DiagnosticError (`missing-extra`)."""
    library = _library()
    tokenizer = _tokenizer(library.models.BPE(unk_token=UNKNOWN))
    trainer = library.trainers.BpeTrainer(vocab_size=size, special_tokens=list(MARKS), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return Vocabulary(BPE, tuple(tokens), lower, tuple((first, second) for first, second in model["merges"]))


def pieces(vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[list[str]]:
    """The pieces of each text. Raises DiagnosticError (`missing-extra`)."""
    tokenizer = _restored(vocabulary.tokens, vocabulary.merges)
    texts = iter(texts)
    while group := list(islice(texts, _AT_ONCE)):
        for encoding in tokenizer.encode_batch(group, add_special_tokens=False):
            yield encoding.tokens


@lru_cache(maxsize=4)
def _restored(tokens: tuple[str, ...], merges: tuple[tuple[str, str], ...]) -> Any:
    numbers = {token: number for number, token in enumerate(tokens)}
    return _tokenizer(_library().models.BPE(numbers, list(merges), unk_token=UNKNOWN))


def _tokenizer(model: Any) -> Any:
    library = _library()
    tokenizer = library.Tokenizer(model)
    line_ends = library.pre_tokenizers.Split("\n", "isolated")
    spaces = library.pre_tokenizers.Metaspace(SPACE, prepend_scheme="first")
    punctuation = library.pre_tokenizers.Punctuation("isolated")
    tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence([line_ends, spaces, punctuation])
    return tokenizer


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise fail("missing-extra", "pieces of words need `tokenizers`", help="`pip install 'netlang[text]'`") from None
    return tokenizers
