"""Turns every way a command can fail into an exit status and a message that a person can act on."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click

from netlang.diagnostics import Diagnostic, DiagnosticError

from .terminal import show, tolerate_narrow_encodings

FAULT, USAGE, INTERNAL, INTERRUPTED = 1, 2, 70, 130


@dataclass
class Status:
    """Exit status of a command line, filled in while it runs."""

    code: int = 0


@contextmanager
def reported(arguments: Sequence[str] | None) -> Iterator[Status]:
    """Runs the body; whatever it raises is reported on standard error and becomes `Status.code`."""
    status = Status()
    tolerate_narrow_encodings()
    try:
        yield status
        sys.stdout.flush()
    except DiagnosticError as error:
        status.code = FAULT
        show(error.diagnostics, stream=sys.stderr)
    except click.ClickException as error:
        status.code = USAGE
        _say(f"netlang: {_usage_message(error)}")
    except (KeyboardInterrupt, click.Abort):
        status.code = INTERRUPTED
    except BrokenPipeError:
        status.code = FAULT
        _discard_output()
    except (OSError, MemoryError) as error:
        status.code = FAULT
        show([_from_system(error)], stream=sys.stderr)
        _show_traceback(arguments)
    except Exception as error:
        if isinstance(error, UnicodeEncodeError) and _is_of_a_name(error):
            status.code = FAULT
            show([_from_name(error)], stream=sys.stderr)
            return
        status.code = INTERNAL
        _say(f"netlang: internal error: {type(error).__name__}: {_one_line(str(error))}")
        if not _show_traceback(arguments):
            _say(
                "This is a fault of netlang, not of your program. Please report it with the output of the same command"
            )
            _say("after `netlang --traceback`, and of `netlang --version`.")


def _usage_message(error: click.ClickException) -> str:
    """One line, with the option that may have been meant."""
    if isinstance(error, click.NoSuchOption):
        near = f". Did you mean {', '.join(error.possibilities)}?" if error.possibilities else ""
        return _one_line(f"No such option: {error.option_name}{near}")
    return _one_line(error.format_message())


def _from_system(error: OSError | MemoryError) -> Diagnostic:
    """What the operating system refused, as a diagnostic."""
    if isinstance(error, MemoryError):
        return Diagnostic("out-of-memory", "there is not enough memory for this", help="try a smaller batch or model")
    where = f": {error.filename}" if error.filename else ""
    title = f"{error.strerror or error}{where}"
    if error.errno == errno.ENOSPC:
        return Diagnostic("disk-full", title, help="free some space, or choose another place with --out")
    return Diagnostic("system-error", title)


def _is_of_a_name(error: UnicodeEncodeError) -> bool:
    """Whether a text could not be written because of what Python makes of a file's name that is not UTF-8."""
    return "\udc80" <= error.object[error.start] <= "\udcff"


def _from_name(error: UnicodeEncodeError) -> Diagnostic:
    """The word of the text in which the name stands, as a diagnostic."""
    before, after = error.object[: error.start], error.object[error.start :]
    word = re.split(r'["\s]', before)[-1] + re.split(r'["\s]', after)[0]
    return Diagnostic("system-error", f"the name `{word}` is not UTF-8 text", help="rename the file or folder")


def _show_traceback(arguments: Sequence[str] | None) -> bool:
    """Prints the current exception's traceback where the user asked for it."""
    wanted = "--traceback" in (sys.argv[1:] if arguments is None else arguments)
    if not wanted and os.environ.get("NETLANG_TRACEBACK", "0") in ("", "0"):
        return False
    import traceback

    traceback.print_exc()
    return True


def _discard_output() -> None:
    """Sends what is still buffered nowhere: the reader has gone (`netlang ops | head -1`)."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _say(text: str) -> None:
    print(text, file=sys.stderr)
