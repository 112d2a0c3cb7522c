"""`winnow ingest`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from winnow.cli.command_options import command
from winnow.cli.options import CollectionOptions
from winnow.cli.terminal import EXIT_REFUSED, note, print_json

if TYPE_CHECKING:
    from ingest.loaders.base import Columns
    from ingest.report import IngestReport
    from winnow.pipeline import RAGPipeline

Paths = Annotated[
    list[Path] | None,
    typer.Argument(help="Files, folders, quoted patterns.", metavar="PATH...", show_default=False),
]
TokenVectors = Annotated[
    bool | None,
    typer.Option(
        "--token-vectors/--no-token-vectors",
        help="For a new collection: store token vectors, so that late interaction takes milliseconds (yes).",
    ),
]
Prune = Annotated[bool, typer.Option("--prune", help="Remove documents below PATH whose files are gone.")]
Reindex = Annotated[
    bool,
    typer.Option(
        "--reindex", help="Read and encode everything again (no PATH: all that is known), then swap."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Parse, estimate time and disk, write nothing.")]
Engine = Annotated[
    Literal["local", "ray"] | None,
    typer.Option(
        "--engine",
        help="Where the work is done: this machine, or Ray, into a Qdrant server.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Processes that parse (half of the cores); on Ray as many encode.", min=1),
]
Last = Annotated[bool, typer.Option("--last", help="Show the report of the last run.")]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column", help="Each line of a CSV, TSV or JSONL is a document: the column of its text."
    ),
]
IdColumn = Annotated[str | None, typer.Option("--id-column", help="The column of its id.")]
TitleColumn = Annotated[str | None, typer.Option("--title-column", help="The column of its title.")]
MetadataColumns = Annotated[
    list[str] | None, typer.Option("--metadata-column", help="A column to keep as metadata; repeatable.")
]


@command
def ingest(
    options: CollectionOptions,
    paths: Paths = None,
    token_vectors: TokenVectors = None,
    prune: Prune = False,
    reindex: Reindex = False,
    dry_run: DryRun = False,
    engine: Engine = None,
    workers: Workers = None,
    last: Last = False,
    text_column: TextColumn = None,
    id_column: IdColumn = None,
    title_column: TitleColumn = None,
    metadata_columns: MetadataColumns = None,
) -> None:
    """Bring documents into a collection. What did not change costs nothing."""
    from winnow.pipeline import RAGPipeline

    chosen = options.settings(ingest={"token_vectors": token_vectors, "engine": engine, "workers": workers})
    with RAGPipeline.from_settings(chosen) as pipeline:
        if last:
            _show_last(pipeline, options.as_json)
            return
        columns = _columns(text_column, id_column, title_column, metadata_columns)
        run = partial(pipeline.ingest, prune=prune, reindex=reindex, dry_run=dry_run, columns=columns)
        if options.as_json:
            report = run(paths or [])
            print_json(report.to_dict())
        else:
            report = run_with_progress(run, paths or [])
    if report.refused:
        raise typer.Exit(EXIT_REFUSED)


def run_with_progress(ingest: Callable[..., IngestReport], paths: list[Path]) -> IngestReport:
    """Ingest with a progress bar on a terminal, then print the report."""
    from winnow.cli import ingest_rendering

    with ingest_rendering.progress_bar() as progress:
        report = ingest(paths, progress=progress)
    ingest_rendering.print_report(report)
    return report


def _show_last(pipeline: RAGPipeline, as_json: bool) -> None:
    import json

    from ingest.report import IngestReport
    from winnow.cli import ingest_rendering

    text = pipeline.wiring.manifest().last_run()
    if as_json:
        print_json(None if text is None else json.loads(text))
    elif text is None:
        note("Nothing has been ingested into this collection yet.")
    else:
        ingest_rendering.print_report(IngestReport.from_dict(json.loads(text)))


def _columns(
    text: str | None, identifier: str | None, title: str | None, metadata: list[str] | None
) -> Columns | None:
    from storage.errors import BadInputError

    if text is None:
        if identifier or title or metadata:
            raise BadInputError(
                "the columns of id, title and metadata need the column of the text",
                way_out="Add --text-column.",
            )
        return None
    from ingest.loaders.base import Columns

    return Columns(text=text, id=identifier, title=title, metadata=tuple(metadata or ()))
