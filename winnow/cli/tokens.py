"""`winnow token`: who may ask a server that others reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from winnow.cli.options import AsJson, DataDir, settings
from winnow.cli.terminal import note, out, print_json, reported, safe

if TYPE_CHECKING:
    from pathlib import Path

    from winnow.server.tokens import Token, TokenBook

app = typer.Typer(help="Create, list and revoke the tokens of `winnow serve`.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Who or what uses it.", show_default=False)]
Id = Annotated[str, typer.Argument(help="The token's id; see `winnow token list`.", show_default=False)]
Full = Annotated[bool, typer.Option("--full", help="May change things, too: ingest, delete, give feedback.")]


@app.command()
def create(name: Name, full: Full = False, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Make a token, read-only unless --full. It is shown once; only its hash is kept."""
    with reported(as_json):
        token, text = _book(data_dir, make=True).create(name, "full" if full else "read")
        if as_json:
            print_json({**_shown(token), "token": text})
            return
        out().print(text, soft_wrap=True)
        note(
            f"The token {token.id} ({token.scope}) is shown this once. Send it as 'Authorization: Bearer …'."
        )


@app.command("list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """All tokens, without their texts."""
    with reported(as_json):
        from rich.table import Table

        tokens = _book(data_dir).tokens()
        if as_json:
            print_json([_shown(token) for token in tokens])
            return
        if not tokens:
            note("There is no token yet: winnow token create NAME makes one.")
            return
        table = Table(box=None)
        for heading in ("id", "scope", "created", "name"):
            table.add_column(heading)
        for token in tokens:
            table.add_row(token.id, token.scope, token.created_at, safe(token.name))
        out().print(table)


@app.command()
def revoke(token: Id, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Forget a token; a running server refuses it from its next request on."""
    with reported(as_json):
        gone = _book(data_dir).revoke(token)
        if as_json:
            print_json({"revoked": gone.id})
        else:
            note(f"revoked {gone.id} ({gone.name})")


def _book(data_dir: Path | None, *, make: bool = False) -> TokenBook:
    from winnow.server.tokens import TokenBook

    chosen = settings(data_dir)
    if make:
        chosen.make_data_dir()
    return TokenBook(chosen.tokens_file)


def _shown(token: Token) -> dict[str, str]:
    return {"id": token.id, "name": token.name, "scope": token.scope, "created_at": token.created_at}
