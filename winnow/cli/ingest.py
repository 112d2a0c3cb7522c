"""`winnow ingest`: brings documents into a collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer import Argument, Option

from storage.errors import BadInputError, WinnowError
from winnow.cli.options import CollectionOptions
from winnow.cli.stdin import replaced
from winnow.cli.terminal import EXIT_REFUSED, note, print_json

if TYPE_CHECKING:
    from ingest.loaders.base import Columns
    from ingest.report import IngestReport
    from winnow.pipeline import RAGPipeline


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class IngestFlags(CollectionOptions):
    """The options of `winnow ingest`."""

    paths: Annotated[
        list[str] | None,
        Argument(
            help="Files, folders, quoted patterns, https://, git+file://, s3://; - is standard input.",
            metavar="PATH...",
            show_default=False,
        ),
    ] = None
    token_vectors: Annotated[
        bool | None,
        Option(
            "--token-vectors/--no-token-vectors",
            help="Store token vectors in a new collection: late interaction then takes milliseconds (yes).",
        ),
    ] = None
    prune: Annotated[bool, Option("--prune", help="Remove documents below PATH whose files are gone.")] = (
        False
    )
    reindex: Annotated[
        bool,
        Option("--reindex", help="Read and encode everything again (no PATH: all that is known), then swap."),
    ] = False
    dry_run: Annotated[bool, Option("--dry-run", help="Parse, estimate time and disk, write nothing.")] = (
        False
    )
    engine: Annotated[
        Literal["local", "ray"] | None,
        Option(
            help="Where the work is done: this machine, or Ray, into a Qdrant server.", show_default=False
        ),
    ] = None
    workers: Annotated[
        int | None, Option(help="Processes that parse (half of the cores); on Ray as many encode.", min=1)
    ] = None
    name: Annotated[
        str | None, Option(help="What to call standard input: its suffix says how to read it.")
    ] = None
    ocr: Annotated[
        bool | None,
        Option("--ocr/--no-ocr", help="Read pages of PDFs that are pictures (no); needs the extra ocr."),
    ] = None
    private: Annotated[
        bool | None,
        Option("--private/--no-private", help="Fetch from addresses of this machine and its network (no)."),
    ] = None
    context: Annotated[
        Literal["off", "summary", "chat"] | None,
        Option(
            help="A line about each passage, indexed with it: its document's summary, or the chat model's.",
            show_default=False,
        ),
    ] = None
    last: Annotated[bool, Option("--last", help="Show the report of the last run.")] = False
    text_column: Annotated[
        str | None, Option(help="Each line of a CSV, TSV or JSONL is a document: the column of its text.")
    ] = None
    id_column: Annotated[str | None, Option(help="The column of its id.")] = None
    title_column: Annotated[str | None, Option(help="The column of its title.")] = None
    metadata_columns: Annotated[
        list[str] | None, Option("--metadata-column", help="A column to keep as metadata; repeatable.")
    ] = None

    def columns(self) -> Columns | None:
        """The columns of documents in tables. Raises BadInputError without that of the text."""
        from ingest.loaders.base import Columns

        if self.text_column is not None:
            metadata = tuple(self.metadata_columns or ())
            return Columns(
                text=self.text_column, id=self.id_column, title=self.title_column, metadata=metadata
            )
        if self.id_column or self.title_column or self.metadata_columns:
            raise BadInputError(
                "the columns of id, title and metadata need the column of the text",
                way_out="Add --text-column.",
            )
        return None


def ingest(options: IngestFlags) -> None:
    """Bring documents into a collection. What did not change costs nothing."""
    from winnow.pipeline import RAGPipeline

    names = ("token_vectors", "engine", "workers", "ocr", "private", "context")
    section = {name: getattr(options, name) for name in names}
    chosen = options.settings(ingest=section)
    with RAGPipeline.from_settings(chosen) as pipeline:
        if options.last:
            _show_last(pipeline, options.as_json)
            return
        columns = options.columns()
        paths, piped = replaced(options.paths or [], chosen, options.name)
        run = partial(
            pipeline.ingest,
            paths,
            prune=options.prune,
            reindex=options.reindex,
            dry_run=options.dry_run,
            columns=columns,
        )
        try:
            report = run() if options.as_json else run_with_progress(run)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_kept(pipeline)) from None
        if options.as_json:
            print_json(report.to_dict())
    if piped and (options.dry_run or any(result.path == str(piped) for result in report.refused)):
        piped.unlink(missing_ok=True)  # no document of the collection, so nobody would delete it
    if report.refused:
        raise typer.Exit(EXIT_REFUSED)


def _kept(pipeline: RAGPipeline) -> str:
    """Say what an interrupted run leaves."""
    try:
        documents = pipeline.wiring.manifest().counts().by_status.get("ingested", 0)
    except WinnowError:
        return "what was finished is kept"
    return f"the collection keeps its {documents:,} documents, and the same command goes on from there"


def run_with_progress(run: Callable[..., IngestReport]) -> IngestReport:
    """Ingest with a progress bar on a terminal, then print the report."""
    from winnow.cli import ingest_rendering

    with ingest_rendering.progress_bar() as progress:
        report = run(progress=progress)
    ingest_rendering.print_report(report)
    return report


def _show_last(pipeline: RAGPipeline, as_json: bool) -> None:
    import json

    from ingest.report import IngestReport
    from winnow.cli import ingest_rendering

    text = pipeline.wiring.manifest().last_run()
    if as_json:
        print_json(None if text is None else IngestReport.from_dict(json.loads(text)).to_dict())
    elif text is None:
        note("Nothing has been ingested into this collection yet.")
    else:
        ingest_rendering.print_report(IngestReport.from_dict(json.loads(text)))
