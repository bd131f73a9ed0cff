"""Models that come out: checked, run, named, sized, and the same every time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from netlang.compiler.builder import Builder
from netlang.compiler.emit import External, emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph, Init, Value

from netlang.diagnostics import DiagnosticError
from netlang.dims import Size, maximum, minimum
from netlang.source import Source, Span
from netlang.types import DTYPES, TensorType

from .graphs import BATCH, TIME, f32, feeds, i64, parameter, perceptron_gradients, run_onnx


def check(graph: Graph, **sizes: int) -> onnx.ModelProto:
    """The model of `graph`, which computes what the interpreter does."""
    model = emit(graph)
    arrays = feeds(graph, **sizes)
    expected, found = evaluate(graph, arrays), run_onnx(model, arrays)
    assert sorted(found) == sorted(expected)
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
        assert array.dtype == expected[name].dtype
    return model


def nodes(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_computes_what_the_interpreter_does():
    check(perceptron_gradients(), batch=3, time=5)


def test_inputs_and_outputs_have_their_names_and_types():
    graph = perceptron_gradients()
    text = onnx.printer.to_text(emit(graph)).replace("\n", " ")
    header = '(float[5,4] "linear.weight", float[5] "linear.bias", float[batch,time,4] x) => '
    header += '(float[5,4] "gradient.linear.weight", float[5] "gradient.linear.bias", float loss)'
    assert header in text


def test_weights_become_initialisers():
    graph = perceptron_gradients()
    arrays = feeds(graph, batch=2, time=2)
    weights = {name: array for name, array in arrays.items() if name != "x"}
    model = emit(graph, weights=weights)
    assert [item.name for item in model.graph.input] == ["x"]
    baked, open_ = run_onnx(model, {"x": arrays["x"]}), run_onnx(emit(graph), arrays)
    for name, array in baked.items():
        np.testing.assert_allclose(array, open_[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("weight", [np.zeros((4, 5), np.float32), np.zeros((5, 4))])
def test_refuses_weights_of_another_type(weight: np.ndarray):
    with pytest.raises(ValueError, match=r"the weight `linear.weight` must be f32\[5, 4\], found float(32|64)\["):
        emit(perceptron_gradients(), weights={"linear.weight": weight})


def test_external_weights_need_no_values(tmp_path):
    graph = perceptron_gradients()
    arrays = feeds(graph, batch=2, time=2)
    weight = arrays["linear.weight"]
    (tmp_path / "weights.bin").write_bytes(b"12345678" + weight.tobytes())
    model = emit(graph, external={"linear.weight": External("weights.bin", 8, weight.nbytes)})
    onnx.save(model, tmp_path / "model.onnx")
    loaded = onnx.load(tmp_path / "model.onnx")
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(loaded.graph.initializer[0]), weight)
    del arrays["linear.weight"]
    expected = evaluate(graph, arrays | {"linear.weight": weight})["loss"]
    np.testing.assert_allclose(run_onnx(loaded, arrays)["loss"], expected, rtol=1e-6)


def test_new_values_of_variables_are_called_next():
    b = Builder()
    w = parameter(b, "w", 3)
    b.output("w", b.mul(w, 2.0), "next")
    model = emit(b.graph())
    assert [output.name for output in model.graph.output] == ["next.w"]
    np.testing.assert_array_equal(run_onnx(model, {"w": np.ones(3, np.float32)})["next.w"], [2, 2, 2])


def test_outputs_that_are_inputs_constants_or_each_other():
    b = Builder()
    x = b.input("x", f32(2))
    y = b.exp(x)
    for name, value in {"a": y, "b": y, "c": x, "d": b.constant(1.5), "e": b.stop_gradient(x)}.items():
        b.output(name, value)
    model = check(b.graph())
    assert nodes(model).count("Exp") == 1


def test_an_output_may_be_used_inside():
    b = Builder()
    y = b.exp(b.input("x", f32(2)))
    b.output("y", y)
    b.output("z", b.neg(y))
    model = check(b.graph())
    assert nodes(model) == ["Exp", "Neg"]
    assert model.graph.node[1].input == ["y"]


def test_names_say_scope_and_operator():
    b = Builder()
    x = b.input("x", f32(2, 2))
    source = Source("net.net", "a\nb\n")
    with b.at(Span(source, 2, 3), "block.3.attention"):
        y = b.matmul(b.matmul(x, x), x)
    b.output("exp", b.add(b.exp(y), b.exp(x)))
    model = check(b.graph())
    assert [node.name for node in model.graph.node] == [
        "block.3.attention/matmul",
        "block.3.attention/matmul_1",
        "exp_1",  # `exp` is an output
        "exp_2",
        "add",
    ]
    assert model.graph.node[0].output == ["block.3.attention/matmul"]
    assert model.graph.node[0].doc_string == "net.net:2"
    assert model.graph.node[2].doc_string == ""


def test_equal_graphs_give_equal_bytes():
    assert emit(perceptron_gradients()).SerializeToString() == emit(perceptron_gradients()).SerializeToString()


def test_values_between_have_types():
    model = emit(perceptron_gradients())
    types = {info.name: info.type.tensor_type for info in model.graph.value_info}
    shape = types["linear/tanh"].shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["batch", "time", 5]


def test_metadata_and_documentation_come_along():
    b = Builder("net")
    b.output("y", b.exp(b.input("x", f32(), doc="what goes in")))
    model = emit(b.graph(source="net.net", compiler="1"), name="forward")
    assert {item.key: item.value for item in model.metadata_props} == {"compiler": "1", "source": "net.net"}
    assert model.graph.name == "forward"
    assert model.graph.input[0].doc_string == "what goes in"
    assert model.producer_name == "netlang"


def test_equal_constants_are_shared():
    b = Builder()
    x = b.input("x", f32(2))
    b.output("y", b.add(b.mul(x, 2.0), b.mul(b.exp(x), 2.0)))
    model = check(b.graph())
    assert len(model.graph.initializer) == 1
    assert model.graph.initializer[0].name == "constant/2"


@pytest.mark.parametrize(
    ("operator", "opset", "ir_version"), [("exp", 18, 8), ("gelu", 20, 9)], ids=["lowest", "raised by an operator"]
)
def test_the_operator_set_is_the_lowest_that_serves(operator: str, opset: int, ir_version: int):
    b = Builder()
    b.output("y", getattr(b, operator)(b.input("x", f32(2))))
    model = emit(b.graph())
    assert (model.opset_import[0].version, model.ir_version) == (opset, ir_version)


@pytest.mark.parametrize(("opset", "ir_version"), [(19, 9), (21, 10), (22, 10), (23, 11), (26, 13)])
def test_a_later_operator_set_may_be_asked_for(opset: int, ir_version: int):
    graph = perceptron_gradients()
    model = emit(graph, opset=opset)
    assert (model.opset_import[0].version, model.ir_version) == (opset, ir_version)
    run_onnx(model, feeds(graph, batch=1, time=1))


@pytest.mark.parametrize(
    ("opset", "title"),
    [(19, "operator set 19 cannot express the graph"), (27, "operator set 27 is unknown")],
)
def test_an_operator_set_that_does_not_serve_is_refused(opset: int, title: str):
    b = Builder()
    b.output("y", b.gelu(b.input("x", f32(2))))
    with pytest.raises(DiagnosticError) as caught:
        emit(b.graph(), opset=opset)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.title) == ("opset-unsupported", title)
    assert (diagnostic.expected, diagnostic.found) == ("20 to 26", str(opset))
    assert diagnostic.notes == (("a later one is needed for `gelu`",) if opset == 19 else ())


SIZES: list[Size] = [
    BATCH,
    BATCH + 3,
    2 * BATCH * TIME - TIME + 7,
    (BATCH + TIME) * (BATCH + TIME),
    (BATCH + 5) // 2,
    (BATCH - 9) // 4 + 10,
    (100 - 7 * TIME) // 4,
    (BATCH * TIME + 1) // TIME,
    (BATCH + TIME // 2) // 3 * BATCH,
    maximum(BATCH, TIME),
    minimum(BATCH + 1, 2 * TIME),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes_are_computed(size: Size):
    b = Builder()
    b.input("x", f32(BATCH, TIME))
    b.output("y", b.dim(size=size))
    for batch, time in ((1, 2), (7, 3), (4, 9)):
        check(b.graph(), batch=batch, time=time)


def test_a_size_below_zero_is_divided_as_python_divides():
    b = Builder()
    b.input("x", f32(BATCH, TIME))
    b.output("y", b.dim(size=(3 - 7 * TIME) // (BATCH + 1)))
    arrays = {"x": np.zeros((3, 2), np.float32)}
    assert run_onnx(emit(b.graph()), arrays)["y"] == -3


@pytest.mark.parametrize(("shape", "time"), [((2 * TIME, 3), 4), ((TIME + 2, 3), 1), ((3 * TIME - 1, 3), 2)])
def test_symbols_are_solved_from_larger_axes(shape: tuple[Size, ...], time: int):
    b = Builder()
    b.input("x", f32(*shape))
    b.output("y", b.iota(count=TIME))
    size = {"2*time": 8, "time + 2": 3, "3*time - 1": 5}[str(shape[0])]
    found = run_onnx(emit(b.graph()), {"x": np.zeros((size, 3), np.float32)})["y"]
    np.testing.assert_array_equal(found, np.arange(time))


def test_shapes_are_read_once():
    b = Builder()
    x = b.input("x", i64(BATCH, TIME))
    full = b.full(shape=(BATCH, TIME, 8), value=1.0)
    column = b.cast(b.reshape(x, shape=(BATCH, TIME, 1)), dtype="f32")
    b.output("y", b.add(full, b.expand(column, shape=(BATCH, TIME, 8))))
    model = check(b.graph(), batch=2, time=3)
    assert nodes(model).count("Shape") == 1  # both axes together
    assert nodes(model).count("Concat") == 1


RESHAPES: list[tuple[tuple[Size, ...], tuple[Size, ...], str, list[int] | None]] = [
    ((BATCH, TIME, 12), (BATCH, TIME, 3, 4), "Reshape", [0, 0, 3, 4]),
    ((BATCH, TIME, 12), (BATCH * TIME, 12), "Reshape", [-1, 12]),
    ((BATCH, TIME), (BATCH * TIME,), "Reshape", [-1]),
    ((BATCH, 3, 4), (BATCH, 12), "Reshape", [0, 12]),
    ((1, BATCH, 4), (BATCH, 2, 2), "Reshape", [-1, 2, 2]),
    ((BATCH, TIME, 4), (4, BATCH * TIME), "Reshape", [4, -1]),
    ((3, 4), (2, 6), "Reshape", [2, 6]),
    ((1, 1), (), "Reshape", []),
    ((BATCH, 1, TIME), (BATCH, TIME), "Squeeze", [1]),
    ((1, BATCH, TIME, 1), (BATCH, TIME), "Squeeze", [0, 3]),
    ((BATCH, TIME), (BATCH, 1, TIME), "Unsqueeze", [1]),
    ((BATCH, TIME), (1, BATCH, 1, TIME), "Unsqueeze", [0, 2]),
    ((BATCH, TIME), (TIME, BATCH), "Reshape", None),
    ((BATCH, TIME, 4), (BATCH, 2, 2 * TIME), "Reshape", None),
    ((BATCH, TIME, 4), (BATCH, 4 * TIME), "Reshape", None),
    ((BATCH, TIME, 4), (4, BATCH, TIME), "Reshape", None),
    ((1, BATCH, TIME), (BATCH, 1, TIME), "Reshape", None),
]


@pytest.mark.parametrize(("before", "after", "operator", "constant"), RESHAPES, ids=str)
def test_reshapes_need_no_computation_where_possible(
    before: tuple[Size, ...], after: tuple[Size, ...], operator: str, constant: list[int] | None
):
    b = Builder()
    b.output("y", b.reshape(b.input("x", f32(*before)), shape=after))
    model = check(b.graph(), batch=2, time=3)
    assert nodes(model)[-1] == operator
    if constant is None:
        assert "Shape" in nodes(model)
    else:
        assert len(nodes(model)) == 1
        assert onnx.numpy_helper.to_array(model.graph.initializer[0]).tolist() == constant


@pytest.mark.parametrize(("before", "after"), [reshape[:2] for reshape in RESHAPES], ids=str)
def test_every_open_size_of_a_reshape_may_be_0(before: tuple[Size, ...], after: tuple[Size, ...]):
    b = Builder()
    b.output("y", b.reshape(b.input("x", f32(*before)), shape=after))
    for batch, time in ((0, 3), (2, 0), (0, 0)):
        check(b.graph(), batch=batch, time=time)


@pytest.mark.parametrize("perm", [(0, 2, 1), (1, 0, 2), (1, 2, 0)])
def test_products_of_batches_may_be_of_nothing(perm: tuple[int, ...]):
    """Of an operand that ONNX Runtime would read transposed: it gives no zeros then, or ends the process."""
    for first in (True, False):
        b = Builder()
        own = (2, 4, TIME) if first else (2, TIME, 4)
        x = b.transpose(b.input("x", f32(*(own[perm.index(axis)] for axis in range(3)))), perm=perm)
        w = b.input("w", f32(2, TIME, 3) if first else f32(2, 5, TIME))
        b.output("y", b.matmul(*((x, w) if first else (w, x))))
        for time in (0, 3):
            check(b.graph(), time=time)


def test_reshape_of_nothing():
    b = Builder()
    b.output("y", b.reshape(b.input("x", f32(0, 3)), shape=(3, 0)))
    assert run_onnx(emit(b.graph()), {"x": np.zeros((0, 3), np.float32)})["y"].shape == (3, 0)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("axis", [None, (0,), (0, 1), (1,)])
def test_the_mean_of_nothing_is_no_number(axis: tuple[int, ...] | None, dtype: str):
    b = Builder()
    b.output("y", b.mean(b.input("x", TensorType(dtype, (BATCH, 3))), axis=axis))
    x = np.arange(6, dtype={"f32": np.float32, "f64": np.float64}[dtype]).reshape(2, 3)
    np.testing.assert_allclose(run_onnx(emit(b.graph()), {"x": x})["y"], x.mean(axis))
    empty = run_onnx(emit(b.graph()), {"x": x[:0]})["y"]
    assert empty.shape == x[:0].sum(axis).shape and np.isnan(empty).all()


def test_scalars_stay_scalars():
    b = Builder()
    b.variable("s", f32(), "state", Init("zeros"))
    s = b.variables[0].value
    b.output("y", b.add(s, 1.0))
    for model in (emit(b.graph()), emit(b.graph(), weights={"s": np.float32(0).reshape(())})):
        assert run_onnx(model, {"s": np.zeros((), np.float32)})["y"].shape == ()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_passes_through(dtype: str):
    b = Builder()
    b.output("y", b.reshape(b.input("x", TensorType(dtype, (2, 2))), shape=(4,)))
    onnx.checker.check_model(emit(b.graph()), full_check=True)


def test_huge_models_need_no_memory():
    """The largest matrices of GPT-3 (Brown et al. 2020) as inputs: only their types are written."""
    b = Builder()
    x = b.input("x", f32(BATCH, TIME, 12288))
    w = parameter(b, "w", 49152, 12288)
    b.output("y", b.matmul(x, b.t(w)))
    assert len(emit(b.graph()).SerializeToString()) < 2000


CONVOLUTION = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1)}


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1)])
@pytest.mark.parametrize("first", [True, False])
def test_a_convolution_takes_its_bias(shape: tuple[int, ...], first: bool):
    b = Builder()
    x, w, bias = b.input("x", f32(BATCH, 3, 5, 5)), parameter(b, "w", 4, 3, 3, 3), parameter(b, "bias", 4)
    y, shift = b.conv(x, w, **CONVOLUTION), b.reshape(bias, shape=shape)
    b.output("y", b.relu(b.add(y, shift) if first else b.add(shift, y)))
    model = check(b.graph(), batch=2)
    assert nodes(model) == ["Conv", "Relu"]
    assert list(model.graph.node[0].input) == ["x", "w", "bias"]


def test_a_biased_convolution_may_be_an_output():
    b = Builder()
    x, w, bias = b.input("x", f32(BATCH, 3, 5, 5)), parameter(b, "w", 4, 3, 3, 3), parameter(b, "bias", 4)
    b.output("y", b.add(b.conv(x, w, **CONVOLUTION), b.reshape(bias, shape=(4, 1, 1))))
    assert nodes(check(b.graph(), batch=2)) == ["Conv"]


def test_two_convolutions_may_share_a_bias():
    b = Builder()
    x, w, bias = b.input("x", f32(BATCH, 4, 5, 5)), parameter(b, "w", 4, 4, 3, 3), parameter(b, "bias", 4)
    shift = b.reshape(bias, shape=(4, 1, 1))
    y = b.add(b.conv(x, w, **CONVOLUTION), shift)
    b.output("y", b.add(b.conv(y, w, **CONVOLUTION), shift))
    assert nodes(check(b.graph(), batch=2)).count("Conv") == 2


def without_reshape(b: Builder, y: Value, bias: Value) -> Value:
    return b.add(y, b.input("shift", f32(4, 1, 1)))


def in_another_layout(b: Builder, y: Value, bias: Value) -> Value:
    return b.add(y, b.reshape(bias, shape=(1, 1, 4)))


def used_twice(b: Builder, y: Value, bias: Value) -> Value:
    return b.mul(b.add(y, b.reshape(bias, shape=(4, 1, 1))), y)


@pytest.mark.parametrize("add", [without_reshape, in_another_layout, used_twice])
def test_other_additions_to_convolutions_stay(add: Callable[[Builder, Value, Value], Value]):
    b = Builder()
    x, w, bias = b.input("x", f32(BATCH, 3, 4, 4)), parameter(b, "w", 4, 3, 3, 3), parameter(b, "bias", 4)
    b.output("y", add(b, b.conv(x, w, **CONVOLUTION), bias))
    assert "Add" in nodes(check(b.graph(), batch=2))


CHANNELS = f32(BATCH, 4, 5)


@pytest.mark.parametrize("shape", [(4, 1), (1, 4, 1)])
@pytest.mark.parametrize("swapped", [False, True])
def test_channels_are_scaled_and_shifted_in_one_pass(shape: tuple[int, ...], swapped: bool):
    b = Builder()
    x, scale, shift = b.input("x", CHANNELS), b.input("scale", f32(*shape)), b.input("shift", f32(*shape))
    b.output("y", b.add(shift, b.mul(scale, x)) if swapped else b.add(b.mul(x, scale), shift))
    assert nodes(check(b.graph(), batch=2)) == ["Reshape", "Reshape", "BatchNormalization"]


@pytest.mark.parametrize("swapped", [False, True])
def test_something_may_be_added_to_scaled_channels(swapped: bool):
    b = Builder()
    x, y = b.input("x", CHANNELS), b.input("y", CHANNELS)
    scale, shift = b.input("scale", f32(4, 1)), b.input("shift", f32(4, 1))
    product = b.mul(x, scale)
    b.output("z", b.add(b.add(product, y) if swapped else b.add(y, product), shift))
    assert nodes(check(b.graph(), batch=2)) == ["Reshape", "Reshape", "BatchNormalization", "Add"]


def scaled_by_rows(b: Builder, x: Value, c: Value) -> Value:
    return b.add(b.mul(x, b.input("row", f32(5))), c)


def shifted_by_rows(b: Builder, x: Value, c: Value) -> Value:
    return b.add(b.mul(x, c), b.input("row", f32(5)))


def scaled_twice(b: Builder, x: Value, c: Value) -> Value:
    product = b.mul(x, c)
    return b.mul(b.add(product, c), product)


def with_a_smaller_term(b: Builder, x: Value, c: Value) -> Value:
    return b.add(b.add(b.mul(x, c), b.input("row", f32(5))), c)


@pytest.mark.parametrize("make", [scaled_by_rows, shifted_by_rows, scaled_twice, with_a_smaller_term])
def test_other_products_and_sums_stay(make: Callable[[Builder, Value, Value], Value]):
    b = Builder()
    b.output("y", make(b, b.input("x", CHANNELS), b.input("c", f32(4, 1))))
    assert "BatchNormalization" not in nodes(check(b.graph(), batch=2))
