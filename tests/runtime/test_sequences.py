"""Rows of different lengths in batches, and the sources that make them: pairs of sentences, and labelled ones."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from netlang.runtime.data import ArrayTable, Dataset, TrainingFeed, match, open_data
from netlang.runtime.data.lines import read_lines
from netlang.runtime.data.ragged import BUCKETS, Sequences, SequenceTable

from netlang.diagnostics import DiagnosticError

from ..fenced import blocks

GERMAN = ["Ein Hund .", "Zwei Hunde schlafen .", "Ein Mann schläft", "Der Hund"]
ENGLISH = ["A dog .", "Two dogs sleep .", "A man sleeps", "The dog"]


def refused(call: Callable[[], object]) -> str:
    """The code of what a call is refused with."""
    with pytest.raises(DiagnosticError) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code


def table(lengths: np.ndarray) -> SequenceTable:
    """Row `i` holds the number `i + 1`, `lengths[i]` times, and twice that; `row` is `i`."""
    ones = [np.full(length, i + 1) for i, length in enumerate(lengths)]
    twice = [np.full(2 * length, i + 1) for i, length in enumerate(lengths)]
    columns = ArrayTable({"row": np.arange(len(lengths))})
    return SequenceTable({"a": Sequences(ones, 1000), "b": Sequences(twice, 1000)}, columns)


@pytest.fixture
def lengths() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 40, 300)


def test_rows_are_filled_up_with_padding(lengths: np.ndarray) -> None:
    made = table(lengths)
    for rows in (np.arange(300), np.array([5, 3, 299])):
        taken = made.take(rows)
        for name, times in (("a", 1), ("b", 2)):
            assert taken[name].dtype == np.int64
            np.testing.assert_array_equal((taken[name] != 0).sum(1), times * lengths[rows])
            for found, row in zip(taken[name], rows, strict=True):
                np.testing.assert_array_equal(found[: times * lengths[row]], row + 1)
        np.testing.assert_array_equal(taken["row"], rows)


def test_batches_of_training_have_few_shapes_and_little_padding(lengths: np.ndarray) -> None:
    feed = TrainingFeed(table(lengths), 8, seed=0)
    shapes = {batch["a"].shape for step in range(5 * feed.steps_per_epoch) for batch in [feed.batch(step)]}
    assert len(shapes) <= BUCKETS + 1  # the last batch of an epoch is smaller
    epoch = [feed.batch(step)["a"] for step in range(feed.steps_per_epoch)]
    assert sum(batch.size for batch in epoch) < 1.4 * lengths.sum()  # 300 * 39 would be twice as much


def test_no_other_lengths_would_leave_less_to_fill_up() -> None:
    random = np.random.default_rng(1)
    for _ in range(30):
        lengths = random.integers(1, 14, random.integers(1, 40))
        made = table(lengths)
        size = sum(made.take(np.array([row]))["a"].size for row in range(len(lengths)))
        longest, distinct = lengths.max(), np.unique(lengths)
        others = combinations(distinct[:-1], min(BUCKETS, len(distinct)) - 1)
        sizes = [np.array([*other, longest])[np.searchsorted([*other, longest], lengths)].sum() for other in others]
        assert size == min(sizes)


def test_lengths_of_every_kind_are_put_into_few_buckets() -> None:
    made = table(np.arange(1, 1200))
    widths = {made.take(np.array([row]))["a"].shape[1] for row in range(0, 1199, 7)}
    assert len(widths) == BUCKETS
    assert table(np.full(9, 5)).take(np.arange(9))["b"].shape == (9, 10)


def test_an_epoch_has_every_row_once_in_an_order_of_its_own(lengths: np.ndarray) -> None:
    made = table(lengths)
    orders = [made.shuffled(0, epoch, 8) for epoch in range(2)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(300))
    assert (orders[0] != orders[1]).any()
    np.testing.assert_array_equal(orders[1], made.shuffled(0, 1, 8))
    means = [lengths[batch].mean() for batch in np.split(orders[0][:296], 37)]
    assert abs(np.corrcoef(means, np.arange(37))[0, 1]) < 0.4  # short and long batches are mixed


def test_a_part_has_only_its_rows(lengths: np.ndarray) -> None:
    part = table(lengths).part(np.array([7, 11]))
    assert part.sequence().tolist() == [0, 1]
    assert part.take(part.sequence())["row"].tolist() == [7, 11]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a training and a test file in two languages, one of them compressed."""
    monkeypatch.chdir(tmp_path)
    Path("train.de").write_text("\n".join(GERMAN) + "\n")
    Path("train.en").write_text("\r\n".join(ENGLISH))
    Path("test_2016.de").write_bytes(gzip.compress(b"Ein Hund\n"))
    Path("test_2016.en").write_text("A cat")
    return tmp_path


def parallel(**options: object) -> Dataset:
    return open_data("parallel:train.de,train.en", **options)


def test_pairs_of_sentences_are_marked_and_shared(folder: Path) -> None:
    data = parallel()
    assert data.rows() == {"train": 4, "test": 1}
    source, target = data.vocabularies["source"], data.vocabularies["target"]
    assert source.tokens == target.tokens
    assert data.settings["vocab"] == data.settings["source_vocab"] == len(source)
    taken = data.splits["train"].take(np.array([3]))
    assert [source.name(i) for i in taken["source"][0][:3]] == ["Der", "Hund", "<end>"]
    assert [target.name(i) for i in taken["target"][0][:4]] == ["<begin>", "The", "dog", "<end>"]
    tested = data.splits["test"].take(np.array([0]))["target"][0]
    assert [target.name(i) for i in tested] == ["<begin>", "A", "<unknown>", "<end>"]  # no cat in training
    assert data.notes == ("test: `test_2016.de` and `test_2016.en`",)


def test_two_vocabularies_and_a_longest_line(folder: Path) -> None:
    data = parallel(tokens="words:6,characters", length=9)
    assert data.rows()["train"] == 2
    assert data.settings["source_vocab"] == 6
    assert "vocab" not in data.settings
    assert refused(lambda: parallel(length=2)) == "bad-value"
    assert parallel(length=5).rows()["train"] == 3
    assert "1 pairs of more than 5 tokens left out" in parallel(length=5).notes


def test_vocabularies_that_are_there_already_are_used(folder: Path) -> None:
    first = parallel(tokens="words:7,words")
    again = open_data("parallel:test_2016.de,test_2016.en", vocabularies=first.vocabularies)
    assert again.vocabularies == first.vocabularies
    text = Path("other.txt")
    text.write_text("Hund " * 100)
    assert refused(lambda: open_data("text:other.txt", vocabularies=first.vocabularies)) == "vocabulary-mismatch"


def test_lines_of_other_encodings_are_read_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("gut\nschön…\n".encode("cp1252"))
    assert read_lines(path).texts == ["gut", "schön…"]
    assert read_lines(path).note == f"`{path}` is not UTF-8 (line 2): read as Windows-1252"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert read_lines(path) == (["one", "two"], None)
    path.write_bytes(b"")
    assert read_lines(path).texts == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\x81\xff\x8d", "unreadable-file"),
        ("text".encode("utf-16"), "unreadable-file"),
        (gzip.compress(b"hello\n" * 99, mtime=0)[:-9], "truncated-data"),
        (gzip.compress(b"hello\n" * 99, mtime=0)[:20] + b"x" * 40, "bad-data"),
    ],
)
def test_files_that_are_no_lines(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert refused(lambda: read_lines(tmp_path / "a.txt")) == code


def test_a_small_file_that_unpacks_to_any_size_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netlang.runtime.data.lines.SIZE_LIMIT", 1 << 20)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"\n" * (1 << 24)))
    assert refused(lambda: read_lines(tmp_path / "a.gz")) == "unreadable-file"


def test_labelled_sentences(tmp_path: Path) -> None:
    path = tmp_path / "all.txt"
    path.write_text("good a fine film\nbad\ta  dull , long film\ngood fine\nbad no\n")
    data = open_data(f"sentences:{path}", length=3, test=0.25)
    assert data.rows() == {"train": 3, "test": 1}
    assert data.settings["classes"] == 2
    assert data.vocabularies["label"].tokens == ("bad", "good")
    whole = open_data(f"sentences:{path}").splits["train"]
    taken = whole.take(np.arange(4))
    assert taken["label"].tolist() == [1, 0, 1, 0]
    assert data.vocabularies["tokens"].decode(taken["tokens"][1]) == "a dull, long film"
    assert (data.splits["train"].take(np.arange(3))["tokens"] != 0).sum(1).max() == 3
    other = tmp_path / "other.txt"
    other.write_text("good fine film\n")
    again = open_data(f"sentences:{other}", vocabularies=data.vocabularies)
    assert again.splits["train"].take(np.arange(1))["label"].tolist() == [1]
    other.write_text("so-so fine film\n")
    assert refused(lambda: open_data(f"sentences:{other}", vocabularies=data.vocabularies)) == "unknown-token"


def test_a_line_that_no_batch_could_hold_is_refused(folder: Path) -> None:
    endless = "film " * 10_001
    Path("a.txt").write_text(f"good film\nbad {endless}\ngood no\nbad no\n")
    assert refused(lambda: open_data("sentences:a.txt")) == "bad-data"
    assert open_data("sentences:a.txt", length=500).rows() == {"train": 4}
    Path("train.de").write_text("\n".join([endless, *GERMAN[1:]]))
    assert refused(parallel) == "bad-data"
    assert parallel(length=500).rows()["train"] == 3


READER = """
model Reader(vocab: int = 9, classes: int = 2)(words: i64[b, t]) -> f32[b, classes] {
  param w: f32[vocab, classes] ~ ones()
  return sum(w[words], 1)
}
train Reader { in label: i64[b]; minimize cross_entropy(forward(words), label); optimizer sgd(0.1) }
"""


def test_rows_of_any_length_feed_an_input_of_open_size(tmp_path: Path, build: Callable[..., object]) -> None:
    (tmp_path / "a.txt").write_text("x a b c\ny d e\nx f g\ny h\n")
    data = open_data(f"sentences:{tmp_path / 'a.txt'}")
    matched = match(data, build(READER, vocab=len(data.vocabularies["tokens"])))  # type: ignore[arg-type]
    assert matched.splits["train"].take(np.arange(4))["words"].shape == (4, 3)
    fixed = READER.replace("i64[b, t]", "i64[b, 64]")
    assert refused(lambda: match(data, build(fixed, vocab=12))) == "missing-input"  # type: ignore[arg-type]
    assert refused(lambda: match(data, build(READER))) == "vocabulary-mismatch"  # type: ignore[arg-type]


def test_the_example_of_the_documentation_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (script,) = blocks(Path(__file__).parents[2] / "docs" / "data.md", "python")
    small = script.replace("epochs=10", "steps=1").replace("d=256", "d=8").replace("ff=512", "ff=8")
    assert small.count("=8") >= 2
    exec(small, {})
    assert capsys.readouterr().out.endswith("\n")
