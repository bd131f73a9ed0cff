"""Broken and hostile models: each is refused with a diagnostic, in little time and memory."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from netlang.compiler.reading import Reading, read_model
from onnx import TensorProto, helper, numpy_helper

from netlang.diagnostics import DiagnosticError

from .models import model

GOOD = """
mlp (float[n, 4] x) => (float[n, 2] y) <float[4, 2] w = {1,2,3,4,5,6,7,8}, float[2] c = {1, 2}> {
  h = MatMul (x, w)
  a = Add (h, c)
  y = LeakyRelu <alpha = 0.1> (a)
}
"""


def refusal(proto: onnx.ModelProto | bytes) -> str:
    """The code with which a model is refused."""
    with pytest.raises(DiagnosticError) as caught:
        read_model(proto)
    return caught.value.diagnostics[0].code


def damaged(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    """A good model after `change`."""
    proto = model(GOOD)
    change(proto)
    return proto


def add_node(*arguments, **attributes) -> Callable[[onnx.ModelProto], None]:
    return lambda proto: proto.graph.node.append(helper.make_node(*arguments, **attributes))


def clear(field: str) -> Callable[[onnx.ModelProto], None]:
    return lambda proto: proto.ClearField(field)


def set_tensor(**fields) -> Callable[[onnx.ModelProto], None]:
    """Replaces the first weight by a tensor with these fields."""

    def change(proto: onnx.ModelProto) -> None:
        proto.graph.initializer[0].CopyFrom(TensorProto(name="w", **fields))

    return change


def rename(index: int, field: str, name: str) -> Callable[[onnx.ModelProto], None]:
    """Gives the first input or output of a node another name."""
    return lambda proto: getattr(proto.graph.node[index], field).__setitem__(0, name)


MALFORMED: dict[str, Callable[[onnx.ModelProto], object]] = {
    "no graph": clear("graph"),
    "no operator set": clear("opset_import"),
    "a cycle": rename(0, "input", "y"),
    "a value used before it is computed": rename(0, "input", "a"),
    "a value that nothing computes": rename(1, "input", "nowhere"),
    "an output that nothing computes": lambda proto: setattr(proto.graph.output[0], "name", "nowhere"),
    "one name for two values": rename(1, "output", "h"),
    "one name for a value and a weight": rename(1, "output", "w"),
    "one name for two weights": lambda proto: setattr(proto.graph.initializer[1], "name", "w"),
    "too few inputs": lambda proto: proto.graph.node[0].input.pop(),
    "too many inputs": lambda proto: proto.graph.node[0].input.append("c"),
    "an input left out": rename(0, "input", ""),
    "too many results": lambda proto: proto.graph.node[0].output.append("more"),
    "an unknown attribute": lambda proto: proto.graph.node[2].attribute.append(helper.make_attribute("beta", 1.0)),
    "an attribute twice": lambda proto: proto.graph.node[2].attribute.append(helper.make_attribute("alpha", 1.0)),
    "an attribute of a wrong type": lambda proto: (
        proto.graph.node[2].attribute[0].CopyFrom(helper.make_attribute("alpha", "much"))
    ),
    "an attribute missing": add_node("Cast", ["a"], ["b"]),
    "shapes that do not fit": lambda proto: proto.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    ),
    "a rank that does not fit": add_node("Concat", ["a", "c"], ["b"], axis=0),
    "an axis out of range": add_node("Concat", ["a", "a"], ["b"], axis=5),
    "a permutation that is none": add_node("Transpose", ["a"], ["b"], perm=[0, 0]),
    "an input without rank": lambda proto: proto.graph.input[0].type.tensor_type.ClearField("shape"),
    "a negative dimension": set_tensor(data_type=1, dims=[-4, -2], raw_data=bytes(32)),
    "less data than the shape says": set_tensor(data_type=1, dims=[4, 2], raw_data=bytes(28)),
    "more data than the shape says": set_tensor(data_type=1, dims=[4, 2], float_data=[0.0] * 9),
    "a huge shape without data": set_tensor(data_type=1, dims=[1 << 40, 1 << 40]),
    "an unknown element type": set_tensor(data_type=99, dims=[4, 2], raw_data=bytes(32)),
    "a domain that is not imported": add_node("Thing", ["a"], ["b"], domain="somewhere"),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed(fault: str):
    assert refusal(damaged(MALFORMED[fault])) == "onnx-malformed"


UNSUPPORTED: dict[str, Callable[[onnx.ModelProto], object]] = {
    "an unknown operator": add_node("Relru", ["a"], ["b"]),
    "an unknown domain": lambda proto: (
        proto.opset_import.append(helper.make_opsetid("com.example", 1)),
        add_node("Thing", ["a"], ["b"], domain="com.example")(proto),
    ),
    "a future operator set": lambda proto: setattr(proto.opset_import[0], "version", 10**6),
    "an old form of an operator": lambda proto: setattr(proto.opset_import[0], "version", 6),
}


@pytest.mark.parametrize("fault", UNSUPPORTED)
def test_unsupported(fault: str):
    assert refusal(damaged(UNSUPPORTED[fault])) == "onnx-unsupported"


def test_a_misspelt_operator_is_named_and_another_offered():
    with pytest.raises(DiagnosticError) as caught:
        read_model(damaged(add_node("Relru", ["a"], ["b"])))
    diagnostic = caught.value.diagnostics[0]
    assert "`Relru`" in diagnostic.title and diagnostic.help == "did you mean `Relu`?"
    assert diagnostic.primary is not None and diagnostic.primary.span.text == "b = Relru(a)"


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a model", b"\xff" * 100, b"PK\x03\x04" + bytes(50)])
def test_what_is_no_model(content: bytes):
    assert refusal(content) == "onnx-malformed"


def test_truncation_at_every_byte():
    content = model(GOOD).SerializeToString()
    for cut in range(len(content)):
        outcome(content[:cut])


def test_mutations():
    """Whatever happens to the bytes, the outcome is a graph or a diagnostic."""
    rng = random.Random(0)
    seeds = [model(text).SerializeToString() for text in (GOOD, SUBGRAPH)]
    stop = time.monotonic() + 15
    for _ in range(4000):
        content = bytearray(rng.choice(seeds))
        for _ in range(rng.choice([1, 1, 2, 4])):
            place = rng.randrange(len(content))
            match rng.randrange(4):
                case 0:
                    content[place] = rng.randrange(256)
                case 1:
                    del content[place : place + rng.randrange(1, 9)]
                case 2:
                    content[place:place] = rng.randbytes(rng.randrange(1, 5))
                case 3:
                    content[place] ^= 1 << rng.randrange(8)
        outcome(bytes(content))
        if time.monotonic() > stop:
            break


def outcome(content: bytes) -> Reading | None:
    try:
        return read_model(content)
    except DiagnosticError:
        return None


SUBGRAPH = """
g (float[n, 4] x, bool go) => (float[n, 4] y, float[k, n, 4] all) {
  three = Constant <value_int = 3> ()
  z = If (go) <
    then_branch = t () => (float[n, 4] a) { a = Relu (x) },
    else_branch = e () => (float[n, 4] b) { b = Reshape (x, shape) shape = Shape (x) }
  >
  y, all = Loop (three, go, z) <
    body = step (int64 i, bool on, float[n, 4] h) => (bool more, float[n, 4] next, float[n, 4] seen) {
      more = Identity (on)
      next = Tanh (h)
      seen = Softmax <axis = -1> (next)
    }
  >
}
""".replace("b = Reshape (x, shape) shape = Shape (x)", "shape = Shape (x) b = Reshape (x, shape)")


def nested_if(depth: int) -> onnx.ModelProto:
    """An If inside an If inside an If …."""
    result = [helper.make_tensor_value_info("r", 1, [2])]
    leaf = helper.make_graph([helper.make_node("Identity", ["x"], ["r"])], "leaf", [], result)
    graph = leaf
    for _ in range(depth):
        node = helper.make_node("If", ["go"], ["r"], then_branch=graph, else_branch=leaf)
        graph = helper.make_graph([node], "g", [], result)
    graph.input.extend([helper.make_tensor_value_info("x", 1, [2]), helper.make_tensor_value_info("go", 9, [])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def calls(count: int, chain: int, close: bool = False) -> onnx.ModelProto:
    """Functions that call the next one `count` times each; with `close`, the last one calls the first."""
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    functions = []
    for i in range(chain):
        target = f"f{i + 1}" if i + 1 < chain else "f0"
        domain, op = ("f", target) if i + 1 < chain or close else ("", "Relu")
        nodes = [helper.make_node(op, [f"v{k}" if k else "x"], [f"v{k + 1}"], domain=domain) for k in range(count)]
        functions.append(helper.make_function("f", f"f{i}", ["x"], [f"v{count}"], nodes, imports))
    info = [helper.make_tensor_value_info(name, 1, [2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("f0", ["x"], ["y"], domain="f")], "g", info[:1], info[1:])
    return helper.make_model(graph, opset_imports=imports, functions=functions)


def test_graphs_nested_too_deeply():
    assert refusal(nested_if(28)) == "onnx-too-large"


def test_functions_that_call_each_other_in_a_circle():
    assert refusal(calls(1, 3, close=True)) == "onnx-malformed"


def test_functions_that_call_each_other_too_deeply():
    assert refusal(calls(1, 40)) == "onnx-too-large"


def test_functions_that_grow_without_end(monkeypatch: pytest.MonkeyPatch):
    """Ten calls of ten calls of ten calls …: 10⁸ nodes in a few hundred lines."""
    monkeypatch.setattr("netlang.compiler.reading.reader.NODE_LIMIT", 10_000)
    assert refusal(calls(10, 8)) == "onnx-too-large"


def test_functions_within_the_limits_are_read():
    assert len(read_model(calls(3, 3)).graph.nodes) == 27


HUGE = {
    "a window": "(float x) => (float[a] y) { n = Constant <value_int = 1099511627776> () y = HannWindow (n) }",
    "a range": """(float x) => (float[a] y) {
      zero = Constant <value_int = 0> () one = Constant <value_int = 1> () n = Constant <value_int = 1099511627776> ()
      numbers = Range (zero, n, one) floats = Cast <to = 1> (numbers) y = Add (floats, x)
    }""",
    "a filled tensor": """(float x) => (float[a] y) {
      n = Constant <value_ints = [1099511627776]> () ones = ConstantOfShape (n) y = Add (ones, x)
    }""",
    "a transform": "(float[1, 100000, 1] x) => (float[a, b, 2] y) { y = DFT (x) }",
    "repeats": """(float[1, 4] x) => (float[a, b] y) {
      n = Constant <value_ints = [100000, 100000]> () y = Tile (x, n)
    }""",
    "an identity": "(float[100000, 100000] x) => (float[a, b] y) { y = EyeLike (x) }",
    "classes": """(int64[4] x) => (float[a, b] y) {
      n = Constant <value_int = 1099511627776> () v = Constant <value_floats = [0.0, 1.0]> () y = OneHot (x, n, v)
    }""",
    "an image": """(float[1, 1, 4, 4] x) => (float[a, b, c, d] y) {
      s = Constant <value_floats = [1.0, 1.0, 1000000.0, 1000000.0]> () y = Resize <mode = "linear"> (x, , s)
    }""",
    "elements of a sequence": """(float[10000000] x) => (float[a] y) {
      one = Constant <value_int = 1> () zero = Constant <value_int = 0> ()
      parts = SplitToSequence (x, one) y = SequenceAt (parts, zero)
    }""",
}


@pytest.mark.parametrize("what", HUGE)
def test_huge_results_of_small_inputs_are_not_made_while_reading(what: str):
    proto = model(f"g {HUGE[what]}", opset=20)
    tracemalloc.start()
    outcome(proto.SerializeToString())
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_constants_that_grow_together_are_refused():
    """Each is below the limit of what is computed while compiling; ten thousand of them are too many."""
    nodes = [helper.make_node("Constant", [], ["shape"], value_ints=[1 << 16])]
    for i in range(10_000):
        nodes.append(helper.make_node("Constant", [], [f"c{i}"], value_float=float(i)))
        nodes.append(helper.make_node("Expand", [f"c{i}", "shape"], [f"e{i}"]))
    info = [helper.make_tensor_value_info(name, 1, [1 << 16]) for name in ("x", "y")]
    nodes.append(helper.make_node("Add", ["x", "e0"], ["y"]))
    graph = helper.make_graph(nodes, "g", info[:1], info[1:])
    assert refusal(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])) == "onnx-too-large"


def test_a_sparse_weight_of_a_huge_shape():
    proto = model(GOOD)
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    del proto.graph.initializer[0]
    proto.graph.sparse_initializer.append(
        onnx.SparseTensorProto(values=values, indices=indices, dims=[1 << 30, 1 << 30])
    )
    assert refusal(proto) == "onnx-too-large"


def test_a_sparse_weight_is_read():
    proto = model(GOOD)
    values = numpy_helper.from_array(np.array([5, 6], np.float32), "w")
    indices = numpy_helper.from_array(np.array([[0, 1], [3, 0]], np.int64), "i")
    del proto.graph.initializer[0]
    proto.graph.sparse_initializer.append(onnx.SparseTensorProto(values=values, indices=indices, dims=[4, 2]))
    np.testing.assert_array_equal(read_model(proto).weights["w"], [[0, 5], [0, 0], [0, 0], [6, 0]])
    indices = numpy_helper.from_array(np.array([[0, 1], [4, 0]], np.int64), "i")
    proto.graph.sparse_initializer[0].indices.CopyFrom(indices)
    assert refusal(proto) == "onnx-malformed"
