"""Data meets network: by name, by order, reshaped, fitted, or refused with the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from netlang.compiler import Network
from netlang.runtime.data import ArrayTable, DataOptions, Dataset, array_dataset, match, open_data
from PIL import Image

from netlang.diagnostics import Diagnostic, DiagnosticError

Build = Callable[..., Network]


def network_of(build: Build, inputs: str, target: str = "label: i64[b]", fit: str = "") -> Network:
    """A network of two inputs that computes next to nothing."""
    name, kind = (part.strip() for part in target.split(":"))
    loss = f"mean(f32({name}))" if kind.startswith("i") else f"mean({name})"
    first = inputs.partition(":")[0]
    forward = f"mean(f32({first}))" if "i64" in inputs else f"mean({first})"
    return build(f"""
    model M()({inputs}) -> f32 {{ param w: f32 ~ ones(); return w * {forward} }}
    train M {{ in {target}; {fit}; minimize forward({first}) + {loss}; optimizer sgd(0.1) }}
    """)


def refused(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def first_rows(dataset: Dataset, count: int = 2) -> dict[str, np.ndarray]:
    return dataset.splits["train"].take(np.arange(count))


def test_columns_go_to_inputs_of_their_name(build: Build) -> None:
    matched = match(open_data("digits"), network_of(build, "image: f32[b, 1, 8, 8]"))
    taken = first_rows(matched)
    assert {name: array.shape for name, array in taken.items()} == {"image": (2, 1, 8, 8), "label": (2,)}
    assert matched.notes == ()


def test_other_names_are_matched_by_kind_and_shape_with_a_note(build: Build) -> None:
    matched = match(open_data("digits"), network_of(build, "x: f32[b, 1, 8, 8]", "digit: i64[b]"))
    assert set(first_rows(matched)) == {"x", "digit"}
    assert matched.notes == ("`x` is fed with the column `image`", "`digit` is fed with the column `label`")


def test_images_are_flattened_for_a_dense_network(build: Build) -> None:
    digits = open_data("digits")
    matched = match(digits, network_of(build, "image: f32[b, 64]"))
    np.testing.assert_array_equal(first_rows(matched)["image"], first_rows(digits)["image"].reshape(2, 64))
    assert matched.notes == ("`image`: rows [1, 8, 8] reshaped to [64]",)


def test_a_column_of_numbers_becomes_a_matrix_of_one_column(build: Build) -> None:
    data = array_dataset("a", {"x": np.zeros((4, 3)), "y": np.arange(4.0)})
    matched = match(data, network_of(build, "x: f32[b, 3]", "y: f32[b, 1]"))
    np.testing.assert_array_equal(first_rows(matched)["y"], [[0], [1]])


@pytest.mark.parametrize(("method", "words"), [("pad", "padded"), ("resize", "resized")])
def test_images_are_fitted_as_the_file_says(build: Build, method: str, words: str) -> None:
    network = network_of(build, "image: f32[b, 1, 32, 32]", fit=f"fit image: {method}")
    digits = open_data("digits")
    matched = match(digits, network)
    taken = first_rows(matched)["image"]
    assert taken.shape == (2, 1, 32, 32)
    assert matched.notes == (f"`image`: images 8 × 8 {words} to 32 × 32",)
    if method == "pad":
        np.testing.assert_array_equal(taken[:, :, 12:20, 12:20], first_rows(digits)["image"])
        assert taken.sum() == first_rows(digits)["image"].sum()


def test_without_that_the_line_to_write_is_shown(build: Build) -> None:
    diagnostic = refused(lambda: match(open_data("digits"), network_of(build, "image: f32[b, 1, 32, 32]")))
    assert diagnostic.code == "wrong-input"
    assert (diagnostic.expected, diagnostic.found) == ("f32[b, 1, 32, 32]", "f32[n, 1, 8, 8]")
    assert diagnostic.help == (
        "say in the `train` block how images are to fit: `fit image: pad` or `fit image: resize`"
    )


def test_pictures_of_many_sizes_become_one(build: Build, tmp_path: Path) -> None:
    for i, side in enumerate((4, 6)):
        (tmp_path / f"class{i}").mkdir()
        Image.fromarray(np.full((side, side), 255, np.uint8)).save(tmp_path / f"class{i}" / "a.png")
    data = open_data(str(tmp_path))
    matched = match(data, network_of(build, "image: f32[b, 1, 8, 8]", fit="fit image: pad"))
    assert first_rows(matched)["image"].sum(axis=(1, 2, 3)).tolist() == [16, 36]
    symbolic = refused(lambda: match(data, network_of(build, "image: f32[b, 1, h, w]")))
    assert symbolic.found == "f32[n, 1, _, _]"
    assert symbolic.help == (
        "the pictures differ in size: in a program of your own, `image: f32[b, 1, 64, 64]` and `fit image: resize`"
    )
    coloured = refused(lambda: match(data, network_of(build, "image: f32[b, 3, 8, 8]", fit="fit image: pad")))
    assert coloured.help == "the pictures have 1 channel, `image` has 3: change one"


@pytest.mark.parametrize(
    ("inputs", "target", "code"),
    [
        ("image: f32[b, 3, 8, 8]", "label: i64[b]", "wrong-input"),  # channels are never invented
        ("image: i64[b, 1, 8, 8]", "label: i64[b]", "wrong-input"),
        ("image: f32[b, 1, 8, 8]", "weight: f32[b]", "missing-input"),
        ("image: f32[b, 63]", "label: i64[b]", "wrong-input"),
    ],
)
def test_what_does_not_fit_is_refused(build: Build, inputs: str, target: str, code: str) -> None:
    assert refused(lambda: match(open_data("digits"), network_of(build, inputs, target))).code == code


def test_labels_and_tokens_beyond_what_the_network_counts(build: Build, tmp_path: Path) -> None:
    network = build(
        """
        model M(classes: int)(x: f32[b, classes]) -> f32[b, classes] { param w: f32 ~ ones(); return w * x }
        train M { in label: i64[b]; minimize cross_entropy(forward(x), label); optimizer sgd(0.1) }
        """,
        classes=3,
    )
    table = ArrayTable({"x": np.zeros((4, 3), np.float32), "label": np.array([0, 1, 2, 3])})
    diagnostic = refused(lambda: match(Dataset("a", {"train": table}), network))
    assert diagnostic.code == "index-out-of-range"
    assert diagnostic.title == "the train data has 3 as `label`"
    assert diagnostic.help == "build the network for it with `--set classes=4`"


def test_text_feeds_tokens_and_target(build: Build, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("hello world " * 20)
    data = open_data(str(tmp_path / "t.txt"), DataOptions(length=6))
    matched = match(data, network_of(build, "tokens: i64[b, t]", "target: i64[b, t]"))
    taken = first_rows(matched)
    np.testing.assert_array_equal(taken["tokens"][:, 1:], taken["target"][:, :-1])
    assert matched.vocabularies == data.vocabularies
