"""Packages: folders of files that use one another, by path and by name, and what no program may reach."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from netlang.compiler import Network, Program, load_program
from netlang.compiler.elaborate.modules import MAX_CHAIN
from netlang.runtime.loader import SOURCE_LIMIT, load, open_source, recorded

from netlang.diagnostics import Diagnostic, DiagnosticError
from netlang.render import render

from .harness import run

X = np.float32([[1.0, 2.0]])
DOUBLE = "fn double(x: f32[*s]) -> f32[*s] { return factor * x }\nconst factor = 2\n"


def model(use: str, body: str = "double(x)") -> str:
    """A file that uses something and has a model of it."""
    return f"use {use}\nmodel M(x: f32[b, 2]) {{ return {body} }}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], Path]:
    """Writes files into the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, "utf-8")
        return tmp_path

    return write


def program(file: str) -> Program:
    return load_program(open_source(file)[0], load)


def output(network: Network) -> np.ndarray:
    (result,) = run(network.elaborate(), {"x": X}).values()
    return result


def fault(file: str) -> Diagnostic:
    """The only thing that is wrong with a file."""
    with pytest.raises(DiagnosticError) as caught:
        program(file)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def own(sources: dict) -> list[str]:
    return sorted(name for name in sources if not name.startswith("std."))


PACKAGE = {
    "project.net": "## Nets of ours.\n",
    "vision/index.net": 'use "./blocks.net": twice as double\nuse vision.parts.scale: factor\n',
    "vision/blocks.net": "use vision.parts.scale: scaled\nfn twice(x: f32[*s]) -> f32[*s] { return scaled(x) }\n",
    "vision/parts/scale.net": "fn scaled(x: f32[*s]) -> f32[*s] { return factor * x }\nconst factor = 2\n",
}


@pytest.mark.parametrize(
    "use",
    [
        '"./vision": double',
        '"./vision/": double',
        '"./vision/index.net": double',
        '"./vision/../vision": double',
        "vision: double",
        "vision.index: double",
        "vision.blocks: twice as double",
        "vision.parts.scale: scaled as double",
    ],
)
def test_ways_to_use_a_package(folder: Callable, use: str) -> None:
    folder({**PACKAGE, "main.net": model(use)})
    np.testing.assert_allclose(output(program("main.net").network()), 2 * X)


def test_a_file_within_a_package_uses_its_neighbours_by_name(folder: Callable) -> None:
    folder({**PACKAGE, "nets/deep/main.net": model("vision: double")})
    np.testing.assert_allclose(output(program("nets/deep/main.net").network()), 2 * X)


def test_each_file_has_one_name_however_it_is_used(folder: Callable) -> None:
    uses = 'vision: double\nuse "./vision": factor\nuse vision.parts.scale: factor as one\n'
    uses += 'use "./vision/parts/scale.net": factor as other'
    folder({**PACKAGE, "main.net": model(uses, "double(x) * factor * factor / one / other")})
    used = program("main.net")
    np.testing.assert_allclose(output(used.network()), 2 * X)
    names = ["main.net", "project.net", "vision/blocks.net", "vision/index.net", "vision/parts/scale.net"]
    assert own(used.sources) == names


@pytest.mark.parametrize("place", [".", "vision", "vision/parts", "other"])
def test_works_from_any_directory(folder: Callable, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({**PACKAGE, "main.net": model("vision: double"), "other/empty.net": ""})
    monkeypatch.chdir(root / place)
    for file in (os.path.relpath(root / "main.net"), str(root / "main.net")):
        np.testing.assert_allclose(output(program(file).network()), 2 * X)


def test_the_nearest_project_counts(folder: Callable) -> None:
    inner = {"inner/project.net": "", "inner/a.net": DOUBLE, "inner/main.net": model("a: double")}
    folder({"project.net": "", "a.net": "const double = 7\n", **inner})
    assert own(program("inner/main.net").sources) == ["inner/a.net", "inner/main.net", "inner/project.net"]


def test_a_file_goes_before_a_folder(folder: Callable) -> None:
    folder({"project.net": "", "a.net": DOUBLE, "a/index.net": "const double = 7\n", "main.net": model("a: double")})
    assert own(program("main.net").sources) == ["a.net", "main.net", "project.net"]


def test_a_recorded_program_needs_no_disk(folder: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From copies by name, wherever the files were; also where the disk now has others in their places."""
    root = folder({**PACKAGE, "nets/main.net": model('vision: double\nuse "../vision": factor', "double(x) * factor")})
    (root / "elsewhere").mkdir()
    for place, file in ((".", "nets/main.net"), ("nets", "main.net"), ("elsewhere", "../nets/main.net")):
        monkeypatch.chdir(root / place)
        sources = program(file).sources
        (root / "elsewhere" / "project.net").write_text("")
        monkeypatch.chdir(root / "elsewhere")
        np.testing.assert_allclose(output(load_program(sources[file], recorded(sources)).network()), 4 * X)
        (root / "elsewhere" / "project.net").unlink()


# --- What is refused -----------------------------------------------------------------------------------------------


def test_cycles_through_packages_show_the_chain(folder: Callable) -> None:
    folder(
        {
            "project.net": "",
            "main.net": model("a: double"),
            "a/index.net": "use b: double\n",
            "b.net": 'use "./a": double\n',
        }
    )
    found = fault("main.net")
    assert found.code == "recursion" and found.primary is not None
    assert found.primary.text == "a/index.net -> b.net -> a/index.net"


@pytest.mark.parametrize(
    ("use", "title"),
    [
        ('"../out.net": double', "`../out.net` lies outside of the project, which begins at `project.net`"),
        ('"..": double', "`../index.net` lies outside of the project, which begins at `project.net`"),
        ('"./a/../../out.net": double', "`../out.net` lies outside of the project, which begins at `project.net`"),
        ('"/etc/out.net": double', "`/etc/out.net` is an absolute path, which other machines do not have"),
    ],
)
def test_files_outside_of_the_project(folder: Callable, use: str, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({"out.net": DOUBLE, "index.net": DOUBLE, "p/project.net": "", "p/main.net": model(use)})
    monkeypatch.chdir(root / "p")
    found = fault("main.net")
    assert (found.code, found.title) == ("outside-project", title)


def test_symbolic_links_are_refused(folder: Callable) -> None:
    root = folder(
        {
            "a.net": DOUBLE,
            "blocks/b.net": DOUBLE,
            "file.net": model('"./linked.net": double'),
            "within.net": model('"./ring/blocks/b.net": double'),
            "named.net": model("ring.a: double"),
        }
    )
    (root / "linked.net").symlink_to("a.net")
    (root / "ring").symlink_to(".")
    assert fault("file.net").title == "`linked.net` is a symbolic link"
    assert fault("within.net").title == "`ring` is a symbolic link, and `ring/blocks/b.net` is behind it"
    (root / "project.net").write_text("")
    assert fault("named.net").title == "`ring` is a symbolic link, and `ring/a.net` is behind it"


def test_a_program_may_itself_be_behind_a_link(folder: Callable) -> None:
    root = folder({**PACKAGE, "main.net": model('vision: double\nuse "./vision": factor', "double(x) * factor")})
    linked = root.with_name("linked")
    linked.symlink_to(root)
    np.testing.assert_allclose(output(program(str(linked / "main.net")).network()), 4 * X)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_file(folder: Callable) -> None:
    os.mkfifo(folder({"main.net": model('"./pipe.net": double')}) / "pipe.net")
    assert fault("main.net").title == "cannot read `pipe.net`: this is no ordinary file"


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (None, "cannot read `a.net`: this is a directory"),
        (b"\0\1", "cannot read `a.net`: this is a binary file, not a source file"),
        (b"#" * (SOURCE_LIMIT + 1), "cannot read `a.net`: larger than the 2 MB that a source file may have"),
        (b"\xe9", "cannot read `a.net`: line 1 is not UTF-8 text"),
    ],
)
def test_what_is_no_source_is_shown_at_its_use(folder: Callable, content: bytes | None, title: str) -> None:
    root = folder({"main.net": model('"./a.net": double')})
    (root / "a.net").mkdir() if content is None else (root / "a.net").write_bytes(content)
    found = fault("main.net")
    assert (found.code, found.title) == ("unreadable-file", title)
    assert found.primary is not None and str(found.primary.span) == "main.net:1:5"


@pytest.mark.parametrize(
    ("use", "help"),
    [
        ('"./vison": double', "did you mean `vision`?"),
        ("vison.blocks: double", "did you mean `vision.blocks`?"),
        ("vision.block: double", "did you mean `vision.blocks`?"),
        ("vision.parts.scal: double", "did you mean `vision.parts.scale`?"),
        ("unlike: double", "it would be `unlike.net`, or `index.net` in a folder of that name"),
        ('"./vision/parts": double', "that file says what a package offers; or name a file in it: `scale.net`"),
    ],
)
def test_modules_that_are_not_there(folder: Callable, use: str, help: str) -> None:
    folder({**PACKAGE, "main.net": model(use)})
    found = fault("main.net")
    assert (found.code, found.help) == ("unknown-module", help)


def test_every_wrong_name_of_a_use_is_reported(folder: Callable) -> None:
    folder({"a.net": DOUBLE + "const _hidden = 1\n", "main.net": model('"./a.net": duoble, _hidden, double')})
    with pytest.raises(DiagnosticError) as caught:
        program("main.net")
    assert [(found.code, found.help) for found in caught.value.diagnostics] == [
        ("undefined-name", "did you mean `double`?"),
        ("private-name", "a name that begins with `_` stays in its file; rename it there if others need it"),
    ]


def test_private_names_are_not_offered_where_others_are_listed(folder: Callable) -> None:
    folder({"a.net": DOUBLE + "const _other = 1\n", "main.net": model('"./a.net": other')})
    assert fault("main.net").help == "it has double, factor"


def test_a_faulty_file_is_read_once_and_told_once(folder: Callable) -> None:
    """Thirty files of which each uses the next by two names: without memory, that is 2^30 ways to the last."""
    files = {f"f{i}.net": f'use "./f{i + 1}.net": a\nuse "./f{i + 1}.net": b\n' for i in range(30)}
    folder({**files, "f30.net": "const a = 1 +\nconst b = 2\n"})
    assert fault("f0.net").code == "syntax-error"


def test_chains_of_files_have_an_end(folder: Callable) -> None:
    files = {f"f{i}.net": f'use "./f{i + 1}.net": a\n' for i in range(MAX_CHAIN + 10)}
    folder({**files, f"f{MAX_CHAIN + 10}.net": "const a = 1\n"})
    assert fault("f0.net").code == "network-too-large"
    assert own(program("f11.net").sources) != []


def test_errors_in_a_package_name_their_file(folder: Callable) -> None:
    folder(
        {**PACKAGE, "vision/blocks.net": "fn twice(x: f32[b, 3]) { return x }\n", "main.net": model("vision: double")}
    )
    text = render(program("main.net").check())
    assert "--> main.net:2:39" in text and "vision/blocks.net:1:10" in text
