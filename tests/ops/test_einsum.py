"""einsum against NumPy on random equations, and what it is made of."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.passes import run
from netlang.compiler.passes.expand import expand

from netlang.dims import symbol
from netlang.types import TensorType

from .harness import run_onnx

LETTERS = "abcdef"


def random_use(seed: int) -> tuple[str, list[np.ndarray]]:
    """An equation of one to four terms, with repeated letters, sums, broadcasting axes and sometimes an ellipsis."""
    rng = np.random.default_rng(seed)
    sizes = {letter: int(rng.integers(1, 5)) for letter in LETTERS}
    hidden = (2, 3)[: rng.integers(0, 3)]
    terms, arrays = [], []
    for _ in range(rng.integers(1, 5)):
        letters = [*rng.choice(list(LETTERS), rng.integers(0, 4))]
        at = int(rng.integers(0, len(letters) + 1)) if hidden else None
        before, after = letters[:at], letters[at:] if at is not None else []
        extra = hidden[rng.integers(0, len(hidden) + 1) :] if hidden else ()
        extra = tuple(1 if rng.random() < 0.2 else size for size in extra)
        shape = (*(sizes[x] for x in before), *extra, *(sizes[x] for x in after))
        terms.append("".join(before) + ("..." if hidden else "") + "".join(after))
        arrays.append(rng.standard_normal(shape))
    used = sorted({letter for term in terms for letter in term if letter != "."})
    result = [str(x) for x in rng.permutation(used)[: rng.integers(0, len(used) + 1)]] if used else []
    if hidden:
        result.insert(int(rng.integers(0, len(result) + 1)), "...")
    return f"{','.join(terms)}->{''.join(result)}", arrays


@pytest.mark.parametrize("seed", range(200))
def test_random_equation(seed):
    equation, arrays = random_use(seed)
    b = Builder()
    xs = [b.input(f"x{i}", TensorType("f64", array.shape)) for i, array in enumerate(arrays)]
    b.output("y", b.einsum(*xs, equation=equation))
    feeds = {f"x{i}": array for i, array in enumerate(arrays)}
    found = evaluate(expand(b.graph()), feeds)["y"]
    np.testing.assert_allclose(found, np.einsum(equation, *arrays), rtol=1e-10, atol=1e-12, err_msg=equation)


def nodes_of(equation: str, *shapes: tuple[int, ...]) -> list[str]:
    b = Builder()
    xs = [b.input(f"x{i}", TensorType("f32", shape)) for i, shape in enumerate(shapes)]
    b.output("y", b.einsum(*xs, equation=equation))
    return [node.op_type for node in emit(run(b.graph())).graph.node]


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        ("ij,jk->ik", [(3, 4), (4, 5)], ["MatMul"]),
        ("ij,jk->ki", [(3, 4), (4, 5)], ["MatMul", "Transpose", "Transpose"]),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)], ["MatMul", "Transpose"]),
        ("btd,de->bte", [(2, 3, 4), (4, 5)], ["MatMul"]),
        ("bi,bi->b", [(3, 4), (3, 4)], ["Mul", "ReduceSum"]),
        ("ij->ji", [(3, 4)], ["Transpose"]),
    ],
)
def test_is_made_of_few_nodes(equation, shapes, expected):
    assert sorted(nodes_of(equation, *shapes)) == expected


def test_the_smallest_product_comes_first():
    """(A B) v costs 50 times what A (B v) costs."""
    b = Builder()
    shapes = ((50, 50), (50, 50), (50,))
    xs = [b.input(f"x{i}", TensorType("f32", shape)) for i, shape in enumerate(shapes)]
    b.output("y", b.einsum(*xs, equation="ij,jk,k->i"))
    products = [node for node in expand(b.graph()).nodes if node.op == "matmul"]
    assert [np.prod(node.outputs[0].type.shape) for node in products] == [50, 50]


def test_open_sizes():
    n, m = symbol("n"), symbol("m")
    b = Builder()
    x, y = b.input("x", TensorType("f32", (n, m, 3))), b.input("y", TensorType("f32", (n, 4, 3)))
    result = b.einsum(x, y, equation="bqd,bkd->bkq")
    assert result.type.shape == (n, 4, m)
    for name, gradient in zip(("gx", "gy"), gradients(b, b.sum(b.mul(result, result)), [x, y]), strict=True):
        b.output(name, gradient)
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((2, 5, 3)), "y": rng.standard_normal((2, 4, 3))}
    feeds = {name: array.astype(np.float32) for name, array in feeds.items()}
    scores = np.einsum("bqd,bkd->bkq", *feeds.values())
    found = run_onnx(b.graph(), feeds)
    np.testing.assert_allclose(found["gx"], 2 * np.einsum("bkq,bkd->bqd", scores, feeds["y"]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["gy"], 2 * np.einsum("bkq,bqd->bkd", scores, feeds["x"]), rtol=1e-4, atol=1e-5)
