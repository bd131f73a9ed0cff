"""Finding source text."""

from __future__ import annotations

from pathlib import Path

import pytest
from netlang.runtime.loader import (
    SOURCE_LIMIT,
    library_models,
    library_modules,
    load,
    open_source,
    recorded,
    resolve,
)

from netlang.diagnostics import Diagnostic, DiagnosticError
from netlang.source import Source


def only(caught: pytest.ExceptionInfo[DiagnosticError]) -> Diagnostic:
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_a_path_is_relative_to_the_importing_file(tmp_path: Path) -> None:
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks" / "stem.net").write_text("# stem\n")
    importing = Source(str(tmp_path / "model.net"), "")
    found = load("./blocks/stem.net", True, importing)
    assert found.text == "# stem\n"
    assert found.name == str(tmp_path / "blocks" / "stem.net")


def test_names_are_normal_so_that_a_file_has_one() -> None:
    assert resolve("./b.net", True, Source("a/main.net", "")) == "a/b.net"
    assert resolve("../a/b.net", True, Source("a/main.net", "")) == "a/b.net"
    assert resolve("./b.net", True, Source("main.net", "")) == "b.net"


def test_the_library_is_found_wherever_the_package_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = load("std.layers", False, Source("x.net", ""))
    assert found.library and "layer linear(" in found.text
    assert {"std.layers", "std.models", "std.models.lenet"} <= set(library_modules())


def test_every_model_of_the_library_can_be_opened_by_name() -> None:
    models = library_models()
    assert {"LeNet5", "ResNet18", "GPT2"} <= set(models)
    for model, module in models.items():
        source, named = open_source(f"std:{model}")
        assert (source.name, named) == (module, model)


def test_the_index_of_models_is_complete() -> None:
    text = load("std.models", False, Source("x.net", "")).text
    assert [name for name in library_models() if name not in text] == []


@pytest.mark.parametrize(
    ("module", "is_path", "help"),
    [
        ("std.layer", False, "did you mean `std.layers`?"),
        ("layers", False, "did you mean `std.layers`?"),
        ("vision.blocks", False, 'write `use "./vision/blocks.net": …`'),
        ("./modle.net", True, "model.net"),
        ("./model", True, "model.net"),
        ("./model.onnx", True, "a file to use ends in `.net`"),
    ],
)
def test_modules_that_are_not_there(tmp_path: Path, module: str, is_path: bool, help: str) -> None:
    (tmp_path / "model.net").write_text("")
    with pytest.raises(DiagnosticError) as caught:
        load(module, is_path, Source(str(tmp_path / "x.net"), ""))
    assert only(caught).code == "unknown-module"
    assert help in (only(caught).help or "")


def test_the_library_uses_no_files() -> None:
    with pytest.raises(DiagnosticError, match="library cannot use the file"):
        load("./x.net", True, Source("std.layers", "", library=True))


def test_an_unknown_model_of_the_library() -> None:
    with pytest.raises(DiagnosticError) as caught:
        open_source("std:LeNet6")
    assert only(caught).code == "unknown-model"
    assert only(caught).help == "did you mean `LeNet5`?"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"model \xff\xfe", "line 1 is not UTF-8"),
        (b"ok\n\n\xe9", "line 3 is not UTF-8"),
        (b"a\0b", "binary"),
        (b"#" * (SOURCE_LIMIT + 1), "larger than the 2 MB"),
    ],
)
def test_files_that_are_no_source_text(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.net").write_bytes(content)
    with pytest.raises(DiagnosticError) as caught:
        open_source(str(tmp_path / "a.net"))
    assert only(caught).code == "unreadable-file"
    assert words in only(caught).title


def test_a_directory_and_a_name_with_nothing_behind_it(tmp_path: Path) -> None:
    for name in (str(tmp_path), str(tmp_path / "nothing.net"), "a\0b"):
        with pytest.raises(DiagnosticError) as caught:
            open_source(name)
        assert only(caught).code == "unreadable-file"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.net").write_bytes(b"\xef\xbb\xbf# hello\r\n")
    assert open_source(str(tmp_path / "a.net"))[0].text == "# hello\r\n"


def test_recorded_sources_answer_for_the_files_they_copy() -> None:
    sources = {name: Source(name, f"# {name}") for name in ("a/main.net", "a/b.net", "std.layers")}
    find = recorded(sources)
    assert find("./b.net", True, sources["a/main.net"]) is sources["a/b.net"]
    assert find("std.layers", False, sources["a/b.net"]) is sources["std.layers"]
    with pytest.raises(DiagnosticError, match="holds no copy"):
        find("./c.net", True, sources["a/main.net"])
