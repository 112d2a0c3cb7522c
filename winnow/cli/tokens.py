"""`winnow token`: who may use a server that others can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from storage.log.records import LogRight
from winnow.cli.command_options import CommandGroup
from winnow.cli.options import Options
from winnow.cli.terminal import note, out, print_json, print_rows

if TYPE_CHECKING:
    from winnow.server.tokens import Scope, Token, TokenBook

app = CommandGroup(help="Create, list and revoke the tokens of `winnow serve`.", no_args_is_help=True)

Name = Annotated[str, Argument(help="Who or what uses it.", show_default=False)]
Id = Annotated[str, Argument(help="The token's id; see `winnow token list`.", show_default=False)]
Full = Annotated[bool, Option("--full", help="May change things, too: ingest, delete, give feedback.")]


Only = Annotated[
    list[str] | None,
    Option("--only", help="May see this collection alone; can be repeated.", show_default=False),
]
Where = Annotated[
    str,
    Option("--where", help="May see the passages that meet this filter alone.", show_default=False),
]
LogOf = Annotated[
    LogRight | None,
    Option("--log", help="Whose answers it may see (own; all with --full alone).", show_default=False),
]


IfNone = Annotated[
    bool, Option("--if-none", help="Do nothing where there is a token: for the first start of a container.")
]


@app.command()
def create(
    name: Name,
    options: Options,
    full: Full = False,
    only: Only = None,
    where: Where = "",
    log: LogOf = None,
    if_none: IfNone = False,
) -> None:
    """Make a token, read-only unless --full. It is shown once; only its hash is kept."""
    scope: Scope = "full" if full else "read"
    book = _book(options, make=True)
    if if_none and book.tokens():
        note("There is a token already; nothing was made.")
        return
    token, text = book.create(name, scope, collections=only, where=where, log=log)
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
            ("id", "scope", "log", "sees", "created", "name"),
            (
                (token.id, token.scope, token.log, _sees(token), token.created_at, token.name)
                for token in tokens
            ),
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


def _sees(token: Token) -> str:
    collections = "everything" if token.collections is None else ", ".join(token.collections)
    return f"{collections} where {token.where}" if token.where else collections


def _as_json(token: Token) -> dict[str, object]:
    shown = ("id", "name", "scope", "created_at", "collections", "where", "log")
    return {name: getattr(token, name) for name in shown}
