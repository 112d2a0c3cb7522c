"""What was typed wrongly, as JSON where `--json` is among the words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from storage.errors import BadInputError
from winnow.cli.terminal import EXIT_USAGE, report


class Shell(TyperGroup):
    """The root of all commands: it parses, or runs what parses, every word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.obj = "--json" in args
        with _told(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with _told(ctx):
            return super().invoke(ctx)


@contextmanager
def _told(ctx: Any) -> Iterator[None]:
    """Typer's own complaint in the form of every other error; without `--json` Typer prints it."""
    try:
        yield
    except typer.TyperException as error:
        if not ctx.obj:
            raise
        where = getattr(error, "ctx", None) or ctx
        way_out = f"See {where.command_path} --help."
        report(BadInputError(error.format_message(), way_out=way_out), as_json=True)
        raise typer.Exit(EXIT_USAGE) from error
