"""`netlang doc`: names of everything, one's own files, and the page of the library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from netlang.compiler.ops import OPS
from netlang.runtime.documentation import find
from netlang.runtime.loader import library_models, library_modules

from .conftest import netlang

BLOCKS = """\
## Blocks of ours.

use std.layers: linear

const width = 4

## Doubles. Euclid 1482.
fn double(x: f32[*s]) -> f32[*s] {
  return 2 * x
}

## A linear map and a non-linear one; more follow.
layer stem(
  out: int,
  by: float = 0.5, # between 0 and 1
)(x: f32[b, d], y: f32[b, d] = none) -> f32[b, out] where out > 0 : "no {out}", d % 2 == 0 {
  return double(x) |> linear(out) |> leaky_relu(by) |> softmax
}

fn _hidden(x: f32) -> f32 {
  return x
}

## A model with two ways in.
model Pair(n: int = 3) {
  let f = linear(n)
  ## The first.
  entry one(x: f32[batch, 2]) -> f32[batch, n] {
    return f(x)
  }
  entry two(x: f32[batch, 2]) -> f32[batch, n] {
    return double(f(x))
  }
}

## Learns.
train Pair(lr: float = 0.1) {
  in y: f32[batch, n]
  in x: f32[batch, 2]
  minimize mse(one(x), y)
  optimizer sgd(lr)
}
"""

STEM = """\
layer stem(
  out: int,
  by: float = 0.5, # between 0 and 1
)(x: f32[b, d], y: f32[b, d] = none) -> f32[b, out] where out > 0 : "no {out}", d % 2 == 0

    A linear map and a non-linear one; more follow.

settings
    out  int
    by   float = 0.5

inputs
    x  f32[b, d]
    y  f32[b, d] = none

result
    f32[b, out]

requires
    out > 0 : "no {out}"
    d % 2 == 0

uses
    blocks.net: double
    std.layers: linear
    language: leaky_relu
    std.functions: softmax

layer of blocks.net, line 13
use "./blocks.net": stem
"""

LISTING = """\
blocks.net

Blocks of ours.

const width = 4

fn double(x: f32[*s]) -> f32[*s]
    Doubles.

layer stem(out, by)(x: f32[b, d], y: f32[b, d]) -> f32[b, out]
    A linear map and a non-linear one; more follow.

model Pair(n) { one, two }
    A model with two ways in.
"""


@pytest.fixture
def blocks(folder: Path) -> Path:
    (folder / "blocks.net").write_text(BLOCKS)
    return folder


def shown(*arguments: str) -> str:
    result = netlang("doc", *arguments)
    assert result.code == 0, result.err
    return result.out


def documented(*arguments: str) -> list[dict[str, Any]]:
    """All definitions that `--json` gives."""
    return [thing for module in json.loads(shown(*arguments, "--json")) for thing in module["definitions"]]


def test_a_file_is_listed(blocks: Path) -> None:
    assert shown("blocks.net") == LISTING
    assert shown("./blocks.net").splitlines()[1:] == LISTING.splitlines()[1:]


def test_one_definition_is_told_in_full(blocks: Path) -> None:
    assert shown("blocks.net", "stem") == STEM


def test_json_has_it_all(blocks: Path) -> None:
    (module,) = json.loads(shown("blocks.net", "--json"))
    assert (module["name"], module["doc"], module["imports"]) == (
        "blocks.net",
        "Blocks of ours.",
        {"linear": "std.layers"},
    )
    (pair,) = documented("blocks.net", "Pair")
    assert pair["settings"] == [{"name": "n", "type": "int", "default": "3"}]
    assert [(entry["kind"], entry["name"], entry["doc"]) for entry in pair["entries"]] == [
        ("entry", "one", "The first."),
        ("entry", "two", ""),
        ("train", "Pair", "Learns."),
    ]
    train = pair["entries"][-1]
    assert [parameter["name"] for parameter in train["inputs"]] == ["y", "x"]
    assert train["uses"] == {"mse": "std.losses", "sgd": "std.optimizers"}
    assert pair["line"] == BLOCKS.splitlines().index("model Pair(n: int = 3) {") + 1 and pair["uses"] == {
        "linear": "std.layers",
        "double": "blocks.net",
    }


def test_a_folder_is_its_index_or_its_files(blocks: Path) -> None:
    (blocks / "package").mkdir()
    (blocks / "package" / "blocks.net").write_text(BLOCKS)
    (blocks / "package" / "other.net").write_text("## Nothing.\n")
    assert "layer stem" in shown("package") and "Nothing." in shown("package")
    (blocks / "package" / "index.net").write_text('## All of it.\n\nuse "./blocks.net": stem, double as twice\n')
    assert shown("package") == (
        "package/index.net\n\nAll of it.\n\nhands on: stem (package/blocks.net), twice (package/blocks.net)\n"
    )
    (blocks / "project.net").write_text("")
    assert shown("package.blocks") == shown("package/blocks.net")


def test_everything_has_a_page() -> None:
    """Modules, models, definitions of the library, operators; each under its own name and with its module's."""
    for module in library_modules():
        assert shown(module).startswith(module)
    for name in [*(f"std:{model}" for model in library_models()), *OPS]:
        found = [thing for module in find(name).modules for thing in module.definitions]
        assert {thing.name for thing in found} == {name.removeprefix("std:")}
        assert name in OPS or [thing.kind for thing in found] == ["model"]
        assert name not in OPS or "operator" in {thing.kind for thing in found}
    assert documented("std.layers.linear") == documented("std.layers", "linear") == documented("linear")


def test_what_is_defined_twice_is_shown_twice() -> None:
    assert [thing["module"] for thing in documented("softmax")] == ["std.functions", "language"]


def test_how_to_get_it_is_told() -> None:
    assert shown("linear").endswith("\nuse std.layers: linear\n")
    assert shown("GPT2").endswith("\nuse std.models: GPT2\n")
    assert shown("adam").endswith("\nknown in every file\n")
    assert shown("relu").endswith("operator of the language; `netlang ops relu` says more\n")
    assert shown("kaiming_uniform").splitlines()[0].startswith("kaiming_uniform(")


def test_without_a_name_the_library_is_listed() -> None:
    text = shown()
    assert all(module in text for module in library_modules() if module not in ("std.prelude", "std.models"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("lineer",), "undefined-name", "did you mean `linear`?"),
        (("std.leyers",), "undefined-name", "did you mean `std.layers`?"),
        (("std.layers", "lineer"), "undefined-name", "`std.layers` has no `lineer`"),
        (("std:ResNet19",), "unknown-model", "did you mean `ResNet18`?"),
        (("blocks.net", "stm"), "undefined-name", "did you mean `stem`?"),
        (("block.net",), "unreadable-file", "did you mean `blocks.net`?"),
        (("empty",), "unreadable-file", "there is no `.net` file in the folder `empty`"),
        (("wrong.net",), "syntax-error", "expected"),
    ],
)
def test_what_is_not_there(blocks: Path, arguments: tuple[str, ...], code: str, words: str) -> None:
    (blocks / "empty").mkdir()
    (blocks / "wrong.net").write_text("layer (\n")
    result = netlang("doc", *arguments)
    assert result.code == 1
    assert f"error[{code}]" in result.err and words in result.err
