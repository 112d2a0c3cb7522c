"""`winnow token`: who may use a server that others can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from winnow.cli.command_options import CommandGroup
from winnow.cli.options import Options
from winnow.cli.terminal import note, out, print_json, print_rows

if TYPE_CHECKING:
    from winnow.server.tokens import Token, TokenBook

app = CommandGroup(help="Create, list and revoke the tokens of `winnow serve`.", no_args_is_help=True)

Name = Annotated[str, Argument(help="Who or what uses it.", show_default=False)]
Id = Annotated[str, Argument(help="The token's id; see `winnow token list`.", show_default=False)]
Full = Annotated[bool, Option("--full", help="May change things, too: ingest, delete, give feedback.")]


@app.command()
def create(name: Name, options: Options, full: Full = False) -> None:
    """Make a token, read-only unless --full. It is shown once; only its hash is kept."""
    token, text = _book(options, make=True).create(name, "full" if full else "read")
    if options.as_json:
        print_json({**_as_json(token), "token": text})
        return
    out().print(text, soft_wrap=True)
    note(f"The token {token.id} ({token.scope}) is shown this once. Send it as 'Authorization: Bearer …'.")


@app.command("list")
def list_(options: Options) -> None:
    """All tokens, without their texts."""
    tokens = _book(options).tokens()
    if options.as_json:
        print_json([_as_json(token) for token in tokens])
    elif tokens:
        print_rows(
            ("id", "scope", "created", "name"),
            ((token.id, token.scope, token.created_at, token.name) for token in tokens),
        )
    else:
        note("There is no token yet: winnow token create NAME makes one.")


@app.command()
def revoke(token: Id, options: Options) -> None:
    """Forget a token; a running server refuses it from its next request on."""
    gone = _book(options).revoke(token)
    options.done({"revoked": gone.id}, f"revoked {gone.id} ({gone.name})")


def _book(options: Options, *, make: bool = False) -> TokenBook:
    from winnow.server.tokens import TokenBook

    chosen = options.settings()
    if make:
        chosen.make_data_dir()
    return TokenBook(chosen.tokens_file)


def _as_json(token: Token) -> dict[str, str]:
    return {"id": token.id, "name": token.name, "scope": token.scope, "created_at": token.created_at}
