"""`winnow models`: list the models that settings and profiles need, and fetch them."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from winnow.cli.command_options import CommandGroup
from winnow.cli.options import AsJson, Options
from winnow.cli.terminal import note, print_json, print_rows, safe

app = CommandGroup(help="List models and where they are; fetch them from the hub.", no_args_is_help=True)

Models = Annotated[
    list[str] | None,
    Argument(help="Hub ids, as in BAAI/bge-m3 or BAAI/bge-m3@COMMIT.", show_default=False),
]
OfProfile = Annotated[str | None, Option("--profile", help="Fetch what a profile needs and is not here.")]


@app.command("list")
def list_(options: Options) -> None:
    """The models of the settings and of every profile. Nothing is fetched."""
    from winnow.app import models as inventory

    models = inventory.models(options.settings())
    if options.as_json:
        print_json(models)
        return
    print_rows(
        ("model", "used as", "size", "where"),
        (
            (
                model.name,
                model.used_as,
                "" if model.here and model.bytes is None else inventory.readable(model.bytes),
                safe(model.place, "" if model.here else "yellow"),
            )
            for model in models
        ),
    )


@app.command()
def fetch(models: Models = None, profile: OfProfile = None, as_json: AsJson = False) -> None:
    """Fetch models, or what is missing of them, from the hub into its cache. Nothing else ever does."""
    from retrieval.models import hub
    from retrieval.models.locate import named_revision
    from winnow.app import models as inventory

    done = []
    for name in inventory.wanted(models or (), profile):
        plan = hub.planned(*named_revision(name))
        if not as_json:
            note(f"{name}: {inventory.readable(plan.size)}")
        folder = hub.fetched(plan)
        done.append({"name": name, "folder": str(folder), "bytes": hub.size_on_disk(folder)})
        if not as_json:
            note(f"{name} is in {folder}")
    if as_json:
        print_json(done)
    elif not done:
        note("Nothing to fetch: everything that the profile needs is here.")
