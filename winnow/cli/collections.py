"""`winnow collections`: list, show, copy and delete collections."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from difflib import get_close_matches
from typing import Annotated

import typer
from typer import Argument, Option

from storage.errors import BadInputError, NotFoundError
from storage.secrets import masked
from winnow.cli.command_options import CommandGroup
from winnow.cli.options import Options
from winnow.cli.terminal import note, out, print_json, print_table, progress_bars, safe

app = CommandGroup(help="List, show and delete collections.", no_args_is_help=True)

Name = Annotated[str, Argument(help="The collection's name.", show_default=False)]
Yes = Annotated[bool, Option("--yes", "-y", help="Do not ask.")]
Server = Annotated[str, Option("--to", help="The URL of a Qdrant server.", show_default=False)]
Key = Annotated[str | None, Option("--api-key", envvar="WINNOW_COPY_API_KEY", help="Its key.")]
GrpcPort = Annotated[int | None, Option("--grpc-port", help="Its gRPC port, where it is not 6334.")]


@app.command("list")
def list_(options: Options) -> None:
    """All collections."""
    with options.wiring() as wiring:
        names = wiring.stores.names()
    if options.as_json:
        print_json([{"name": name} for name in names])
        return
    for name in names:
        out().print(safe(name))
    if not names:
        note("There is no collection yet: winnow ingest PATH makes one.")


@app.command()
def show(name: Name, options: Options) -> None:
    """A collection's size, and what it was built with."""
    from winnow.app.encoders import way_on

    with options.wiring() as wiring, closing(wiring.stores.open(name)) as store:
        facts = {"name": store.name, "passages": store.count(), **store.fingerprint.to_dict()}
        remark = way_on(wiring.settings, name, store.fingerprint)
    if options.as_json:
        print_json({**facts, "note": remark} if remark else facts)
        return
    print_table(facts.items())
    if remark:
        note(remark)


@app.command()
def copy(name: Name, to: Server, options: Options, api_key: Key = None, grpc_port: GrpcPort = None) -> None:
    """Copy a collection to a Qdrant server and verify it. Run again, it continues where it stopped."""
    from winnow.upkeep.copying import copy_to_server

    with progress_bars(shown=not options.as_json) as bars:
        copied = copy_to_server(
            options.settings(),
            name,
            to,
            api_key=api_key,
            grpc_port=grpc_port,
            progress=lambda done, of: bars("passages", done, of),
        )
    options.done(
        {"sent": copied.sent, "present": copied.present},
        f"{copied.total} passages are at {masked(to)}; {copied.sent} were sent now",
    )


@app.command()
def delete(name: Name, options: Options, yes: Yes = False) -> None:
    """Delete a collection with all its passages. The log of answers stays."""
    if not yes and options.as_json:
        raise BadInputError(
            f"the collection {name!r} is not deleted unasked", way_out="With --json, add --yes."
        )
    with options.wiring() as wiring:
        names = wiring.stores.names()
        if name in names and not yes:
            typer.confirm(f"Delete the collection {name!r} and all its passages?", abort=True)
        try:
            wiring.collections.drop(name)  # of one that is gone an interrupted deletion may be left
        except NotFoundError as error:
            raise NotFoundError(f"there is no collection {name!r}", way_out=_nearest(name, names)) from error
    options.done({"deleted": name}, f"deleted {name}")


def _nearest(name: str, names: Sequence[str]) -> str:
    if close := get_close_matches(name, names, n=1):
        return f"Did you mean {close[0]!r}?"
    return f"There are: {', '.join(names)}." if names else "There is no collection yet."
