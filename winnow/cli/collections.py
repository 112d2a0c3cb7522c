"""`winnow collections`: what there is to ask."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from storage.errors import BadInputError
from winnow.cli.bars import progress_bars
from winnow.cli.options import AsJson, DataDir, settings
from winnow.cli.terminal import note, out, print_json, reported, safe

app = typer.Typer(help="List, show and delete collections.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The collection's name.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """All collections."""
    with reported(as_json):
        from winnow.app.wiring import Wiring

        with Wiring(settings(data_dir)) as wiring:
            names = wiring.stores.names()
        if as_json:
            print_json([{"name": name} for name in names])
        elif names:
            for name in names:
                out().print(safe(name))
        else:
            note("There is no collection yet: winnow ingest PATH makes one.")


@app.command()
def show(name: Name, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """A collection's size, and what it was built with."""
    with reported(as_json):
        from rich.table import Table

        from winnow.app.wiring import Wiring

        with Wiring(settings(data_dir)) as wiring, closing(wiring.stores.open(name)) as store:
            facts = {"name": store.name, "passages": store.count(), **store.fingerprint.to_dict()}
        if as_json:
            print_json(facts)
            return
        table = Table(box=None, show_header=False)
        for key, value in facts.items():
            table.add_row(key, safe(str(value)))
        out().print(table)


@app.command()
def copy(
    name: Name,
    to: Annotated[str, typer.Option("--to", help="The URL of a Qdrant server.", show_default=False)],
    api_key: Annotated[
        str | None, typer.Option("--api-key", envvar="WINNOW_COPY_API_KEY", help="Its key.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy a collection to a Qdrant server and verify it. Run again, it goes on where it stopped."""
    with reported(as_json):
        from winnow.upkeep.copying import copy_to_server

        chosen = settings(data_dir)
        if as_json:
            copied = copy_to_server(chosen, name, to, api_key=api_key)
        else:
            with progress_bars() as bars:
                copied = copy_to_server(
                    chosen, name, to, api_key=api_key, progress=lambda done, of: bars("passages", done, of)
                )
        if as_json:
            print_json({"sent": copied.sent, "present": copied.present})
        else:
            note(f"{copied.total} passages are at {to}; {copied.sent} were sent now")


@app.command()
def delete(name: Name, yes: Yes = False, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Delete a collection with all its passages. The log of answers stays."""
    with reported(as_json):
        from winnow.app.wiring import Wiring

        if not yes and as_json:
            raise BadInputError(
                f"the collection {name!r} is not deleted unasked", way_out="With --json, add --yes."
            )
        if not yes:
            typer.confirm(f"Delete the collection {name!r} and all its passages?", abort=True)
        with Wiring(settings(data_dir)) as wiring:
            wiring.collections.drop(name)
        if as_json:
            print_json({"deleted": name})
        else:
            note(f"deleted {name}")
