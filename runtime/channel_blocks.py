"""Convolutions in blocks of channels, the layout that ONNX Runtime's CPU kernels are fastest in.

Where weights are constants, the runtime lays them out in blocks itself. In a training step they are inputs, and its
convolutions then take up to twice as long. So `blocked` writes the runtime's own operators (domain
`com.microsoft.nchwc`) into a model that is to run here, and lays out the weights in the graph. The operators belong to
this runtime and this kind of processor: exported files never hold them.

Images [n, c, h, w] become [n, c/block, h, w, block]; weights [o, c, *k] become [o/block, c/block, *k, block, block],
with the channels made last, or [o/block, c, *k, block] where the channels read are fewer than a block: images then stay
as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import NodeProto, TensorProto, TypeProto, helper, numpy_helper

from ..compiler.passes.panels import DOMAIN
from .session_options import session_options

SIZES = (16, 8)
"""Blocks that there are: as many f32 as a register holds, with AVX-512 and with AVX."""


def blocked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its convolutions in blocks; unchanged where there are none that this would help."""
    found = dict(_convolutions(model))
    block = block_size() if found else 0
    suited = {result: convolution for result, convolution in found.items() if block and convolution.suits(block)}
    if not suited:
        return model
    rewriter = _Rewriter(model, block)
    for node in model.graph.node:
        if node.output and node.output[0] in suited:
            rewriter.replace(node, suited[node.output[0]])
        else:
            rewriter.nodes.append(node)
    return rewriter.model()


@cache
def block_size() -> int:
    """How many channels the kernels of this processor take at a time; 0 where they know no blocks, or other ones."""
    return next((block for block in SIZES if _computes(block)), 0)


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A convolution over two axes of a tensor with `read` channels, which gives one with `made` channels.

    swapped: whether its weights have the channels read first, and their window reversed: a ConvTranspose of stride 1.
    """

    made: int
    read: int
    kernel: tuple[int, ...]
    attributes: Mapping[str, Any]
    swapped: bool

    def suits(self, block: int) -> bool:
        return self.made % block == 0 and (self.read % block == 0 or (self.read < block and not self.swapped))


def _convolutions(model: onnx.ModelProto) -> Iterator[tuple[str, _Convolution]]:
    """Convolutions whose weights the graph is given, or computes, by the names of their results."""
    graph = model.graph
    known = {info.name: info.type.tensor_type for info in (*graph.input, *graph.value_info)}
    constant = {item.name for item in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose") or node.domain or node.input[1] in constant:
            continue
        weights, result = (known.get(name) for name in (node.input[1], node.output[0]))
        if weights is None or weights.elem_type != TensorProto.FLOAT or len(weights.shape.dim) != 4:
            continue
        convolution = _convolution(node, [dim.dim_value for dim in weights.shape.dim])
        if convolution is not None and not (result and _sums_places(convolution, result)):
            yield node.output[0], convolution


def _sums_places(convolution: _Convolution, result: TypeProto.Tensor) -> bool:
    """Whether a window is longer than the result, which then is a gradient of weights: kernels in blocks would read all
    windows again for each row of it."""
    return convolution.kernel[0] > result.shape.dim[2].dim_value > 0


def _convolution(node: NodeProto, weights: Sequence[int]) -> _Convolution | None:
    """What a node computes, as a convolution; None for what kernels in blocks do not, or not faster."""
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    if attributes.pop("group", 1) != 1 or "auto_pad" in attributes or not all(weights):
        return None
    first, second, *kernel = weights
    pads = attributes.setdefault("pads", [0] * 4)
    strides = attributes.setdefault("strides", [1, 1])
    dilations = attributes.setdefault("dilations", [1, 1])
    attributes["kernel_shape"] = kernel
    if node.op_type == "Conv":
        return _Convolution(first, second, tuple(kernel), attributes, False)
    reach = [dilation * (size - 1) for dilation, size in zip(dilations, kernel, strict=True)]
    attributes["pads"] = [far - pad for far, pad in zip(reach * 2, pads, strict=True)]
    if any(attributes.pop("output_padding", ())) or any(s > 1 for s in strides) or min(attributes["pads"]) < 0:
        return None
    return _Convolution(second, first, tuple(kernel), attributes, True)


class _Rewriter:
    """The nodes of the new model, in order."""

    def __init__(self, model: onnx.ModelProto, block: int) -> None:
        self.nodes: list[NodeProto] = []
        self._model = model
        self._block = block
        self._images: dict[str, str] = {}
        self._channels_last: dict[str, str] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._named: dict[tuple[tuple[int, ...], bytes], str] = {}
        self._numbers = count()

    def replace(self, node: NodeProto, convolution: _Convolution) -> None:
        x, weights, *bias = node.input
        whole = convolution.read < self._block
        laid_out = x if whole else self._in_blocks(x)
        attributes = {**convolution.attributes, "domain": DOMAIN, "name": node.name, "doc_string": node.doc_string}
        result = self._node("Conv", laid_out, self._weights(weights, convolution), *bias, **attributes)
        made = {"domain": DOMAIN, "channels": convolution.made}
        self.nodes.append(helper.make_node("ReorderOutput", [result], list(node.output), **made))

    def model(self) -> onnx.ModelProto:
        result = onnx.ModelProto()
        result.CopyFrom(self._model)
        del result.graph.node[:]
        result.graph.node.extend(self.nodes)
        for name, array in self._constants.items():
            result.graph.initializer.append(numpy_helper.from_array(array, name))
        if DOMAIN not in {opset.domain for opset in result.opset_import}:  # products in panels import it, too
            result.opset_import.add(domain=DOMAIN, version=1)
        return result

    def _in_blocks(self, x: str) -> str:
        """x in blocks, made once for all convolutions that read it."""
        if x not in self._images:
            self._images[x] = self._node("ReorderInput", x, domain=DOMAIN)
        return self._images[x]

    def _weights(self, weights: str, convolution: _Convolution) -> str:
        """The weights in blocks, by transposes that move one axis or whole blocks: others take 5 times as long."""
        made, read, kernel, block = convolution.made, convolution.read, convolution.kernel, self._block
        taps = kernel[0] * kernel[1]
        if convolution.swapped:  # one Gather of whole blocks: the runtime would make one slow transpose of two
            rows = np.arange(read * made // block * taps).reshape(read // block, block, made // block, taps)
            order = np.flip(rows, 3).transpose(2, 0, 3, 1)
            blocks = self._reshape(self._moved(weights, read * made, taps), rows.size, block)
            ordered = self._node("Gather", blocks, self._constant(order))
        else:
            inner = weights if read < block else self._moved(weights, made * read, taps)
            split = self._reshape(inner, made // block, block, read * taps)
            ordered = self._node("Transpose", split, perm=(0, 2, 1))
        return self._reshape(ordered, made, read, *kernel)

    def _moved(self, weights: str, pairs: int, taps: int) -> str:
        """Weights with a block of their second channels innermost, behind the window; for both directions."""
        if weights not in self._channels_last:
            split = self._reshape(weights, pairs // self._block, self._block, taps)
            self._channels_last[weights] = self._node("Transpose", split, perm=(0, 2, 1))
        return self._channels_last[weights]

    def _reshape(self, x: str, *shape: int) -> str:
        return self._node("Reshape", x, self._constant(shape))

    def _constant(self, numbers: Sequence[int] | np.ndarray) -> str:
        array = np.array(numbers, np.int64)
        name = self._named.setdefault((array.shape, array.tobytes()), f"blocks/constant/{len(self._named)}")
        self._constants[name] = array
        return name

    def _node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        result = f"blocks/{next(self._numbers)}"
        self.nodes.append(helper.make_node(op_type, inputs, [result], **attributes))
        return result


def _computes(block: int) -> bool:
    """Whether a convolution in blocks of this size gives what the plain one gives."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape, np.float32) for shape in ((1, 2 * block, 3, 3), (block, 2 * block, 3, 3)))
    shapes = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape)
        for name, value in (("x", x), ("w", w))
    }
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, block, 3, 3))
    graph = helper.make_graph([node], "probe", list(shapes.values()), [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rewriter = _Rewriter(model, block)
    rewriter.replace(node, dict(_convolutions(model))["y"])
    try:
        expected, found = (_run(each, {"x": x, "w": w}) for each in (model, rewriter.model()))
    except Exception:  # the runtime was built without these kernels, or for another processor
        return False
    return np.allclose(found, expected, rtol=1e-3, atol=1e-3)


def _run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> Any:
    source = model.SerializeToString()
    session = ort.InferenceSession(source, session_options(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))[0]
