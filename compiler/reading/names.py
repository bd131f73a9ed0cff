"""Names of a model's values and nodes, made into dotted names and scopes of the language."""

from __future__ import annotations

import re

import onnx

from ..numbered_names import numbered_name

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
_MADE_UP = re.compile(r"onnx::\w+|val_\d+|\d+|.*Constant(_\d+)?(_output_0)?")
_ROLES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Add", "Sub"), ("bias", "bias")),
    **dict.fromkeys(("Mul", "Div"), ("scale", "scale")),
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm"), ("weight", "weight", "bias")),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), ("weight", "weight_ih", "weight_hh", "bias", "", "h", "c", "peephole")),
    **dict.fromkeys(
        ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"),
        ("weight", "weight", "bias", "mean", "variance"),
    ),
}
"""What the inputs of an operator are called in a layer, where that is not "weight"."""

_TORCH_SCOPES = "pkg.torch.onnx.name_scopes"


class NameTable:
    """Gives each value a dotted name of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unique(self, wanted: str) -> str:
        """`wanted` made a dotted name, with a number where that is taken."""
        name = numbered_name(dotted(wanted) or "value", lambda name: name not in self._taken)
        self._taken.add(name)
        return name


def dotted(name: str) -> str:
    """`name` as words joined by dots: `/encoder/layers.0/attn/Constant_1` is `encoder.layers.0.attn.Constant_1`."""
    if _DOTTED.fullmatch(name):
        return name
    numbered = "layer_" if name.startswith("/") or "." in name else "v"
    parts = [re.sub(r"\W+", "_", part, flags=re.ASCII).strip("_") for part in re.split(r"[/.]|::", name)]
    parts = [part for part in parts if part]
    if parts and parts[0][0].isdigit():
        parts[0] = numbered + parts[0]
    return ".".join(parts)


def is_made_up(name: str) -> bool:
    """Whether an exporter made a name up, for what has none in its author's program."""
    return _MADE_UP.fullmatch(name) is not None


def weight_name(name: str, node: onnx.NodeProto | None, index: int) -> str:
    """What to call the weight `name`, which is the input of `node` at `index`.

    A name that an exporter made up (`onnx::MatMul_366`) gives way to the module and the role of the weight.
    """
    if node is None or not is_made_up(name):
        return name
    roles = _ROLES.get(node.op_type, ())
    role = roles[index] if index < len(roles) else "weight"
    return f"{scope_of(node) or node.op_type.lower()}.{role}"


def scope_of(node: onnx.NodeProto) -> str:
    """The module that a node comes from, as PyTorch's exporters say; "" where they do not."""
    for prop in node.metadata_props:
        if prop.key == _TORCH_SCOPES:
            found = re.findall(r"'([^']*)'", prop.value)
            return dotted(found[-2]) if len(found) > 1 else ""
    return dotted(node.name.rpartition("/")[0]) if node.name.startswith("/") else ""
