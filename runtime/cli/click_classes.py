"""The classes of click as the help and the messages of `netlang` want them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click


class Argument(click.Argument):
    """An argument whose meaning the help tells, as it does of options."""

    def __init__(self, param_decls: Sequence[str], *, help: str, **settings: Any) -> None:
        super().__init__(param_decls, **settings)
        self.meaning = help  # not `help`, of which click 8.5 makes a section of its own, and 8.1 nothing

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        """`FILE`; `[FILE]` where it may be left out; `FILE...` where there may be several."""
        name = self.human_readable_name
        return [(name if self.required else f"[{name}]") + ("..." if self.nargs != 1 else "")]

    def get_error_hint(self, ctx: click.Context | None) -> str:
        return f"'{self.human_readable_name}'"

    def help_row(self) -> tuple[str, str]:
        """Name and meaning for the help."""
        return self.human_readable_name, self.meaning + ("  [required]" if self.required else "")


class WholeNumber(click.IntRange):
    """A whole number, called so where something else is found."""

    name = "whole number"


class Command(click.Command):
    """A command whose help tells what its arguments mean, and closes with examples."""

    def __init__(self, name: str | None, *, examples: str, **settings: Any) -> None:
        super().__init__(name, epilog=f"\b\nExamples:\n{examples}", **settings)  # \b: the lines are not filled anew

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments = [parameter for parameter in self.params if isinstance(parameter, Argument)]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl([argument.help_row() for argument in arguments])
        super().format_options(ctx, formatter)


class Group(click.Group):
    """Commands in the order in which they were added; for an unknown one, it names those that may have been meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in self.commands:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        near = ", ".join(map(repr, get_close_matches(name, self.commands)))
        raise click.UsageError(f"No such command {name!r}." + (f" Did you mean {near}?" if near else ""))
