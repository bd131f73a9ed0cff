"""Names of a model's values and nodes, made into dotted names and scopes of the language."""

from __future__ import annotations

import re

import onnx

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
_TORCH_SCOPES = "pkg.torch.onnx.name_scopes"


class NameTable:
    """Gives each value a dotted name of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unique(self, wanted: str) -> str:
        """`wanted` made a dotted name, with a number where that is taken."""
        stem = dotted(wanted) or "value"
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name


def dotted(name: str) -> str:
    """`name` as words joined by dots: `/encoder/layers.0/attn/Constant_1` is `encoder.layers.0.attn.Constant_1`."""
    if _DOTTED.fullmatch(name):
        return name
    parts = [re.sub(r"\W+", "_", part, flags=re.ASCII).strip("_") for part in re.split(r"[/.]|::", name)]
    parts = [part for part in parts if part]
    if parts and parts[0][0].isdigit():
        parts[0] = f"v{parts[0]}"
    return ".".join(parts)


def scope_of(node: onnx.NodeProto) -> str:
    """The module that a node comes from, as PyTorch's exporters say; "" where they do not."""
    for prop in node.metadata_props:
        if prop.key == _TORCH_SCOPES:
            found = re.findall(r"'([^']*)'", prop.value)
            return dotted(found[-2]) if len(found) > 1 else ""
    return dotted(node.name.rpartition("/")[0]) if node.name.startswith("/") else ""
