"""`netlang summary`."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from .conftest import netlang


def test_json_has_stable_keys_and_exact_numbers(folder: Path) -> None:
    result = netlang("summary", "good.net", "--json")
    assert result.code == 0, result.err
    facts = json.loads(result.out)
    assert set(facts) == {"model", "parameters", "flops", "memory", "dims"}
    assert facts["parameters"] == 2 * 4 + 4 + 4 + 1
    # two products with their biases, and four hyperbolic tangents
    assert facts["flops"] == (2 * 2 * 4 + 4) + 4 + (2 * 4 + 1)
    assert facts["dims"] == {"batch": 1}
    assert 4 * facts["parameters"] < facts["memory"]["inference"] < facts["memory"]["training"]


def test_settings_and_sizes_change_the_numbers(folder: Path) -> None:
    facts = json.loads(netlang("summary", "good.net", "--set", "hidden=8", "--dims", "batch=10", "--json").out)
    assert facts["parameters"] == 2 * 8 + 8 + 8 + 1
    assert facts["flops"] == 10 * ((2 * 2 * 8 + 8) + 8 + (2 * 8 + 1))
    assert facts["dims"] == {"batch": 10}


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        (["std:LeNet5"], 61_706),
        (["std:ResNet18"], 11_689_512),
        (["std:GPT2"], 124_439_808),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_published_sizes(arguments: list[str], parameters: int) -> None:
    assert json.loads(netlang("summary", *arguments, "--json").out)["parameters"] == parameters


def test_no_weight_is_made() -> None:
    tracemalloc.start()
    try:
        result = netlang("summary", "std:GPT", "--set", "vocab=50257", "--set", "layers=1", "--json")
        assert json.loads(result.out)["parameters"] > 40e6
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_the_table_has_a_row_for_each_layer(folder: Path) -> None:
    lines = netlang("summary", "good.net").out.splitlines()
    assert lines[0].split() == ["layer", "output", "parameters", "FLOPs"]
    rows = {line.split()[0]: line for line in lines[1:] if "f32[" in line}
    assert rows["linear"].split() == ["linear", "f32[batch,", "4]", "12", "20"]
    assert rows["linear_2"].split() == ["linear_2", "f32[batch,", "1]", "5", "9"]
    assert "parameters  17" in lines
    assert any(line.startswith("with        batch = 1") for line in lines)


def test_depth_adds_up_inner_layers(folder: Path) -> None:
    (folder / "deep.net").write_text(
        "use std.layers: linear\n\n"
        "layer block(n: int)(x: f32[b, i]) -> f32[b, n] {\n  return x |> linear(n) |> relu |> linear(n)\n}\n\n"
        "model Deep(x: f32[batch, 2]) -> f32[batch, 3] {\n  return x |> block(3) |> block(3)\n}\n"
    )
    full = [line.split()[0] for line in netlang("summary", "deep.net").out.splitlines() if "f32[" in line]
    assert "block.linear" in full
    short = [
        line.split()[0] for line in netlang("summary", "deep.net", "--depth", "1").out.splitlines() if "f32[" in line
    ]
    assert short == ["block", "block_2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["good.net", "Lin"], "`good.net` has no model `Lin`"),
        (["good.net", "--set", "hiden=8"], "hiden"),
        (["good.net", "--entry", "decode"], "decode"),
        (["std:GPT"], "vocab"),
        (["std:GPT", "--set", "vocab=65", "--dims", "t=5000"], "5000 tokens exceed the context of 1024"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_explained(folder: Path, arguments: list[str], message: str) -> None:
    result = netlang("summary", *arguments)
    assert result.code == 1, result.out + result.err
    assert result.err.startswith("error[")
    assert message in result.err


def test_calculated_dimensions_are_shown_as_numbers(folder: Path) -> None:
    (folder / "picture.net").write_text(
        "use std.layers: conv2d\n\n"
        "model Picture(image: f32[batch, 3, h, w]) -> f32[batch, 8, _, _] {\n  return image |> conv2d(8, 3)\n}\n"
    )
    row = netlang("summary", "picture.net").out.splitlines()[1]
    assert row.split() == [
        "conv2d",
        "f32[batch,",
        "8,",
        "222,",
        "222]",
        "224",
        f"{2 * 8 * 222 * 222 * 27 + 8 * 222 * 222:,}",
    ]
    row = netlang("summary", "picture.net", "--dims", "h=32", "--dims", "w=16").out.splitlines()[1]
    assert "f32[batch, 8, 30, 14]" in row
