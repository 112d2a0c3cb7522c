"""The shell: one Typer application; each command's work is imported when it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer import Option
from typer.core import TyperGroup

from storage.errors import BadInputError
from winnow.cli import (
    ask,
    chat,
    collections,
    demo,
    doctor,
    documents,
    ingest,
    mcp,
    models,
    rerankers,
    serve,
    tokens,
    watch,
)
from winnow.cli.command_options import CommandGroup
from winnow.cli.lab import evaluate, mine, synthesize, train
from winnow.cli.log import commands
from winnow.cli.terminal import EXIT_USAGE, report
from winnow.cli.upkeep import backup


class Shell(TyperGroup):
    """The root of all commands, which reports usage errors as JSON under `--json`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.obj = "--json" in args
        with _usage_errors_as_json(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with _usage_errors_as_json(ctx):
            return super().invoke(ctx)


@contextmanager
def _usage_errors_as_json(ctx: Any) -> Iterator[None]:
    """Print Typer's complaint like every other error; without `--json` Typer prints it itself."""
    try:
        yield
    except typer.TyperException as error:
        if not ctx.obj:
            raise
        where = getattr(error, "ctx", None) or ctx
        way_out = f"See {where.command_path} --help."
        report(BadInputError(error.format_message(), way_out=way_out), as_json=True)
        raise typer.Exit(EXIT_USAGE) from error


app = CommandGroup(
    name="winnow",
    cls=Shell,
    help="Retrieve 50, keep the best 5, answer with citations, log every rank.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 not usable as asked, 3 some documents refused, 4 not promoted, "
    "130 interrupted.",
)

app.command("ingest")(ingest.ingest)
app.command("watch")(watch.watch)
app.command("ask")(ask.ask)
app.command("chat")(chat.chat)
app.command("search")(ask.search)
app.command("rerank")(rerankers.rerank)
app.add_typer(rerankers.app, name="rerankers")
app.add_typer(commands.app, name="log")
app.add_typer(documents.app, name="documents")
app.add_typer(collections.app, name="collections")
app.add_typer(models.app, name="models")
app.command("evaluate")(evaluate.evaluate)
app.add_typer(synthesize.app, name="synthesize")
app.command("mine")(mine.mine)
app.command("train")(train.train)
app.command("serve")(serve.serve)
app.command("mcp")(mcp.mcp)
app.add_typer(tokens.app, name="token")
app.command("doctor")(doctor.doctor)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("demo", hidden=True)(demo.demo)


@app.callback(invoke_without_command=True)
def version(
    show: bool = Option(False, "--version", help="Print the version.", is_eager=True),
) -> None:
    if show:
        from winnow.version import __version__

        typer.echo(f"winnow {__version__}")
        raise typer.Exit
