"""Numbers of an entry that has no default for them are inputs: an `int` is a size, a `float` a scalar."""

from __future__ import annotations

import numpy as np
import pytest

from netlang.diagnostics import DiagnosticError

from ..stdlib.harness import CHECKED, Runner, program

MODEL = """
model M(width: int = 2) {
  entry padded(x: f32[b], n: int) -> f32[b + n] { return concat(x, zeros(n), axis = 0) }
  entry steps(x: f32[b], n: int) -> f32[n, b] { return loop _i from 1 to n carry x = x { next x = x + 1; emit x } }
  entry scaled(x: f32[b], by: float, times: float = 3) -> f32[b] { return if by > 0 { x * by * times } else { x } }
  entry sample(n: int, seed: i64) -> f32[n, width] { return normal(n, width, seed = seed) }
  entry twice(seed: i64, by: float) -> f32[3, width] { return scaled(sum(sample(3, seed), 0), by) + zeros(3, width) }
}
"""
NETWORK = program(MODEL).network()


def run(entry: str, **feeds: object) -> np.ndarray:
    dtypes = {"f32": np.float32, "i64": np.int64}
    graph = NETWORK.elaborate(entry)
    given = {i.name: np.asarray(feeds[i.name], dtypes[i.value.type.dtype]) for i in graph.inputs}
    return Runner(NETWORK.graph(entry, **CHECKED))(given)["output"]


def test_a_whole_number_is_a_size() -> None:
    assert run("padded", x=[1, 2], n=3).tolist() == [1, 2, 0, 0, 0]
    assert run("padded", x=[1, 2], n=0).tolist() == [1, 2]
    assert run("steps", x=[1, 2], n=3).tolist() == [[1, 2], [2, 3], [3, 4]]


def test_draws_of_a_size_given_at_run_time() -> None:
    five, three = run("sample", n=5, seed=1), run("sample", n=3, seed=1)
    assert (five.shape, three.shape) == ((5, 2), (3, 2))
    np.testing.assert_allclose(five[:3], three, rtol=1e-5)


def test_a_fraction_is_a_scalar() -> None:
    assert run("scaled", x=[1, 2], by=2).tolist() == [6, 12]
    assert run("scaled", x=[1, 2], by=-2).tolist() == [1, 2]


def test_entries_call_one_another_with_both_kinds() -> None:
    total = run("sample", n=3, seed=1).sum(0)
    np.testing.assert_allclose(run("twice", seed=1, by=2), np.tile(total * 6, (3, 1)), rtol=1e-5)


def test_dims_fix_a_number() -> None:
    graph = NETWORK.elaborate("sample", {"n": 4})
    assert [item.name for item in graph.inputs] == ["seed"]
    assert str(graph.outputs[0].value.type) == "f32[4, 2]"


def test_other_settings_need_a_default() -> None:
    with pytest.raises(DiagnosticError) as raised:
        program("model M { entry forward(x: f32[b], on: bool) { return x } }").network().elaborate()
    assert raised.value.diagnostics[0].code == "missing-argument"
