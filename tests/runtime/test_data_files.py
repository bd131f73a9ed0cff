"""Data files of every kind: what they mean when they are whole, and what is said when they are not."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from netlang.runtime.data import DataOptions, batches, open_data
from netlang.runtime.data.idx import read_idx
from netlang.runtime.data.numpy_files import read_npy, read_npz
from netlang.runtime.data.table import TrainingFeed
from netlang.runtime.data.vocabulary import CHARACTERS, Vocabulary

from netlang.diagnostics import DiagnosticError


def refused(code: str, spec: str, options: DataOptions | None = None) -> str:
    """The title of the one diagnostic, of this code, that opening `spec` gives."""
    with pytest.raises(DiagnosticError) as caught:
        open_data(spec, options)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    return diagnostic.title


def idx_bytes(array: np.ndarray) -> bytes:
    code = {"u1": 0x08, "i4": 0x0C, "f4": 0x0D}[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A folder like MNIST's with 6 training and 4 test images; the training images compressed."""
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 6), ("t10k", 4)):
        images = rng.integers(0, 256, (count, 3, 2), np.uint8)
        labels = (np.arange(count) % 3).astype(np.uint8)
        np.save(tmp_path / f"{prefix}.expected", images)
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
        if prefix == "train":
            (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
        else:
            (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(images))
    return tmp_path


def test_the_digits_are_all_there_split_once_and_for_all() -> None:
    dataset = open_data("digits")
    assert dataset.rows() == {"train": 1257, "validation": 180, "test": 360}
    rows = [table.take(table.sequence()) for table in dataset.splits.values()]
    images = np.concatenate([row["image"] for row in rows])
    labels = np.concatenate([row["label"] for row in rows])
    assert images.shape == (1797, 1, 8, 8) and images.dtype == np.float32
    assert images.min() == 0 and images.max() == 1
    # Published: 178 to 183 of each digit, and the sum of all pixels of scikit-learn's copy.
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert images.astype(np.float64).sum() * 16 == 561718
    assert len(np.unique(images.reshape(1797, -1), axis=0)) == 1797


def test_an_idx_folder_gives_pixels_in_the_unit_interval(mnist: Path) -> None:
    dataset = open_data(f"mnist:{mnist}")
    assert dataset.rows() == {"train": 6, "test": 4}
    assert dataset.settings == {"classes": 3}
    taken = dataset.splits["test"].take(np.array([2, 0]))
    expected = np.load(mnist / "t10k.expected.npy")[[2, 0]]
    np.testing.assert_array_equal(taken["image"], expected[:, None].astype(np.float32) / 255)
    np.testing.assert_array_equal(taken["label"], [2, 0])
    assert taken["label"].dtype == np.int64


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_idx_dtypes(tmp_path: Path, dtype: type) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "a").write_bytes(idx_bytes(array))
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), array)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("cut", [0, 3, 7, 20, 41])
def test_a_truncated_idx_file_is_refused(mnist: Path, cut: int, compressed: bool) -> None:
    path = mnist / "train-images-idx3-ubyte.gz"
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole[:cut]) if compressed else whole[:cut])
    assert str(path) in refused("truncated-data" if cut > 3 else "bad-data", f"mnist:{mnist}")


def test_a_truncated_gzip_stream_is_refused(mnist: Path) -> None:
    path = mnist / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])
    refused("truncated-data", f"mnist:{mnist}")


def test_a_damaged_gzip_stream_is_refused(mnist: Path) -> None:
    path = mnist / "train-images-idx3-ubyte.gz"
    data = bytearray(path.read_bytes())
    data[-8] ^= 0xFF  # the check sum
    path.write_bytes(data)
    refused("bad-data", f"mnist:{mnist}")


def test_an_idx_header_that_promises_terabytes_allocates_nothing(mnist: Path) -> None:
    path = mnist / "t10k-images-idx3-ubyte"
    path.write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**10, 2**10) + bytes(100))
    assert "promises" in refused("truncated-data", f"mnist:{mnist}")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t10k-images-idx3-ubyte", b"\x89PNG\r\n\x1a\n" + bytes(50), "no idx file"),
        ("t10k-images-idx3-ubyte", idx_bytes(np.zeros((4, 3, 2), np.uint8)) + b"more", "longer"),
        ("t10k-images-idx3-ubyte", idx_bytes(np.zeros((4, 3), np.uint8)), "no images"),
        ("t10k-labels-idx1-ubyte", idx_bytes(np.zeros(5, np.uint8)), "4 images and 5 labels"),
        ("t10k-labels-idx1-ubyte", idx_bytes(np.zeros(4, np.float32)), "no labels"),
    ],
)
def test_wrong_idx_files(mnist: Path, name: str, content: bytes, words: str) -> None:
    (mnist / name).write_bytes(content)
    assert words in refused("bad-data", f"mnist:{mnist}")


def test_an_idx_folder_without_its_labels(mnist: Path) -> None:
    (mnist / "train-labels-idx1-ubyte").unlink()
    assert "no counterpart with labels" in refused("bad-data", f"mnist:{mnist}")


def test_npz_columns_splits_and_dtypes(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(6, 2)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.arange(6, dtype=np.uint8), x_test=x[:2], y_test=np.ones(2, "i2"))
    dataset = open_data(str(tmp_path / "a.npz"))
    assert dataset.rows() == {"train": 6, "test": 2}
    taken = dataset.splits["train"].take(np.array([1]))
    assert (taken["x"].dtype, taken["y"].dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(taken["x"], [[2, 3]])


def test_npy_files_are_columns(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(np.arange(6.0).reshape(3, 2)))
    np.save(tmp_path / "y.npy", np.arange(3, dtype=">i4"))
    dataset = open_data(str(tmp_path))
    taken = dataset.splits["train"].take(np.array([2]))
    np.testing.assert_array_equal(taken["x"], [[4, 5]])
    np.testing.assert_array_equal(taken["y"], [2])


@pytest.mark.parametrize("cut", [0, 5, 40, 129, 150])
def test_a_truncated_npy_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(10.0))
    path.write_bytes(path.read_bytes()[:cut])
    refused("truncated-data" if cut > 128 else "bad-data", f"npy:{path}")


@pytest.mark.parametrize(
    "header", ["{'descr': '<f8',", "  a\n b", "{1: 2, 'a': 3}", "~" * 5000 + "1", "-" * 9000 + "1"]
)
def test_an_npy_file_whose_header_says_nothing_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode())
    assert "is no NumPy array" in refused("bad-data", f"npy:{path}")


def test_an_npy_header_that_promises_terabytes_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 100)))
    path.write_bytes(path.read_bytes().replace(b"(100, 100), }           ", b"(1000000, 10000000), }  "))
    with pytest.raises(DiagnosticError, match="80,000,000,000,000 bytes"):
        read_npy(path)


def test_pickled_objects_are_refused_unread(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("a pickle was loaded",))

    np.save(tmp_path / "x.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(DiagnosticError, match="Python objects"):
        read_npy(tmp_path / "x.npy")


@pytest.mark.parametrize("cut", [0, 30, 200, -1])
def test_a_truncated_npz_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(100.0))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DiagnosticError, match="truncated-data"):
        read_npz(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_npz_file_is_refused(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "a.npz"
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=1000))
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.write(tmp_path / "x.npy", "x.npy")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DiagnosticError):
        read_npz(path)


def test_an_encrypted_npz_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(100.0))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # the flags in the listing
    path.write_bytes(data)
    assert "is encrypted" in refused("bad-data", f"npz:{path}")


def test_an_npz_member_that_lies_about_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(DiagnosticError, match="is no array"):
        read_npz(path)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((3, 2)), "y": np.zeros(4)}, "same number of rows"),
        ({"x": np.array(3.0)}, "single number"),
        ({"x": np.array(["a", "b"])}, "no numbers"),
        ({"x": np.zeros(2, complex)}, "no numbers"),
        ({"x": np.zeros((0, 2))}, "has no rows"),
        ({"x": np.zeros((3, 2)), "x_test": np.zeros((0, 2))}, "the test part of `npz:"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(0)}, "same number of rows"),
        ({}, "no arrays"),
    ],
)
def test_arrays_that_are_no_table(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    assert words in refused("bad-data", f"npz:{tmp_path / 'a.npz'}")


def test_text_becomes_windows_of_characters(tmp_path: Path) -> None:
    text = "hello wörld, " * 20
    (tmp_path / "t.txt").write_text(text, "utf-8")
    dataset = open_data(f"text:{tmp_path / 't.txt'}", DataOptions(length=5))
    vocabulary = dataset.vocabularies["tokens"]
    assert vocabulary == dataset.vocabularies["target"] == Vocabulary(CHARACTERS, tuple(sorted(set(text))))
    assert dataset.settings == {"vocab": len(vocabulary)}
    train, validation = dataset.splits["train"], dataset.splits["validation"]
    taken = train.take(np.array([0, 7]))
    assert [vocabulary.decode(row) for row in taken["tokens"]] == ["hello", "örld,"]
    assert [vocabulary.decode(row) for row in taken["target"]] == ["ello ", "rld, "]
    rows = validation.sequence()
    shown = "".join(vocabulary.decode(row) for row in validation.take(rows)["tokens"])
    assert text[234:].startswith(shown) and len(text[234:]) - len(shown) <= 5
    for epoch in range(50):
        taken = train.take(train.shuffled(0, epoch, 8))  # never beyond the end
        assert taken["tokens"].shape == (46, 5)


def test_every_window_of_a_text_is_drawn_some_time(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abcdefghij" * 2, "utf-8")
    train = open_data(f"text:{tmp_path / 't.txt'}", DataOptions(length=1)).splits["train"]
    drawn = {int(row) for epoch in range(100) for row in train.shuffled(0, epoch, 8)}
    assert drawn == set(range(17))


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"caf\xe9 " * 100, "unreadable-file", "line 1 is not UTF-8"),
        (b"ab\0cd" * 100, "unreadable-file", "binary"),
        (b"short", "bad-data", "too short"),
        (b"", "bad-data", "too short"),
    ],
)
def test_wrong_text_files(tmp_path: Path, content: bytes, code: str, words: str) -> None:
    (tmp_path / "t.txt").write_bytes(content)
    assert words in refused(code, f"text:{tmp_path / 't.txt'}")


def test_a_table_with_named_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("length,width,kind\n1,2.5,rose\n3,4,aster\n\n5,6,rose\n", "utf-8")
    dataset = open_data(str(tmp_path / "t.csv"))
    taken = dataset.splits["train"].take(np.arange(3))
    np.testing.assert_array_equal(taken["x"], np.array([[1, 2.5], [3, 4], [5, 6]], np.float32))
    np.testing.assert_array_equal(taken["kind"], [1, 0, 1])
    np.testing.assert_array_equal(taken["width"], np.array([2.5, 4, 6], np.float32))
    assert dataset.settings == {"features": 2, "classes": 2}


def test_a_table_with_half_a_pair_of_quotation_marks(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n1,3\n"2,4\n' + "5,6\n" * 40_000, "utf-8")
    assert "line 3 of" in refused("bad-data", f"csv:{tmp_path / 't.csv'}")


def test_the_last_column_is_whole_numbers_or_not(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,3\n2,4\n", "utf-8")
    (tmp_path / "u.tsv").write_text("a\tb\n1\t3.5\n2\t-4\n", "utf-8")
    whole = open_data(str(tmp_path / "t.csv")).splits["train"].take(np.arange(2))["b"]
    real = open_data(str(tmp_path / "u.tsv")).splits["train"].take(np.arange(2))["b"]
    assert (whole.dtype, real.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(real, np.array([3.5, -4], np.float32))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n", "has no rows"),
        ("1,2\n3,4\n", "holds numbers"),
        ("a,a\n1,2\n", "need names"),
        ("a,b\n1,2\n3\n", "row 3"),
        ("a,b\n1,2\nx,4\n", "row 3 of"),
        ("a,b\n1,2\n3,\n", "row 3 of `FILE` has nothing in the column `b`"),
        ("a,b\n1,rose\n3,\n", "row 3 of `FILE` has nothing in the column `b`"),
        ("1.5,rose\n2.5,aster\n0.5,rose\n", "holds numbers"),
        ("a;b\n1;2\n", "are separated by `;`"),
        ("a,b\n1,2\nnan,3\n", "row 3 of `FILE` has no number in the column `a`"),
        ("a,b\n1,2\n3,inf\n", "row 3 of `FILE` has no number in the column `b`"),
    ],
)
def test_wrong_tables(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text, "utf-8")
    assert words.replace("FILE", str(tmp_path / "t.csv")) in refused("bad-data", f"csv:{tmp_path / 't.csv'}")


def test_a_target_that_is_not_the_last_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("kind,a\nrose,2\n", "utf-8")
    with pytest.raises(DiagnosticError) as caught:
        open_data(str(tmp_path / "t.csv"))
    assert caught.value.diagnostics[0].help == "only the last column, the target, can hold words"


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("dgits", "unknown-source"),
        ("mnits:somewhere", "unknown-source"),
        ("npz:nowhere.npz", "unreadable-file"),
        ("mnist:nowhere", "unreadable-file"),
        ("nowhere/at/all", "unknown-source"),
    ],
)
def test_sources_that_are_not_there(spec: str, code: str) -> None:
    refused(code, spec)


def test_a_misspelt_source_gets_a_suggestion() -> None:
    with pytest.raises(DiagnosticError) as caught:
        open_data("dgits")
    assert caught.value.diagnostics[0].help == "did you mean `digits`?"


def test_the_kind_of_a_path_is_guessed_from_its_content(mnist: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "without_suffix", x=np.zeros((2, 2)))
    (tmp_path / "without_suffix.npz").rename(tmp_path / "data")
    assert open_data(str(tmp_path / "data")).rows() == {"train": 2}
    assert open_data(str(mnist)).rows() == {"train": 6, "test": 4}
    (tmp_path / "a.bin").write_bytes(b"\0\1\2")
    refused("unknown-source", str(tmp_path / "a.bin"))


def test_a_limit_takes_rows_evenly(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", y=np.repeat(np.arange(5), 20))
    dataset = open_data(f"npz:{tmp_path / 'a.npz'}", DataOptions(limit=10))
    np.testing.assert_array_equal(dataset.splits["train"].take(np.arange(10))["y"], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])


def test_held_out_rows_are_the_same_always_and_in_one_split_only(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", y=np.arange(100))
    options = DataOptions(validation=0.1, test=0.2)

    def split() -> dict[str, list[int]]:
        dataset = open_data(f"npz:{tmp_path / 'a.npz'}", options)
        return {name: table.take(table.sequence())["y"].tolist() for name, table in dataset.splits.items()}

    first = split()
    assert {name: len(rows) for name, rows in first.items()} == {"train": 72, "validation": 8, "test": 20}
    assert sorted(row for rows in first.values() for row in rows) == list(range(100))
    assert split() == first


@pytest.mark.parametrize(
    "options",
    [DataOptions(limit=0), DataOptions(validation=1.0), DataOptions(test=-0.1), DataOptions(validation=0.01)],
)
def test_impossible_options(tmp_path: Path, options: DataOptions) -> None:
    np.savez(tmp_path / "a.npz", y=np.arange(10))
    refused("bad-value", f"npz:{tmp_path / 'a.npz'}", options)


def test_a_split_that_the_data_has_is_not_held_out_twice() -> None:
    refused("bad-value", "digits", DataOptions(validation=0.1))


def test_an_epoch_takes_every_row_once_in_an_order_of_its_own() -> None:
    table = open_data("digits").splits["validation"]
    feed = TrainingFeed(table, 50, seed=3)
    assert feed.steps_per_epoch == 4
    epochs = [[feed.batch(4 * epoch + i)["image"] for i in range(4)] for epoch in range(2)]
    assert [len(images) for images in epochs[0]] == [50, 50, 50, 30]
    rows = [np.sort(np.concatenate(images).reshape(180, 64), axis=0) for images in epochs]
    expected = np.sort(table.take(table.sequence())["image"].reshape(180, 64), axis=0)
    for found in rows:
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(epochs[0][0], epochs[1][0])
    again = TrainingFeed(table, 50, seed=3)
    np.testing.assert_array_equal(again.batch(6)["image"], epochs[1][2])  # any step at once
    assert not np.array_equal(TrainingFeed(table, 50, seed=4).batch(0)["image"], epochs[0][0])


def test_batches_end_with_what_is_left() -> None:
    table = open_data("digits").splits["validation"]
    found = list(batches(table, 100))
    assert [len(batch["label"]) for batch in found] == [100, 80]
    np.testing.assert_array_equal(
        np.concatenate([batch["label"] for batch in found]), table.take(table.sequence())["label"]
    )
