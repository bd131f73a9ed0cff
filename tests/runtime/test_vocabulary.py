"""Text to numbers and back, and vocabularies as files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from netlang.runtime.data.tokenizing import Tokenizing, vocabularies
from netlang.runtime.data.vocabulary import MARKS, Vocabulary, names
from netlang.runtime.data.vocabulary_file import read_vocabularies, vocabularies_json

from netlang.diagnostics import Diagnostic, DiagnosticError

LINES = ["The cat sat.", "The dog (a big one) sat, too!", "the cat-like dog's end"]


def refused(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def made(spec: str, lines: list[str] = LINES, marked: bool = True) -> Vocabulary:
    return Tokenizing.parse(spec).vocabulary(lines, marked)


def test_words_are_numbered_by_frequency_behind_the_marks() -> None:
    words = made("words")
    assert words.tokens[:4] == MARKS
    assert words.tokens[4:9] == ("The", "sat", "!", "(", ")")  # twice, twice, then once each in order of characters
    assert {"cat-like", "dog's"} <= set(words.tokens)
    assert made("words:lower").tokens[4] == "the"
    assert len(made("words:6")) == 6


@pytest.mark.parametrize("spec", ["characters", "words", "bpe:60"])
@pytest.mark.parametrize("text", LINES)
def test_text_comes_back(spec: str, text: str) -> None:
    vocabulary = made(spec)
    numbers = vocabulary.encode(text)
    assert numbers.dtype == np.int32
    assert vocabulary.decode(numbers) == text
    assert vocabulary.unknown(text) == []


@pytest.mark.parametrize("spec", ["characters", "words", "bpe:60"])
def test_what_is_not_known_becomes_the_mark_for_it(spec: str) -> None:
    vocabulary = made(spec)
    assert MARKS.index("<unknown>") in vocabulary.encode("The ß sat")
    assert vocabulary.unknown("The ß sat") == ["ß"]


def test_without_marks_what_is_not_known_is_refused() -> None:
    letters = made("characters", ["ab"], marked=False)
    np.testing.assert_array_equal(letters.encode("bab"), [1, 0, 1])
    assert refused(lambda: letters.encode("abü")).title == ("the character 'ü' is not among the 2 of the training text")


def test_text_that_looks_like_a_mark_is_none() -> None:
    words = made("words", ["<end> of it"])
    assert words.encode("<end>").tolist() == [words.tokens.index(part) for part in ("<", "end", ">")]


def test_decoding_stops_at_the_end_and_shows_numbers_without_a_token() -> None:
    words = made("words")
    the, sat = words.tokens.index("The"), words.tokens.index("sat")
    assert words.decode([1, the, sat, 2, the, 0, 0]) == "The sat"
    assert words.decode([the, 999, -1]) == "The <999> <-1>"


def test_pieces_are_those_of_the_library() -> None:
    pieces = made("bpe:80", LINES * 3)
    model = tokenizers.models.BPE(
        {t: i for i, t in enumerate(pieces.tokens)}, list(pieces.merges), unk_token="<unknown>"
    )
    whole = tokenizers.Tokenizer(model)
    for word in ("cat", "sat", "▁The"):
        assert [pieces.tokens[i] for i in pieces.encode(word)][-1:] == whole.encode(
            "▁" * (word[0] != "▁") + word
        ).tokens[-1:]
    assert len(pieces) <= 80
    assert made("bpe:80", LINES * 3) == pieces


def test_line_ends_are_tokens_of_running_text() -> None:
    text = "one two\nthree\n\nfour"
    for spec in ("words", "bpe:40"):
        vocabulary = made(spec, [text])
        assert "\n" in [vocabulary.tokens[i] for i in vocabulary.encode(text)]
        assert vocabulary.decode(vocabulary.encode(text)) == text


def test_the_library_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    fault = refused(lambda: made("bpe:60"))
    assert (fault.code, fault.help) == ("missing-extra", "`pip install 'netlang[text]'`")
    assert len(made("words")) > 4


@pytest.mark.parametrize(
    "spec",
    ["", "word", "words:many", "words:3", "words:-8", "words:5:6", "bpe:1e3", "characters:100", "words:lower:lower:9"],
)
def test_what_is_no_way_to_make_tokens(spec: str) -> None:
    assert refused(lambda: Tokenizing.parse(spec)).code == "bad-value"


def test_one_way_for_both_columns_or_one_for_each() -> None:
    columns = {"source": ["ein Hund"], "target": ["a dog"]}
    both = vocabularies(columns, "words", {})
    assert both["source"] is both["target"]
    assert set(both["source"].tokens[4:]) == {"ein", "Hund", "a", "dog"}
    each = vocabularies(columns, "words,characters", {})
    assert set(each["source"].tokens[4:]) == {"ein", "Hund"}
    assert set(each["target"].tokens[4:]) == set("a dog")
    assert refused(lambda: vocabularies(columns, "words,words,words", {})).code == "bad-value"


def test_a_given_vocabulary_is_kept() -> None:
    given = {"tokens": made("words")}
    assert vocabularies({"tokens": ["new text"]}, "characters", given) == given
    assert refused(lambda: vocabularies({"source": []}, "words", given)).code == "vocabulary-mismatch"


@pytest.mark.parametrize("spec", ["characters", "words:lower", "bpe:50:lower"])
def test_files_hold_all_of_a_vocabulary(tmp_path: Path, spec: str) -> None:
    saved = {"tokens": made(spec), "label": names(["bad", "good"])}
    (tmp_path / "v.json").write_text(json.dumps(vocabularies_json(saved)))
    found = read_vocabularies(tmp_path / "v.json")
    assert found == saved
    for line in LINES:
        np.testing.assert_array_equal(found["tokens"].encode(line), saved["tokens"].encode(line))


GOOD = {"kind": "words", "tokens": ["a", "b"]}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"tokens": 3}',
        json.dumps({"tokens": {**GOOD, "kind": "pickle"}}),
        json.dumps({"tokens": {**GOOD, "tokens": "ab"}}),
        json.dumps({"tokens": {**GOOD, "tokens": [1, 2]}}),
        json.dumps({"tokens": {**GOOD, "tokens": ["a", "a"]}}),
        json.dumps({"tokens": {**GOOD, "after": ["<end>"]}}),
        json.dumps({"tokens": {**GOOD, "merges": [["a"]]}}),
        json.dumps({"tokens": {**GOOD, "merges": {"a": "b"}}}),
    ],
)
def test_damaged_files(tmp_path: Path, content: str) -> None:
    (tmp_path / "v.json").write_text(content)
    fault = refused(lambda: read_vocabularies(tmp_path / "v.json"))
    assert fault.code == "bad-data"
    assert "holds no vocabularies" in fault.title


def test_names_of_classes() -> None:
    classes = names(["cat", "dog"])
    assert (classes.number("dog"), classes.name(0), classes.name(7)) == (1, "cat", "<7>")
    fault: Any = refused(lambda: classes.number("dogs"))
    assert (fault.code, fault.help) == ("unknown-token", "did you mean `dog`?")
