"""`winnow models`: which models the settings and profiles name, and where they are."""

from __future__ import annotations

from typing import Annotated

import typer

from winnow.cli.options import AsJson, DataDir, settings
from winnow.cli.terminal import note, out, print_json, reported, safe

app = typer.Typer(help="List models and where they are; fetch one from the hub.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="A hub id, as in BAAI/bge-m3.", show_default=False)]


@app.command("list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """The models of the settings and of the `multilingual` profile. Nothing is fetched."""
    with reported(as_json):
        from dataclasses import asdict

        from rich.table import Table

        from winnow import inventory

        models = inventory.models(settings(data_dir))
        if as_json:
            print_json([asdict(model) for model in models])
            return
        table = Table(box=None)
        for heading in ("model", "used as", "where"):
            table.add_column(heading, overflow="fold")
        for model in models:
            table.add_row(safe(model.name), model.used_as, safe(model.place, "" if model.here else "yellow"))
        out().print(table)


@app.command()
def fetch(model: Model, as_json: AsJson = False) -> None:
    """Fetch a model from the hub into its cache: the only command that does."""
    with reported(as_json):
        from retrieval.models import locate

        located = locate(model, download=True)
        if as_json:
            print_json({"name": located.name, "folder": str(located.folder), "origin": located.origin})
        else:
            note(f"{located.name} is in {located.folder}")
