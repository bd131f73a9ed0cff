"""`pretrained` declarations: what rules make of the tensors of a file, where the weights go, what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from netlang.runtime.checkpoint import save_tensors
from netlang.runtime.cli import main
from netlang.runtime.weight_files import WeightFile

import netlang as nl
from netlang.diagnostics import DiagnosticError
from netlang.render import render

NET = """\
use std.layers: linear

model Net(x: f32[b, 4]) -> f32[b, 2] {
  return x |> linear(6) |> relu |> linear(2)
}

train Net {
  in y: f32[b, 2]
  minimize mse(forward(x), y)
  optimizer sgd(0.0)
}

pretrained Net "net.safetensors" {
RULES
}
"""
RENAMED = '  "fc1.*" -> "linear.*"\n  "fc2.*" -> "linear_2.*"'
RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4)).astype(np.float32)


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


FILE = {"fc1.weight": numbers(6, 4), "fc1.bias": numbers(6), "fc2.weight": numbers(2, 6), "fc2.bias": numbers(2)}
OURS = {name.replace("fc1", "linear").replace("fc2", "linear_2"): array for name, array in FILE.items()}


def written(folder: Path, tensors: Mapping[str, np.ndarray] | bytes | None, rules: str = RENAMED) -> Path:
    """A program with these rules, beside a file with these tensors, or these bytes."""
    if isinstance(tensors, bytes):
        (folder / "net.safetensors").write_bytes(tensors)
    elif tensors is not None:
        save_tensors(folder / "net.safetensors", tensors)
    (folder / "net.net").write_text(NET.replace("RULES", rules))
    return folder / "net.net"


def weights(folder: Path, tensors: Mapping[str, np.ndarray], rules: str = RENAMED) -> Mapping[str, np.ndarray]:
    return nl.load(written(folder, tensors, rules))["Net"]().weights


def assert_equal(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, name)


@pytest.mark.parametrize(
    ("tensors", "rules"),
    [
        (FILE, RENAMED),
        (FILE, '"fc2.*" -> "linear_2.*"; "fc1.*" -> "linear.*"'),
        (FILE, '"fc*.weight" -> "x*.w"; "fc*.bias" -> "x*.b"; "x1.w" -> "linear.weight"; "x1.b" -> "linear.bias"\n'
               '"x*.w" -> "linear_*.weight"; "x*.b" -> "linear_*.bias"'),
        (OURS, ""),
        (OURS, '"linear.*" -> "a.*"; "linear_2.*" -> "linear.*"; "linear.*" -> "linear_2.*"; "a.*" -> "linear.*"'),
        ({**FILE, "fc1.weight": FILE["fc1.weight"].T}, f'transpose "fc1.weight"; {RENAMED}'),
        ({**FILE, "fc1.weight": FILE["fc1.weight"].T}, f'{RENAMED}; transpose "linear.weight"'),
        ({**FILE, "fc1.bias": FILE["fc1.bias"][None, :, None]}, f'{RENAMED}; reshape "linear.bias"'),
        ({**FILE, "mask": numbers(9), "other.mask": numbers(9)}, f'ignore "*mask", "nothing"; {RENAMED}'),
        (
            {**{n: a for n, a in FILE.items() if n != "fc1.weight"}, "q": FILE["fc1.weight"][:2],
             "k": FILE["fc1.weight"][2:3], "v": FILE["fc1.weight"][3:]},
            f'"q", "k", "v" -> "fc1.weight"; {RENAMED}',
        ),
        (
            {"all.weight": np.concatenate([FILE["fc1.weight"].ravel(), FILE["fc2.weight"].ravel(), numbers(12)]),
             "fc1.bias": FILE["fc1.bias"], "fc2.bias": FILE["fc2.bias"]},
            f'"all.weight" -> "one", "two"; "one" -> "fc1.weight"; "two" -> "fc2.weight", "rest"; ignore "rest"\n'
            f'reshape "*.weight"; {RENAMED}',
        ),
        (
            {**{n: a for n, a in FILE.items() if not n.endswith("bias")},
             "biases": np.concatenate([FILE["fc1.bias"], FILE["fc2.bias"]])},
            f'{RENAMED}; "biases" -> "linear.bias", "linear_2.bias"',
        ),
    ],
    ids=["names", "order", "stars", "nothing", "exchange", "transpose", "transpose at the end", "reshape", "ignore",
         "join", "split", "split into 6 and 2"],
)  # fmt: skip
def test_rules(tensors: dict[str, np.ndarray], rules: str, tmp_path: Path) -> None:
    if "all.weight" in tensors:  # 24 numbers, 12, and 12 that are left out
        assert tensors["all.weight"].size == 48
    assert_equal(weights(tmp_path, tensors, rules), OURS)


def test_new_weights_begin_as_the_model_says(tmp_path: Path) -> None:
    """A head for other classes: whatever the file has in its place is left."""
    other = {**FILE, "fc2.weight": numbers(1000, 6), "fc2.bias": numbers(1000)}
    found = weights(tmp_path, other, f'{RENAMED}; new "linear_2.*"')
    (tmp_path / "drawn.net").write_text(NET.partition("pretrained")[0])
    drawn = nl.load(tmp_path / "drawn.net")["Net"](seed=0).weights
    np.testing.assert_array_equal(found["linear.weight"], FILE["fc1.weight"])
    np.testing.assert_array_equal(found["linear_2.weight"], drawn["linear_2.weight"])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_floats_of_other_widths_are_converted(dtype: type, tmp_path: Path) -> None:
    halves = {name: array.astype(dtype) for name, array in FILE.items()}
    expected = {name: array.astype(dtype).astype(np.float32) for name, array in OURS.items()}
    assert_equal(weights(tmp_path, halves), expected)


def test_two_files(tmp_path: Path) -> None:
    save_tensors(tmp_path / "more.safetensors", {name: FILE[name] for name in ("fc2.weight", "fc2.bias")})
    path = written(tmp_path, {name: FILE[name] for name in ("fc1.weight", "fc1.bias")})
    path.write_text(path.read_text().replace('"net.safetensors"', '"net.safetensors", "more.safetensors"'))
    assert_equal(nl.load(path)["Net"]().weights, OURS)


def test_training_begins_with_them_and_goes_on_without_the_file(tmp_path: Path) -> None:
    trainer = nl.Trainer(nl.load(written(tmp_path, FILE))["Net"](), threads=1)
    trainer.step(x=X, y=np.zeros((3, 2), np.float32))
    assert_equal({name: trainer.variables()[name] for name in OURS}, OURS)
    trainer.save(tmp_path / "run")
    (tmp_path / "net.safetensors").unlink()
    restored = nl.Trainer.restore(tmp_path / "run")
    assert_equal({name: restored.variables()[name] for name in OURS}, OURS)
    expected = np.maximum(X @ OURS["linear.weight"].T + OURS["linear.bias"], 0) @ OURS["linear_2.weight"].T
    np.testing.assert_allclose(restored.network.forward(X), expected + OURS["linear_2.bias"], rtol=1e-5, atol=1e-6)


def test_given_weights_win(tmp_path: Path) -> None:
    network = nl.load(written(tmp_path, FILE))["Net"]()
    network.weights = {name: 2 * array for name, array in OURS.items()}
    trainer = nl.Trainer(network, threads=1)
    assert_equal({name: trainer.variables()[name] for name in OURS}, {n: 2 * a for n, a in OURS.items()})


def test_rules_without_a_file_are_for_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, FILE)
    path.write_text(path.read_text().replace(' "net.safetensors"', ""))
    monkeypatch.chdir(tmp_path)
    assert main(["compile", "net.net", "--weights", "net.safetensors", "-o", "out"]) == 0
    found = WeightFile(Path("out/weights.safetensors"))
    assert_equal({name: found.read(name) for name in found.types}, OURS)
    assert main(["compile", "net.net", "--weights", "out/weights.safetensors", "-o", "again"]) == 0  # our own names


def test_a_users_file_has_the_rules_of_the_model_that_it_imports(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    path.write_text(path.read_text().replace(' "net.safetensors"', ""))
    (tmp_path / "mine.net").write_text('use "./net.net": Net\n\npretrained Net "net.safetensors"\n')
    assert_equal(nl.load(tmp_path / "mine.net")["Net"]().weights, OURS)


def test_rules_of_a_users_file_come_before_those_of_the_model(tmp_path: Path) -> None:
    path = written(tmp_path, {f"net.{name}": array for name, array in FILE.items()} | {"extra": numbers(1)})
    path.write_text(path.read_text().replace(' "net.safetensors"', ""))
    own = 'pretrained Net "net.safetensors" { ignore "extra"; "net.*" -> "*"; new "linear_2.bias" }'
    (tmp_path / "mine.net").write_text(f'use "./net.net": Net\n\n{own}\n')
    found = nl.load(tmp_path / "mine.net")["Net"]().weights
    assert_equal({**found, "linear_2.bias": OURS["linear_2.bias"]}, OURS)


def missing(*names: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in FILE.items() if name not in names}


REFUSED = {
    "left over": ({**FILE, "fc3.weight": numbers(2, 2)}, RENAMED, "incomplete-weights",
                  "`fc3.weight`", '`ignore "fc3.weight"` leaves it out'),
    "unfilled": (missing("fc2.bias"), RENAMED, "incomplete-weights",
                 "leaves 1 of the 4 weights of `Net` unfilled", '`new "linear_2.bias"`'),
    "misspelled": (FILE, '"fc.*" -> "linear.*"; "fc2.*" -> "linear_2.*"', "incomplete-weights",
                   "patterns that match nothing: `fc.*`", 'a rule `"fc1.bias" -> "linear.bias"` renames'),
    "twice": (FILE, '"fc1.*" -> "linear.*"; "fc2.*" -> "linear.*"', "doubly-filled-weights",
              "one is `fc1.bias`, the other `fc2.bias`", "rename or `ignore` one of them"),
    "transposed": ({**FILE, "fc1.weight": numbers(4, 6)}, RENAMED, "wrong-weights",
                   "expected: f32[6, 4]", '`transpose "linear.weight"` at the end swaps the axes'),
    "another size": ({**FILE, "fc2.weight": numbers(9, 6)}, RENAMED, "wrong-weights",
                     "`fc2.weight` of ", '`new "linear_2.weight"` begins'),
    "another type": ({**FILE, "fc2.bias": np.ones(2, np.int64)}, RENAMED, "wrong-weights", "i64[2]", "f32[2]"),
    "one part missing": (FILE, '"fc1.weight", "fc1.wight" -> "linear.weight"', "incomplete-weights",
                         "has no `fc1.wight` to join with `fc1.weight`", "did you mean `fc1.weight`?"),
    "joined with itself": (FILE, '"fc1.weight", "fc1.weight" -> "linear.weight"', "bad-rule", "with itself", ""),
    "parts of other widths": (FILE, '"fc1.weight", "fc2.weight" -> "linear.weight"', "wrong-weights",
                              "expected: f32[6, 4]", "found:    f32[2, 6]"),
    "no equal parts": (FILE, '"fc1.bias" -> "a", "b", "c", "d"', "wrong-weights", "cannot be split into 4", "f32[6]"),
    "no axes to swap": (FILE, 'transpose "fc1.bias"', "wrong-weights", "fewer than two axes", "f32[6]"),
    "not that many numbers": (FILE, f'{RENAMED}; reshape "*"; "linear.bias" -> "b"; "linear_2.bias" -> "linear.bias"\n'
                              '"b" -> "linear_2.bias"', "wrong-weights", "`fc1.bias` of ", "expected: f32[2]"),
    "new, but not there": (FILE, f'{RENAMED}; new "linear_3.*"', "bad-rule", "no weight `linear_3.*`", "did you mean"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    tensors, rules, code, *texts = REFUSED[name]
    with pytest.raises(DiagnosticError) as caught:
        weights(tmp_path, tensors, rules)
    shown = render(caught.value.diagnostics)
    assert caught.value.diagnostics[0].code == code
    assert all(text in shown for text in texts), shown
    primary = caught.value.diagnostics[0].primary
    assert primary is not None and primary.span.source.name.endswith("net.net")


def header(entries: dict[str, object], data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (None, "unreadable-file", "no such file"),
        (b"", "bad-weights", "header"),
        (b"\x10", "bad-weights", "header"),
        ((10_000).to_bytes(8, "little") + b"{}", "bad-weights", "header"),
        ((1 << 60).to_bytes(8, "little") + b"{}", "bad-weights", "header too large"),
        (header({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4]}}, b"0000"), "bad-weights", "invalid"),
        (header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"0000"), "bad-weights", ""),
        (header({"a": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}, b"0000"), "bad-weights", "F8_E8M0"),
        (b"PK\x03\x04 an archive", "bad-weights", "save_file"),
        (b"\x80\x04\x95 a pickle", "bad-weights", "not opened"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "bad-weights", "header"),
    ],
    ids=["missing", "empty", "one byte", "cut off", "huge", "too large", "short", "type", "archive", "pickle", "png"],
)
def test_files_that_hold_no_weights_are_refused(content: bytes | None, code: str, text: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DiagnosticError) as caught:
        _ = nl.load(path)["Net"]().weights
    (fault,) = caught.value.diagnostics
    assert fault.code == code
    assert text in f"{fault.title} {fault.help}"
    assert fault.primary is not None and fault.primary.span.text == '"net.safetensors"'
