"""Shapes, positions and sequences as ONNX states them, in every form they had, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph
from netlang.compiler.reading import read_model
from onnx import parser
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from netlang.diagnostics import DiagnosticError
from netlang.types import FLOATS, TensorType

from .harness import Arrays, central_difference, run_onnx

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
IMAGE = np.random.default_rng(1).standard_normal((2, 8, 3, 4)).astype(np.float32)

OUT_OF_RANGE = (Fail, InvalidArgument, RuntimeException)
"""What onnxruntime raises for a position outside."""


def model(opset: int, inputs: str, body: str) -> onnx.ModelProto:
    """A model in ONNX's notation; what no node reads is a result."""
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> model ({inputs}) => () {{ {body} }}')
    read = {name for node in proto.graph.node for name in node.input}
    results = [name for node in proto.graph.node for name in node.output if name and name not in read]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in results)
    return proto


def expected(proto: onnx.ModelProto, feeds: Arrays) -> Arrays:
    """What onnxruntime makes of the model itself."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return {name: np.asarray(result) for name, result in zip(names, session.run(names, feeds), strict=True)}


def check(proto: onnx.ModelProto, feeds: Arrays, foreign: bool = False) -> Graph:
    """What is read gives what onnxruntime gives, by operators of the table; `foreign`: by kept nodes."""
    graph = read_model(proto).graph
    found = run_onnx(graph, feeds)
    for name, wanted in expected(proto, feeds).items():
        assert found[name].shape == wanted.shape
        assert found[name].dtype == wanted.dtype
        np.testing.assert_allclose(found[name], wanted, rtol=1e-6, err_msg=name)
    assert any(node.op == "foreign" for node in graph.nodes) == foreign
    return graph


def check_gradients(proto: onnx.ModelProto, feeds: Arrays) -> None:
    """The gradient of the sum of squared results agrees with differences, and onnxruntime with the interpreter."""
    graph, names = with_gradients(proto)
    found = evaluate(graph, feeds, "f64")
    rng = np.random.default_rng(7)
    direction = {name: rng.standard_normal(feeds[name].shape) for name in names}

    def loss(values: Arrays) -> float:
        return float(evaluate(graph, values, "f64")["loss"])

    along = sum(float(np.sum(found[f"grad.{name}"] * move)) for name, move in direction.items())
    assert along == pytest.approx(central_difference(loss, feeds, direction), rel=1e-7, abs=1e-8)
    for name, array in run_onnx(graph, feeds).items():
        np.testing.assert_allclose(array, found[name], rtol=1e-4, atol=1e-5, err_msg=name)


def with_gradients(proto: onnx.ModelProto) -> tuple[Graph, list[str]]:
    """The graph that is read, with `loss` and the gradients `grad.NAME` by its float inputs; names of these."""
    graph = read_model(proto).graph
    b = Builder()
    b.adopt(graph)
    results = [output.value for output in graph.outputs if output.value.type.dtype in FLOATS]
    loss = b.constant(0.0)
    for result in results:
        loss = b.add(loss, b.sum(b.mul(result, result)))
    b.output("loss", loss)
    inputs = [item for item in graph.inputs if item.value.type.dtype in FLOATS]
    for item, gradient in zip(inputs, gradients(b, loss, [item.value for item in inputs]), strict=True):
        b.output(f"grad.{item.name}", gradient)
    return b.graph(), [item.name for item in inputs]


# --- known while compiling, in every version -----------------------------------------------------------------------

STATED = {
    "slice 1": (9, "y = Slice <starts = [1, -2], ends = [99, -1], axes = [0, 1]> (x)"),
    "slice 1 without axes": (9, "y = Slice <starts = [1], ends = [-1]> (x)"),
    "slice": (13, "s = Constant <value = int64[2] {-1, 4}> () e = Constant <value = int64[2] {-99, 0}> () "
                  "a = Constant <value = int64[2] {-1, 0}> () t = Constant <value = int64[2] {-2, -1}> () "
                  "y = Slice (x, s, e, a, t)"),
    "slice of nothing": (13, "s = Constant <value = int64[1] {3}> () e = Constant <value = int64[1] {1}> () "
                             "y = Slice (x, s, e)"),
    "slice backwards of nothing": (13, "s = Constant <value = int64[1] {1}> () e = Constant <value = int64[1] {3}> () "
                                       "a = Constant <value = int64[1] {0}> () t = Constant <value = int64[1] {-1}> () "
                                       "y = Slice (x, s, e, a, t)"),
    "slice from before the first": (13, "s = Constant <value = int32[1] {-9}> () "
                                        "e = Constant <value = int32[1] {9}> () a = Constant <value = int32[1] {1}> () "
                                        "t = Constant <value = int32[1] {4}> () "
                                        "y = Slice (x, s, e, a, t)"),
    "split 2": (9, "y, z = Split <axis = -1, split = [2, 4]> (x)"),
    "split 2 in equal parts": (9, "y, z = Split <axis = 1> (x)"),
    "split 13": (13, "s = Constant <value = int64[2] {1, 3}> () y, z = Split (x, s)"),
    "split 18, the last smaller": (18, "a = Constant <value = int64[1] {1}> () b = Constant <value = int64[1] {6}> () "
                                   "c = Slice (x, a, b, a) y, z, u = Split <axis = 1, num_outputs = 3> (c)"),
    "squeeze 1": (9, "u = Unsqueeze <axes = [0, 2]> (x) y = Squeeze <axes = [0]> (u)"),
    "squeeze 13": (13, "a = Constant <value = int64[2] {-1, 1}> () u = Unsqueeze (x, a) "
                       "b = Constant <value = int64[1] {-1}> () y = Squeeze (u, b)"),
    "squeeze all": (13, "a = Constant <value = int64[2] {0, 3}> () u = Unsqueeze (x, a) y = Squeeze (u)"),
    "pad 2": (9, "y = Pad <pads = [1, 0, 0, 2], value = 1.5> (x)"),
    "pad 2, reflect": (9, 'y = Pad <pads = [1, 5, 3, 2], mode = "reflect"> (x)'),
    "pad 11, edge": (11, 'p = Constant <value = int64[4] {0, 1, 7, 0}> () y = Pad <mode = "edge"> (x, p)'),
    "pad by less than nothing": (13, "p = Constant <value = int64[4] {-1, 2, 1, -3}> () "
                                     "v = Constant <value = float {2.5}> () y = Pad (x, p, v)"),
    "reflect by less than nothing": (13, "p = Constant <value = int64[4] {-1, 2, 1, -3}> () "
                                         'y = Pad <mode = "reflect"> (x, p)'),
    "pad 18, axes": (18, "p = Constant <value = int64[2] {1, 2}> () a = Constant <value = int64[1] {-1}> () "
                         "y = Pad (x, p, , a)"),
    "pad 19, wrap": (19, 'p = Constant <value = int64[4] {4, 1, 2, 6}> () y = Pad <mode = "wrap"> (x, p)'),
    "reshape": (13, "s = Constant <value = int64[3] {0, -1, 3}> () y = Reshape (x, s)"),
    "flatten": (11, "y = Flatten <axis = 0> (x) z = Flatten <axis = -1> (x)"),
    "transpose": (9, "y = Transpose (x) z = Transpose <perm = [0, 1]> (x)"),
    "top k 1": (9, "y, i = TopK <k = 3> (x) z = Cast <to = 1> (i)"),
    "top k 10": (10, "k = Constant <value = int64[1] {2}> () y, i = TopK <axis = 0> (x, k) z = Cast <to = 1> (i)"),
    "top k 11": (11, "k = Constant <value = int64[1] {2}> () y, i = TopK <largest = 0> (x, k) z = Cast <to = 1> (i)"),
    "gather": (13, "i = Constant <value = int64[2, 2] {0, -1, 3, 3}> () y = Gather <axis = -1> (x, i)"),
    "scatter 9": (9, "i = Constant <value = int64[1, 2] {3, 0}> () u = Constant <value = float[1, 2] {7, 8}> () "
                     "y = Scatter <axis = 1> (x, i, u)"),
    "one hot": (11, "i = Constant <value = float[3] {1, -1, 9}> () d = Constant <value = float {4}> () "
                    "v = Constant <value = float[2] {2, 5}> () y = OneHot <axis = 0> (i, d, v) z = Abs (x)"),
    "range": (11, "a = Constant <value = float {5}> () b = Constant <value = float {-1.2}> () "
                  "c = Constant <value = float {-1.5}> () y = Range (a, b, c) z = Abs (x)"),
    "tile": (13, "r = Constant <value = int64[2] {2, 3}> () y = Tile (x, r)"),
    "eye like": (9, "y = EyeLike <k = -1> (x)"),
    "lower triangle": (14, "k = Constant <value = int64 {-1}> () y = Trilu <upper = 0> (x, k)"),
    "constants": (13, "a = Constant <value_float = 2.5> () b = Constant <value_floats = [1.0, 2.0]> () "
                      "c = Add (a, b) s = Shape (x) d = ConstantOfShape <value = float[1] {3}> (s) y = Add (x, d) "
                      "z = Abs (c)"),
    "part of a shape": (15, "s = Shape <start = -1> (x) f = Cast <to = 1> (s) y = Mul (x, f) n = Size (x) "
                            "z = Cast <to = 1> (n)"),
    "middle": (18, "s = Constant <value = int64[2] {3, 9}> () y = CenterCropPad (x, s)"),
}  # fmt: skip


@pytest.mark.parametrize(("opset", "body"), STATED.values(), ids=STATED)
def test_stated(opset: int, body: str) -> None:
    proto = model(opset, "float[4, 6] x", body)
    check(proto, {"x": X})
    check_gradients(proto, {"x": X})


def test_depth_and_space() -> None:
    body = ('a = DepthToSpace <blocksize = 2> (x) y = SpaceToDepth <blocksize = 2> (a) '
            'z = DepthToSpace <blocksize = 2, mode = "CRD"> (x)')  # fmt: skip
    proto = model(13, "float[2, 8, 3, 4] x", body)
    check(proto, {"x": IMAGE})
    check_gradients(proto, {"x": IMAGE})


@pytest.mark.parametrize("attributes", ["", "<strides = [2, 1], pads = [1, 0, 0, 2], dilations = [1, 2]>"])
def test_windows_added_up(attributes: str) -> None:
    body = (f"i = Constant <value = int64[2] {{5, 4}}> () k = Constant <value = int64[2] {{2, 2}}> () "
            f"y = Col2Im {attributes} (x, i, k)")  # fmt: skip
    x = np.random.default_rng(3).standard_normal((2, 8, 12)).astype(np.float32)
    proto = model(18, "float[2, 8, 12] x", body)
    check(proto, {"x": x})
    check_gradients(proto, {"x": x})


# --- sizes left open -----------------------------------------------------------------------------------------------

OPEN = {
    "reshape by shapes": "s = Shape (x) i = Constant <value = int64 {1}> () n = Gather (s, i) "
                         "a = Constant <value = int64[1] {0}> () m = Unsqueeze (n, a) "
                         "t = Constant <value = int64[1] {2}> () u = Constant <value = int64[1] {-1}> () "
                         "h = Div (m, t) w = Concat <axis = 0> (u, t, h) y = Reshape (x, w)",
    "reshape": "s = Constant <value = int64[3] {0, 2, -1}> () y = Reshape (x, s)",
    "flatten": "y = Flatten <axis = 2> (x)",
    "first and last": "a = Constant <value = int64[1] {0}> () b = Constant <value = int64[1] {1}> () "
                      "e = Constant <value = int64[1] {9223372036854775807}> () "
                      "m = Constant <value = int64[1] {-1}> () "
                      "y = Slice (x, a, b, b) z = Slice (x, m, e, b) u = Slice (x, a, m, b) v = Slice (x, b, e, b)",
    "backwards": "a = Constant <value = int64[1] {-1}> () b = Constant <value = int64[1] {1}> () "
                 "e = Constant <value = int64[1] {-9223372036854775807}> () y = Slice (x, a, e, b, a)",
    "every other": "a = Constant <value = int64[1] {1}> () b = Constant <value = int64[1] {2}> () "
                   "e = Constant <value = int64[1] {2147483647}> () y = Slice (x, a, e, a, b)",
    "split": "y, z = Split <axis = 1, num_outputs = 2> (x)",
    "expand": "s = Shape (x) t = Constant <value = int64[1] {3}> () w = Concat <axis = 0> (t, s) y = Expand (x, w)",
    "tile": "t = Constant <value = int64[2] {2, 3}> () y = Tile (x, t)",
    "pad": 'p = Constant <value = int64[4] {0, 1, 0, 2}> () y = Pad (x, p) z = Pad <mode = "reflect"> (x, p)',
    "ones": "s = Shape (x) w = ConstantOfShape <value = float[1] {1}> (s) y = Add (x, w)",
    "range": "a = Constant <value = int64 {0}> () s = Shape <start = 1> (x) n = Squeeze (s) "
             "b = Constant <value = int64 {2}> () r = Range (a, n, b) y = Gather <axis = 1> (x, r)",
    "triangle": "y = Trilu (x)",
    "all of them": "s = Shape <start = 1> (x) y, i = TopK <axis = 1> (x, s) z = GatherElements <axis = 1> (x, i)",
    "written": "s = Constant <value = int64[1, 1] {1}> () r = Constant <value = int64[1] {0}> () "
               "u = Gather (x, r) y = ScatterND (x, s, u) z = ScatterND <reduction = \"add\"> (x, s, u)",
}  # fmt: skip


@pytest.mark.parametrize("size", [4, 6])
@pytest.mark.parametrize("body", OPEN.values(), ids=OPEN)
def test_open(body: str, size: int) -> None:
    proto = model(18, "float[b, n] x", body)
    feeds = {"x": X[:3, :size].copy()}
    check(proto, feeds)
    check_gradients(proto, feeds)


# --- sizes that only the run tells ---------------------------------------------------------------------------------

RUN_TIME = {
    "reshape": ("float[4, 6] x, int64[3] s", "y = Reshape (x, s)", {"s": [2, -1, 3]}),
    "reshape, copied": ("float[4, 6] x, int64[3] s", "y = Reshape (x, s)", {"s": [0, 3, -1]}),
    "reshape, of open size": ("float[b, n] x, int64[2] s", "y = Reshape (x, s)", {"s": [-1, 8]}),
    "slice": ("float[4, 6] x, int64[2] s, int64[2] e", "y = Slice (x, s, e)", {"s": [1, -99], "e": [-1, 4]}),
    "slice of nothing": ("float[4, 6] x, int64[1] s, int64[1] e", "y = Slice (x, s, e)", {"s": [3], "e": [1]}),
    "slice backwards": ("float[4, 6] x, int64[1] s, int64[1] e",
                        "a = Constant <value = int64[1] {1}> () t = Constant <value = int64[1] {-2}> () "
                        "y = Slice (x, s, e, a, t)", {"s": [9], "e": [-9]}),
    "slice to the end": ("float[4, 6] x, int64[1] s",
                         "e = Constant <value = int64[1] {9223372036854775807}> () y = Slice (x, s, e)", {"s": [-3]}),
    "expand": ("float[4, 6] x, int64[1] s", "t = Shape (x) w = Concat <axis = 0> (s, t) y = Expand (x, w)", {"s": [2]}),
    "tile": ("float[4, 6] x, int64[2] s", "y = Tile (x, s)", {"s": [2, 1]}),
    "split": ("float[4, 6] x, int64[2] s", "y, z = Split <axis = 1> (x, s)", {"s": [5, 1]}),
    "top k": ("float[4, 6] x, int64[1] s", "y, i = TopK (x, s) z = GatherElements <axis = 1> (x, i)", {"s": [3]}),
    "range": ("float[4, 6] x, int64 a, int64 b, int64 c", "r = Range (a, b, c) y = Gather (x, r)",
              {"a": 3, "b": 0, "c": -2}),
    "range of floats": ("float a, float b, float c", "y = Range (a, b, c)", {"a": 0.5, "b": 2.4, "c": 0.6}),
    "nonzero": ("float[4, 6] x, bool[6] m", "r = NonZero (m) a = Constant <value = int64[1] {0}> () "
                "i = Squeeze (r, a) y = Gather <axis = 1> (x, i)", {"m": [True, False, True, False, False, True]}),
    "compress": ("float[4, 6] x, bool[3] m", "y = Compress <axis = 1> (x, m) z = Compress (x, m)",
                 {"m": [True, False, True]}),
    "unique": ("float[4, 6] x", "y, i, j, c = Unique (x) z = Unique <axis = 0, sorted = 0> (x)", {}),
    "ones": ("float[4, 6] x, int64[2] s", "y = ConstantOfShape <value = float[1] {2}> (s) z = Abs (x)", {"s": [2, 1]}),
    "triangle": ("float[4, 6] x, int64 k", "y = Trilu (x, k) z = Trilu <upper = 0> (x, k)", {"k": -1}),
    "padding value": ("float[4, 6] x, float v", "p = Constant <value = int64[4] {0, 1, 2, -1}> () y = Pad (x, p, v)",
                      {"v": 2.5}),
    "crop": ("float[4, 6] x, int64[2] s", "y = CenterCropPad (x, s)", {"s": [7, 3]}),
    "classes": ("int64[3] i, int64 d, float[2] v", "y = OneHot <axis = 0> (i, d, v)",
                {"i": [0, -1, 7], "d": 4, "v": [0.5, 2.0]}),
}  # fmt: skip


@pytest.mark.parametrize(("inputs", "body", "given"), RUN_TIME.values(), ids=RUN_TIME)
def test_run_time(inputs: str, body: str, given: dict[str, Any]) -> None:
    proto = model(18, inputs, body)
    dtypes = {item.name: item.type.tensor_type.elem_type for item in proto.graph.input}
    feeds = {
        name: X if name == "x" else np.array(given[name], onnx.helper.tensor_dtype_to_np_dtype(dtype))
        for name, dtype in dtypes.items()
    }
    check(proto, feeds)
    check_gradients(proto, feeds)


def test_what_no_rule_can_say_is_kept() -> None:
    """Axes that only the run tells."""
    proto = model(18, "float[4, 6] x, int64[1] s, int64[1] e, int64[1] a", "y = Slice (x, s, e, a)")
    check(proto, {"x": X, "s": np.array([0]), "e": np.array([3]), "a": np.array([1])}, foreign=True)


# --- positions -----------------------------------------------------------------------------------------------------

REDUCTIONS = ("none", "add", "mul", "max", "min")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("axis", [0, -1])
def test_scatter_elements(axis: int, reduction: str) -> None:
    how = f'axis = {axis}, reduction = "{reduction}"'
    proto = model(18, "float[4, 6] x, int32[2, 3] i, float[2, 3] u", f"y = ScatterElements <{how}> (x, i, u)")
    rows = [[0, 1, 2], [-1, 2, -3]] if reduction == "none" else [[0, 1, 2], [0, -3, -1]]
    feeds = {"x": X, "i": np.array(rows, np.int32), "u": -2 * X[:2, :3]}
    check(proto, feeds)
    check_gradients(proto, feeds)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_scatter_nd(reduction: str) -> None:
    proto = model(18, "float[4, 6] x, int64[3, 1] i, float[3, 6] u",
                  f'y = ScatterND <reduction = "{reduction}"> (x, i, u)')  # fmt: skip
    rows = [[0], [3], [1]] if reduction == "none" else [[0], [3], [-1]]
    feeds = {"x": X, "i": np.array(rows), "u": -2 * X[:3]}
    graph = check(proto, feeds)
    check_gradients(proto, feeds)
    racing = [node for node in emit(graph).graph.node if node.op_type == "ScatterND"]
    assert len(racing) == (reduction == "none"), "its threads race where positions repeat"


@pytest.mark.parametrize(("mode", "axis"), [("linear", -2), ("circular", 1), ("linear", -1)])
def test_cache(mode: str, axis: int) -> None:
    values = IMAGE.take(range(2), axis)
    shape = ", ".join(map(str, values.shape))
    proto = model(24, f"float[2, 8, 3, 4] x, float[{shape}] u, int64[2] i",
                  f'y = TensorScatter <mode = "{mode}", axis = {axis}> (x, u, i)')  # fmt: skip
    feeds = {"x": IMAGE, "u": values, "i": np.array([1, 0 if mode == "linear" else 7])}
    check(proto, feeds)
    check_gradients(proto, feeds)


OUTSIDE = {
    "gather": ("float[4, 6] x, int64[1] i", "y = Gather (x, i)", [4]),
    "gather, from the end": ("float[4, 6] x, int64[1] i", "y = Gather <axis = 1> (x, i)", [-7]),
    "gather_elements": ("float[4, 6] x, int64[1, 1] i", "y = GatherElements (x, i)", [[4]]),
    "gather_nd": ("float[4, 6] x, int64[1, 2] i", "y = GatherND (x, i)", [[1, 6]]),
    "scatter_elements": ("float[4, 6] x, int64[1, 1] i", "u = Constant <value = float[1, 1] {1}> () "
                         "y = ScatterElements (x, i, u)", [[-5]]),
    "scatter_nd": ("float[4, 6] x, int64[1, 2] i", "u = Constant <value = float[1] {1}> () "
                   "y = ScatterND (x, i, u)", [[1, 6]]),
    "scatter_nd that adds": ("float[4, 6] x, int64[1, 2] i", "u = Constant <value = float[1] {1}> () "
                             'y = ScatterND <reduction = "add"> (x, i, u)', [[1, 6]]),
}  # fmt: skip


@pytest.mark.parametrize(("inputs", "body", "index"), OUTSIDE.values(), ids=OUTSIDE)
def test_a_position_outside_stops_the_run(inputs: str, body: str, index: Any) -> None:
    graph = read_model(model(18, inputs, body)).graph
    with pytest.raises(OUT_OF_RANGE):
        run_onnx(graph, {"x": X, "i": np.array(index)})


@pytest.mark.parametrize("name", ["gather", "gather_elements", "take_along", "gather_nd", "scatter_elements"])
def test_a_constant_position_outside_is_refused(name: str) -> None:
    b = Builder()
    index = np.array([[9]]) if name == "gather_nd" else np.array(9) if name == "take_along" else np.array([9])
    operands = [b.constant(np.ones(3, np.float32)), b.constant(index)]
    if name == "scatter_elements":
        operands.append(b.constant(np.ones(1, np.float32)))
    with pytest.raises(DiagnosticError) as error:
        b.apply(name, operands, {})
    assert error.value.diagnostics[0].code == "bad-index"


# --- sequences -----------------------------------------------------------------------------------------------------

SEQUENCES = {
    "split and join": "s = SplitToSequence <axis = 1> (x) y = ConcatFromSequence <axis = 0> (s)",
    "split in twos": "n = Constant <value = int64 {4}> () s = SplitToSequence <axis = 1> (x, n) "
                     "i = Constant <value = int64 {-1}> () y = SequenceAt (s, i)",
    "split in sizes": "n = Constant <value = int64[2] {1, 5}> () s = SplitToSequence <axis = 1> (x, n) "
                      "i = Constant <value = int64 {0}> () y = SequenceAt (s, i)",
    "split without the axis": "s = SplitToSequence <axis = 0, keepdims = 0> (x) "
                              "y = ConcatFromSequence <axis = -1, new_axis = 1> (s)",
    "change": "e = SequenceEmpty () a = SequenceInsert (e, x) z = Neg (x) p = Constant <value = int64 {0}> () "
              "b = SequenceInsert (a, z, p) c = SequenceConstruct (x, z) d = SequenceErase (c) "
              "n = SequenceLength (b) m = Cast <to = 1> (n) u = SequenceAt (b, p) v = SequenceAt (d, p) "
              "w = Mul (u, m) y = Add (w, v)",
}  # fmt: skip


@pytest.mark.parametrize("body", SEQUENCES.values(), ids=SEQUENCES)
def test_sequences_are_their_elements(body: str) -> None:
    proto = model(18, "float[4, 6] x", body)
    check(proto, {"x": X})
    check_gradients(proto, {"x": X})


# --- the operators themselves --------------------------------------------------------------------------------------


def test_a_scatter_that_adds_is_the_same_with_any_number_of_threads() -> None:
    b = Builder()
    x = b.input("x", TensorType("f32", (5, 3)))
    index, values = b.input("i", TensorType("i64", (20000, 1))), b.input("u", TensorType("f32", (20000, 3)))
    b.output("y", b.scatter_nd(x, index, values, reduction="add"))
    rng = np.random.default_rng(0)
    u = rng.standard_normal((20000, 3)).astype(np.float32)
    feeds = {"x": np.zeros((5, 3), np.float32), "i": rng.integers(0, 5, (20000, 1)), "u": u}
    runs = [run_onnx(b.graph(), feeds, threads=threads)["y"] for threads in (1, 2, 2)]
    assert all(np.array_equal(runs[0], run) for run in runs[1:])


def test_a_table_of_rows_keeps_its_fast_lowering() -> None:
    """A gather along the first axis is one node, and its gradient transposes nothing."""
    b = Builder()
    table, index = b.input("t", TensorType("f32", (1000, 8))), b.input("i", TensorType("i64", (5,)))
    (gradient,) = gradients(b, b.sum(b.gather(table, index)), [table])
    b.output("g", gradient)
    assert {"scatter_rows"} == {node.op for node in b.nodes} - {"gather", "sum", "full", "expand", "constant"}


TIES = {
    "max": ([3, 1, 2], [3, 3, 0, 1], "amax"),
    "min": ([1, 3, 2], [1, 1, 4, 3], "amin"),
    "mul": ([2, 0, 3], [0, 5, 0, 7], "prod"),
    "mul, one 0": ([2, 4, 3], [5, 0, 2, 7], "prod"),
}


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize(("x", "values", "name"), TIES.values(), ids=TIES)
def test_ties_and_zeros_of_scatters_differentiate_as_in_pytorch(
    x: list[float], values: list[float], name: str, dimensions: int
) -> None:
    index = np.array([0, 0, 1, 1])
    reduction = {"amax": "max", "amin": "min", "prod": "mul"}[name]
    b = Builder()
    inputs = [b.input("x", TensorType("f32", (3,))), b.input("u", TensorType("f32", (4,)))]
    if dimensions == 1:
        y = b.scatter_elements(inputs[0], index, inputs[1], reduction=reduction)
    else:
        y = b.scatter_nd(inputs[0], index[:, None], inputs[1], reduction=reduction)
    for i, gradient in enumerate(gradients(b, b.sum(y), inputs)):
        b.output(f"g{i}", gradient)
    found = run_onnx(b.graph(), {"x": np.array(x, np.float32), "u": np.array(values, np.float32)})
    tensors = [torch.tensor(numbers, dtype=torch.float32, requires_grad=True) for numbers in (x, values)]
    tensors[0].scatter_reduce(0, torch.tensor(index), tensors[1], name).sum().backward()
    for i, tensor in enumerate(tensors):
        assert tensor.grad is not None
        np.testing.assert_allclose(found[f"g{i}"], tensor.grad.numpy(), rtol=1e-6)
