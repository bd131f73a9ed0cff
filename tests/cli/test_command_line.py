"""What all commands share: help, usage errors, exit status, terminals, pipes, and faults of netlang itself."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import netlang.runtime.cli.check
import pytest
from netlang.runtime.cli.application import COMMANDS

from .conftest import netlang as run

NAMES = [module.__name__.rpartition(".")[2].rstrip("_") for module in COMMANDS]
SCRIPT = [sys.executable, "-c", "import sys; from netlang.runtime.cli import main; sys.exit(main())"]
ESCAPE = "\x1b["


def test_the_commands_are_those_of_the_documentation() -> None:
    assert NAMES == [
        "new",
        "check",
        "fmt",
        "summary",
        "graph",
        "compile",
        "train",
        "eval",
        "run",
        "export",
        "import",
        "doc",
        "explain",
        "ops",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_the_command_does_and_shows_an_example(name: str) -> None:
    result = run(name, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: netlang {name} ")
    assert f"\n  Examples:\n    netlang {name}" in result.out
    assert ESCAPE not in result.out


def test_help_says_what_arguments_and_options_mean_and_which_are_needed() -> None:
    text = run("export", "--help").out
    assert text.startswith("Usage: netlang export [OPTIONS] RUN\n")
    assert re.search(r"\nArguments:\n  RUN  A directory that .*  \[required\]\n\nOptions:\n", text)
    assert re.search(r"\n  -o, --out FILE +The \.onnx file to write\.  \[required\]\n", text)
    assert "Usage: netlang graph [OPTIONS] FILE [MODEL]\n" in run("graph", "--help").out
    assert "Usage: netlang check [OPTIONS] FILE...\n" in run("check", "--help").out
    assert "[default: text]" in run("check", "--help").out


def test_help_lists_the_commands_with_a_whole_sentence_each() -> None:
    result = run("--help")
    listed = re.search(r"\nCommands:\n(.*?)\n\n", result.out, re.DOTALL)
    assert listed is not None
    assert [line.split()[0] for line in listed[1].splitlines()] == NAMES
    assert "..." not in listed[1]
    assert run().out == result.out


def test_version_names_onnxruntime_and_its_providers() -> None:
    result = run("--version")
    assert result.code == 0
    assert re.fullmatch(r"netlang \d+\.\d+\.\d+\nonnxruntime \d\S+: .*CPUExecutionProvider\n", result.out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chekc"], "No such command 'chekc'. Did you mean 'check'?"),
        (["xyzzy"], "No such command 'xyzzy'.\n"),
        (["check", "--fromat", "json", "a.net"], "No such option: --fromat. Did you mean --format?"),
        (["check", "-d.net"], "No such option: -d\n"),
        (["check", "--format"], "Option '--format' requires an argument."),
        (["check", "--json=yes", "a.net"], "Option '--json' does not take a value."),
        (["check", "--format", "jsn", "a.net"], "is not one of 'text', 'concise', 'json'."),
        (["check"], "Missing argument 'FILE'."),
        (["summary", "--set", "hidden", "good.net"], "Invalid value for --set: expected NAME=VALUE such as"),
        (["summary", "--set", "a=1", "--set", "a=2", "good.net"], "Invalid value for --set: `a` is given twice"),
        (["summary", "--dims", "t=-4", "good.net"], "Invalid value for --dims: `t` needs a whole number above 0"),
        (["compile", "--dump-after", "algbra", "good.net"], "there is no pass `algbra`; did you mean `algebra`?"),
        (["train"], "Invalid value for FILE: name a file to train, or a run with --resume"),
        (["train", "good.net", "--steps", "0"], "'--steps': 0 is not in the range x>=1."),
        (["train", "good.net", "--steps", "ten"], "'--steps': 'ten' is not a valid whole number."),
        (["train", "good.net", "Line", "digits"], "Got unexpected extra argument (digits)"),
        (["train", "good.net", "--steps", "5", "--epochs", "5"], "--epochs and --steps: give one of the two"),
        (["train", "--resume", "x", "--batch", "8"], "Invalid value for --batch: the run that is resumed has settled"),
        (
            ["train", "--resume", "x", "--freeze", "a"],
            "Invalid value for --freeze: the run that is resumed has settled",
        ),
        (["train", "good.net", "--resume", "x"], "Invalid value for FILE: the run that is resumed has settled this"),
        (["run", "runs/x", "--out", "result.txt"], "`result.txt` should end in .npy or .npz"),
        (["export", "runs/x", "-o", "model.pt"], "`model.pt` should end in .onnx"),
        (["export", "runs/x"], "Missing option '--out' / '-o'."),
        (["eval", "runs/x", "--limit", "3"], "name the data with --data"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_is_one_line_and_exit_status_2(folder: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("netlang: ")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (MemoryError(), 1, "error[out-of-memory]"),
        (OSError(28, "No space left on device", "a.net"), 1, "error[disk-full]: No space left on device: a.net"),
        (PermissionError(13, "Permission denied", "a.net"), 1, "error[system-error]: Permission denied: a.net"),
        (UnicodeEncodeError("utf-8", '{"data": "a/\udce9.csv"}', 12, 13, ""), 1, "`a/\udce9.csv` is not UTF-8"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "a fault of ours"), 70, "internal error: UnicodeEncodeError"),
        (KeyError("x"), 70, "netlang: internal error: KeyError: 'x'\nThis is a fault of netlang"),
        (RecursionError("deep"), 70, "netlang: internal error: RecursionError: deep"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_goes_wrong_inside(
    folder: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, message: str
) -> None:
    def fail(spec: str) -> None:
        raise raised

    monkeypatch.setattr(netlang.runtime.cli.check, "_check", fail)
    result = run("check", "good.net")
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_traceback_is_shown_on_request(folder: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def fail(spec: str) -> None:
        raise KeyError("x")

    monkeypatch.setattr(netlang.runtime.cli.check, "_check", fail)
    if way == "environment":
        monkeypatch.setenv("NETLANG_TRACEBACK", "1")
    result = run(*["--traceback"] * (way == "option"), "check", "good.net")
    assert result.code == 70
    assert "Traceback (most recent call last)" in result.err


def test_help_starts_fast() -> None:
    heavy = "'numpy', 'onnx', 'onnxruntime', 'lark', 'safetensors', 'rich', 'netlang.compiler', 'netlang.parser'"
    code = f"""
import sys
from netlang.runtime.cli import main
main(["--help"])
print(sorted(set(sys.modules) & {{{heavy}}}))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_check_imports_what_it_needs() -> None:
    heavy = "'onnx', 'onnxruntime', 'google.protobuf', 'safetensors'"
    code = f"""
import sys
from netlang.runtime.cli import main
main(["check", "std:LeNet5"])
print(sorted(set(sys.modules) & {{{heavy}}}))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    command = [*SCRIPT, "ops", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_shows_what_it_can(folder: Path, encoding: str) -> None:
    (folder / "é.net").write_text("## α\nmodel M(x: f32[b]) -> f32[b] { return y } # β\n", encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    result = subprocess.run([*SCRIPT, "check", "é.net"], capture_output=True, env=environment, check=False)
    assert result.returncode == 1, result.stderr
    assert b"error[undefined-name]: `y` is not defined" in result.stdout
    assert b"# ?" in result.stdout


@pytest.mark.parametrize(("variables", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_that_want_it(folder: Path, variables: dict[str, str], colored: bool) -> None:
    result = in_terminal(["check", "wrong.net"], {"TERM": "xterm-256color"} | variables)
    assert "shape-mismatch" in result
    assert (ESCAPE in result) == colored
    assert ESCAPE not in run("check", "wrong.net").out


def in_terminal(arguments: list[str], variables: dict[str, str]) -> str:
    """What a command shows on a terminal of 100 columns."""
    master, slave = pty.openpty()
    environment = os.environ | {"COLUMNS": "100"} | variables
    with subprocess.Popen([*SCRIPT, *arguments], stdout=slave, stderr=slave, stdin=slave, env=environment):
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(master)
    return shown.decode()


def test_onnxruntime_reports_nothing_over_the_network() -> None:
    """It would say so here, where it finds no home to keep the identifier that it reports with."""
    hidden = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | {"HOME": os.devnull}
    found = subprocess.run([*SCRIPT, "--version"], env=environment, capture_output=True, text=True, check=True)
    assert found.stderr == ""
