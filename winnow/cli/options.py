"""The options that every command takes, written once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from winnow.app.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value; errors too.")]
Collection = Annotated[
    str | None, typer.Option("--collection", "-c", help="The collection; see `winnow collections list`.")
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where collections and log lie (default: ./.winnow).")
]
Rerank = Annotated[
    str | None,
    typer.Option(
        "--rerank", "-r", help="A rerank spec, as in `late-interaction` or `cross-encoder:20,listwise:5`."
    ),
]
Where = Annotated[
    str | None,
    typer.Option("--where", "-w", help="Only passages whose metadata fit: 'lang = \"zh\" and year >= 2020'."),
]
MinScore = Annotated[
    float | None,
    typer.Option("--min-score", help="Only candidates whose cosine reaches this (-1 to 1).", min=-1, max=1),
]
Exact = Annotated[
    bool, typer.Option("--exact", help="Scan all vectors instead of using the index: slower, and certain.")
]
Expand = Annotated[
    int | None,
    typer.Option(
        "--expand", "-e", help="Join so many passages before and after each final one to it.", min=0, max=10
    ),
]
TopKRetrieve = Annotated[
    int | None, typer.Option("--top-k-retrieve", help="Candidates to retrieve (50).", min=1, max=10_000)
]
TopKRerank = Annotated[
    int | None, typer.Option("--top-k-rerank", "-k", help="Candidates to keep (5).", min=1, max=1_000)
]


def settings(
    data_dir: Path | None = None, collection: str | None = None, **sections: dict[str, Any]
) -> Settings:
    """Settings with a command's flags on top; a flag that was not given changes nothing."""
    from winnow.app.settings import Settings  # pydantic would cost `--help` a quarter of its time

    overrides: dict[str, Any] = {}
    if data_dir is not None:
        overrides["data_dir"] = data_dir
    if collection is not None:
        overrides["collection"] = collection
    for section, values in sections.items():
        given = {key: value for key, value in values.items() if value is not None}
        if given:
            overrides[section] = given
    return Settings.load(**overrides)
