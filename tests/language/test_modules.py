"""Files that use one another: aliases, relative paths, names handed on, each file read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from netlang.compiler import Network, load_program
from netlang.runtime.loader import load, open_source

from netlang.diagnostics import DiagnosticError

from .harness import run

X = np.float32([[1.0, 2.0]])


def network(folder: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Network:
    """The model of the first of the files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    monkeypatch.chdir(folder)
    return load_program(open_source(next(iter(files)))[0], load).network()


def output(net: Network) -> np.ndarray:
    (result,) = run(net.elaborate(), {"x": X}).values()
    return result


DOUBLE = "fn double(x: f32[*s]) -> f32[*s] { return factor * x }\nconst factor = 2\n"


@pytest.mark.parametrize(
    "files",
    [
        {"main.net": 'use "./a.net": double\nmodel M(x: f32[b, 2]) { return double(x) }', "a.net": DOUBLE},
        {"main.net": 'use "a.net": double as f\nmodel M(x: f32[b, 2]) { return x |> f }', "a.net": DOUBLE},
        {
            "main.net": 'use "./blocks/all.net": twice\nmodel M(x: f32[b, 2]) { return twice(x) }',
            "blocks/all.net": 'use "./one.net": double as twice\n',
            "blocks/one.net": DOUBLE,
        },
        {
            "nets/main.net": 'use "../a.net": double\nmodel M(x: f32[b, 2]) { return double(x) }',
            "a.net": DOUBLE,
        },
        {
            "main.net": 'use "./b.net": shifted\nuse "./c/../a.net": double\n'
            "model M(x: f32[b, 2]) { return double(shifted(x)) - 2 }",
            "b.net": 'use "./a.net": double, factor\n'
            "fn shifted(x: f32[*s]) -> f32[*s] { return (double(x) + 2) / factor }",
            "a.net": DOUBLE,
        },
        {"main.net": 'use "./a.net": factor\nmodel M(x: f32[b, 2]) { return factor * x }', "a.net": DOUBLE},
        {"main.net": 'use "./m.net": Inner\nmodel M(x: f32[b, 2]) { let f = Inner()\n return f(x) }',
         "m.net": "model Inner(by: int = 2)(x: f32[b, 2]) { return by * x }"},
    ],
    ids=["path", "alias", "handed on", "above", "diamond", "constant", "model"],
)  # fmt: skip
def test_imports(files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_allclose(output(network(tmp_path, files, monkeypatch)), 2 * X)


def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "main.net": 'use "./a.net": double\nuse "./b/../a.net": factor\nuse "./b/c.net": one\n'
        "model M(x: f32[b, 2]) { return double(x) * factor / 2 * one }",
        "a.net": DOUBLE,
        "b/c.net": 'use "../a.net": factor\nconst one = factor / 2',
    }
    net = network(tmp_path, files, monkeypatch)
    np.testing.assert_allclose(output(net), 2 * X)
    assert sorted(name for name in net.program.sources if not name.startswith("std.")) == [
        "a.net",
        "b/c.net",
        "main.net",
    ]


def test_a_file_sees_only_what_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"main.net": 'use "./a.net": double\nmodel M(x: f32[b, 2]) { return factor * double(x) }', "a.net": DOUBLE}
    with pytest.raises(DiagnosticError) as caught:
        network(tmp_path, files, monkeypatch)
    assert [(fault.code, fault.title) for fault in caught.value.diagnostics] == [
        ("undefined-name", "`factor` is not defined")
    ]


def test_names_of_a_file_go_before_those_of_the_prelude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "fn softmax(x: f32[*s]) -> f32[*s] { return 2 * x }\nmodel M(x: f32[b, 2]) { return softmax(x) }"
    np.testing.assert_allclose(output(network(tmp_path, {"main.net": text}, monkeypatch)), 2 * X)


def test_a_function_sees_the_names_of_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'use "./a.net": double\nconst factor = 7\nmodel M(x: f32[b, 2]) { return double(x) + 0 * factor }'
    files = {"main.net": text, "a.net": DOUBLE}
    np.testing.assert_allclose(output(network(tmp_path, files, monkeypatch)), 2 * X)


def test_the_operators_stay_reachable_where_their_names_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "fn relu(x: f32[*s]) -> f32[*s] { return ops.relu(x) + 1 }\nmodel M(x: f32[b, 2]) { return relu(-x) }"
    np.testing.assert_allclose(output(network(tmp_path, {"main.net": text}, monkeypatch)), 0 * X + 1)
