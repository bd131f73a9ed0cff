"""Products of matrices by the kernels of convolutions, for graphs that run on a processor here.

ONNX Runtime has kernels for images in blocks of channels (domain `com.microsoft.nchwc`). A product is a convolution
with a window of one place, and these kernels compute it faster than its own matrix product: 2048×384 by 384×1536 on one
core in 14.0 ms instead of 18.1 (PyTorch 14.6), 384×128 by 128×512 in 0.106 instead of 0.125.

A matrix [m, c] *in panels* of w columns is [c/w, m, w] in memory: an image of m places with c channels, and just as
well filters from m channels to c. So a product reads both factors in panels, gives its result so, and its gradients
read the same panels again. What lies between two products element by element is computed in panels too; whatever else
reads a result reads it in rows, as it was. The graph writes an image as [1, c, 1, m], as the operators do.
"""

from __future__ import annotations

import math
from collections import Counter

from netlang.types import TensorType

from ..builder import Builder
from ..ir import Graph, Node, Value
from ..shapes import static_shape
from .algebra_common import made_by
from .dead import dead
from .native import is_native, native
from .rebuild import Results, rebuild

DOMAIN = "com.microsoft.nchwc"

LEAST = 64
"""The side of the least cube that is tried: a product of m×k by k×n needs 1/m + 1/k + 1/n of at most 3/LEAST."""

DEEP = 256
"""From what inner size on a product gains the more: kernels of images read the result again after every 128."""

GAIN_PS = {True: 2.5, False: 1.5}
"""Picoseconds that a multiplication in a product becomes faster, by whether it is deep. Measured as above."""

LAYOUT_PS = {True: 600, False: 250}
"""Picoseconds that laying out an element takes, by whether the matrix is large."""

LARGE = 1 << 18
"""Elements of a matrix that is large: it and its image fill the second-level cache."""

ELEMENT_BY_ELEMENT = frozenset(
    (
        *("abs", "add", "clip", "cos", "div", "elu", "erf", "exp", "gelu", "leaky_relu", "log", "maximum", "minimum"),
        *("mul", "neg", "pow", "reciprocal", "relu", "sigmoid", "silu", "sin", "softplus", "sqrt", "sub", "tanh"),
    )
)
"""Operators that may see their elements in another order."""


def panels(graph: Graph, width: int) -> Graph:
    """Has the products of a graph computed in panels of this width if they gain more than laying out matrices takes.

    For matrices whose sizes are known. Differs by rounding.
    """
    found = in_panels(graph, width)
    return found if sum(map(_gain, found.nodes)) > 0 else graph


def in_panels(graph: Graph, width: int) -> Graph:
    """The graph with all products of large enough matrices in panels."""
    if not any(node.op == "matmul" and _suits(*node.inputs) for node in graph.nodes):
        return graph
    return dead(rebuild(graph, _Panels(graph, width).rewrite))


def _gain(node: Node) -> float:
    """The picoseconds that a node of this pass takes less than what it replaced; those of layouts are below 0."""
    kept = node.attributes["node"].node if node.op == "foreign" else None
    if kept is None or kept.domain != DOMAIN:
        return 0.0
    elements = math.prod(static_shape(node.outputs[0].type))
    if kept.op_type == "Conv":
        inner = static_shape(node.inputs[0].type)[1]
        return elements * inner * GAIN_PS[inner >= DEEP]
    return -elements * LAYOUT_PS[elements >= LARGE]


class _Panels:
    """What is known of a graph while it is rebuilt.

    _images: of matrices in rows, the same in panels. _products: of these, the factors where they are plain products.
    """

    def __init__(self, graph: Graph, width: int) -> None:
        self._width = width
        self._images: dict[Value, Value] = {}
        self._products: dict[Value, tuple[Value, Value]] = {}
        self._uses = Counter(value for node in graph.nodes for value in node.inputs)
        self._uses.update(output.value for output in graph.outputs)

    def rewrite(self, b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        """What stands for a node whose inputs have become `inputs`."""
        match node.op:
            case "matmul":
                return self._product(b, *inputs)
            case "reshape":
                return self._reshaped(b, node, *inputs)
            case "sum":
                return self._column_sums(b, node, *inputs)
            case "add" if (biased := self._with_bias(b, node, inputs)) is not None:
                return biased
        if node.op in ELEMENT_BY_ELEMENT or is_native(node, "HardSigmoid"):
            return self._element_by_element(b, node, inputs)
        return None

    # --- products ------------------------------------------------------------------------------------------------

    def _product(self, b: Builder, x: Value, y: Value) -> Value | None:
        if not _suits(x, y) or _columns(x) % self._width:
            return None
        if _rows(x) % self._width == 0 and self._rather_transposed(b, x, y):
            image = self._convolved(b, self._image(b, _transposed(b, y)), self._image(b, _transposed(b, x)))
            return self._transposed_rows(b, image)
        if _columns(y) % self._width:
            return None
        shape = (*x.type.shape[:-1], _columns(y))
        return self._rows(b, self._convolved(b, self._image(b, x), self._image(b, y)), shape)

    def _rather_transposed(self, b: Builder, x: Value, y: Value) -> bool:
        """Whether xᵀ y is better computed as yᵀ x. Such a product is a gradient of weights, whose factors are in panels
        for others; one of them is laid out once more: the one that is still in rows, or else the smaller one."""
        before = made_by(b, x, "transpose") if x.type.rank == 2 else None
        if before is None or made_by(b, y, "transpose"):
            return False
        first, second = (self._source(b, factor) in self._images for factor in (before.inputs[0], y))
        return first if first != second else _columns(y) < _columns(before.inputs[0])

    def _convolved(self, b: Builder, x: Value, y: Value, *bias: Value) -> Value:
        """The product of two matrices in panels, with a bias for each column added to it."""
        (inner, places), columns = _sizes(x), _sizes(y)[0]
        filters = b.reshape(y, shape=(columns, inner, 1, 1))
        result = native(b, "Conv", (x, filters, *bias), _image_type(columns, places), 1, domain=DOMAIN,
                        kernel_shape=[1, 1])  # fmt: skip
        if not bias:
            self._products[result] = x, y
        return result

    def _with_bias(self, b: Builder, node: Node, inputs: tuple[Value, ...]) -> Value | None:
        """A product and its bias, by one kernel."""
        for (x, bias), given in zip((inputs, inputs[::-1]), node.inputs, strict=True):
            factors = self._products.get(self._images.get(x, x))
            if factors and self._uses[given] == 1 and bias.type.shape == x.type.shape[-1:]:
                return self._rows(b, self._convolved(b, *factors, bias), x.type.shape)
        return None

    # --- what lies between products ------------------------------------------------------------------------------

    def _reshaped(self, b: Builder, node: Node, x: Value) -> Value | None:
        """Rows may be counted in another way."""
        shape = node.outputs[0].type.shape
        if x not in self._images or len(shape) < 2 or shape[-1] != x.type.shape[-1]:
            return None
        result = b.reshape(x, shape=shape)
        self._images[result] = self._images[x]
        return result

    def _column_sums(self, b: Builder, node: Node, x: Value) -> Value | None:
        """The sums of all columns: the gradient of a bias."""
        axes = node.attributes["axis"]
        if x not in self._images or node.attributes["keepdims"] or axes != tuple(range(x.type.rank - 1)):
            return None
        image = self._images[x]
        columns, places = _sizes(image)
        in_memory = b.reshape(image, shape=(columns // self._width, places, self._width))
        return b.reshape(b.sum(in_memory, axis=(1,)), shape=(columns,))

    def _element_by_element(self, b: Builder, node: Node, inputs: tuple[Value, ...]) -> Value | None:
        type_ = node.outputs[0].type
        matrices = [x for x in inputs if not _is_number(x)]
        if not matrices or any(x.type != type_ or x not in self._images for x in matrices):
            return None
        moved = tuple(_scalar(b, x) if _is_number(x) else self._images[x] for x in inputs)
        attributes = node.attributes
        if node.op == "foreign":
            attributes |= {"ranks": (4,), "sizes": self._images[matrices[0]].type.shape}
        result = b.apply(node.op, moved, attributes)
        return self._rows(b, result if isinstance(result, Value) else result[0], type_.shape)

    # --- layouts -------------------------------------------------------------------------------------------------

    def _image(self, b: Builder, x: Value) -> Value:
        """A matrix in panels."""
        x = self._source(b, x)
        if x in self._images:
            return self._images[x]
        columns, places = _columns(x), _rows(x)
        type_ = _image_type(columns, places)
        turned = made_by(b, x, "transpose") if x.type.rank == 2 else None
        if turned is not None:
            return native(b, "ReorderInput", (b.reshape(turned.inputs[0], shape=type_.shape),), type_, 1, domain=DOMAIN)
        rows = b.reshape(x, shape=(1, 1, places, columns))
        return native(b, "ReorderInput", (rows,), type_, 1, domain=DOMAIN, channels_last=1)

    def _rows(self, b: Builder, image: Value, shape: tuple) -> Value:
        """A matrix in panels in rows; that it has panels is remembered, and `dead` removes rows that nobody reads."""
        columns, places = _sizes(image)
        type_ = TensorType("f32", (1, 1, places, columns))
        found = native(b, "ReorderOutput", (image,), type_, 1, domain=DOMAIN, channels=columns, channels_last=1)
        result = b.reshape(found, shape=shape)
        self._images[result] = image
        return result

    def _transposed_rows(self, b: Builder, image: Value) -> Value:
        """The transpose of a matrix in panels, in rows."""
        columns, places = _sizes(image)
        found = native(b, "ReorderOutput", (image,), image.type, 1, domain=DOMAIN, channels=columns)
        return b.reshape(found, shape=(columns, places))

    def _source(self, b: Builder, x: Value) -> Value:
        """What has the same rows as x, before they were counted in another way."""
        while x not in self._images:
            node = made_by(b, x, "reshape")
            if node is None or node.inputs[0].type.rank < 2 or node.inputs[0].type.shape[-1] != x.type.shape[-1]:
                break
            x = node.inputs[0]
        return x


def _suits(x: Value, y: Value) -> bool:
    """Whether a product is one with a matrix, of f32 and known sizes, and large enough."""
    if y.type.rank != 2 or x.type.rank < 2 or not _known(x) or not _known(y):
        return False
    sizes = (_rows(x), _columns(x), _columns(y))
    return all(sizes) and sum(1 / size for size in sizes) <= 3 / LEAST


def _known(x: Value) -> bool:
    return x.type.dtype == "f32" and all(isinstance(size, int) for size in x.type.shape)


def _rows(x: Value) -> int:
    return math.prod(static_shape(x.type)[:-1])


def _columns(x: Value) -> int:
    return static_shape(x.type)[-1]


def _image_type(columns: int, places: int) -> TensorType:
    return TensorType("f32", (1, columns, 1, places))


def _sizes(image: Value) -> tuple[int, int]:
    """Columns and rows of a matrix in panels."""
    _, columns, _, places = static_shape(image.type)
    return columns, places


def _is_number(x: Value) -> bool:
    return all(size == 1 for size in x.type.shape)


def _scalar(b: Builder, x: Value) -> Value:
    """A number without axes, which an image may have fewer of."""
    return b.reshape(x, shape=()) if x.type.rank else x


def _transposed(b: Builder, x: Value) -> Value:
    node = made_by(b, x, "transpose")
    return node.inputs[0] if node is not None else b.transpose(b.reshape(x, shape=(_rows(x), _columns(x))), perm=(1, 0))
