"""`netlang graph`: diagrams as text, as DOT and as SVG."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from .conftest import netlang

SKIPPING = """\
use std.layers: linear

model Skip(x: f32[batch, 4]) -> f32[batch, 4] {
  return x + (x |> linear(4) |> tanh)
}
"""

SVG = "{http://www.w3.org/2000/svg}"
TEXT = """\
x       f32[batch, 4]
linear  f32[batch, 4]  20 parameters
tanh    f32[batch, 4]
add     f32[batch, 4]                 <- x, tanh
output
"""

DOT = """\
digraph {
  node [shape=box, style="rounded,filled", fontname="monospace", fontsize=10]
  n0 [label="x\\nf32[batch, 4]", fillcolor="#dbe9f4"]
  n1 [label="linear\\nf32[batch, 4]\\n20 parameters", fillcolor="#fbe8d3"]
  n2 [label="tanh\\nf32[batch, 4]", fillcolor="#ffffff"]
  n3 [label="add\\nf32[batch, 4]", fillcolor="#ffffff"]
  n4 [label="output", fillcolor="#dbe9f4"]
  n0 -> n1
  n1 -> n2
  n0 -> n3
  n2 -> n3
  n3 -> n4
}
"""


@pytest.fixture
def skip(folder: Path) -> Path:
    (folder / "skip.net").write_text(SKIPPING)
    return folder


def test_text_says_where_things_come_from(skip: Path) -> None:
    assert netlang("graph", "skip.net").out == TEXT


def test_dot_is_for_graphviz(skip: Path) -> None:
    assert netlang("graph", "skip.net", "--format", "dot").out == DOT


def test_the_suffix_of_the_file_says_the_format(skip: Path) -> None:
    for name, begin in (("a.txt", "x  "), ("a.dot", "digraph"), ("a.gv", "digraph"), ("a.svg", "<svg")):
        result = netlang("graph", "skip.net", "-o", name)
        assert (result.code, result.out) == (0, "")
        assert Path(name).read_text().startswith(begin)


@pytest.mark.parametrize("depth", ["1", "3"])
def test_boxes_of_the_picture_lie_below_what_they_take_from_and_on_no_other(skip: Path, depth: str) -> None:
    settings = ("--set", "vocab=11", "--set", "d=8", "--set", "h=2", "--set", "layers=2")
    result = netlang("graph", "std:GPT", *settings, "--depth", depth, "--format", "svg")
    picture = ElementTree.fromstring(result.out)
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    boxes = [
        tuple(float(box.attrib[key]) for key in ("x", "y", "width", "height")) for box in picture.iter(SVG + "rect")
    ]
    lines = netlang("graph", "std:GPT", *settings, "--depth", depth).out.splitlines()
    assert len(boxes) == len(lines)
    for number, (x, y, w, h) in enumerate(boxes):
        assert x >= 0 and x + w <= width and y >= 0 and y + h <= height
        for a, b, c, d in boxes[:number]:
            assert x + w <= a or a + c <= x or y + h <= b or b + d <= y
    for path in picture.iter(SVG + "path"):
        start, *_, end = re.findall(r"[-\d.]+,([-\d.]+)", path.attrib["d"])
        assert float(start) < float(end)


def test_sizes_that_are_calculated_are_shown_as_numbers(skip: Path) -> None:
    assert "f32[batch, 64, 112, 112]" in netlang("graph", "std:ResNet18").out
    assert "f32[batch, 64, 16, 16]" in netlang("graph", "std:ResNet18", "--dims", "height=32", "--dims", "width=32").out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("skip.net", "-o", "a.pdf"), 2, "`a.pdf` should end in .svg, .dot, .gv, .txt"),
        (("skip.net", "--entry", "none"), 1, "has no entry `none`"),
        (("skip.net", "--depth", "0"), 2, "--depth"),
        (("wrong.net",), 1, "error[shape-mismatch]"),
    ],
)
def test_what_cannot_be_drawn(skip: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = netlang("graph", *arguments)
    assert (result.code, words in result.err) == (code, True), result.err
