"""`winnow ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.cli.options import AsJson, Collection, DataDir, settings
from winnow.cli.terminal import EXIT_REFUSED, print_json, reported

if TYPE_CHECKING:
    from ingest.report import IngestReport
    from winnow.pipeline import RAGPipeline

Paths = Annotated[
    list[Path], typer.Argument(help="Files and folders.", metavar="PATH...", show_default=False)
]
TokenVectors = Annotated[
    bool | None,
    typer.Option(
        "--token-vectors/--no-token-vectors",
        help="For a new collection: store token vectors, so that late interaction takes milliseconds (yes).",
    ),
]


def ingest(
    paths: Paths,
    collection: Collection = None,
    token_vectors: TokenVectors = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Bring documents into a collection. What did not change costs nothing."""
    with reported(as_json):
        from winnow.pipeline import RAGPipeline

        chosen = settings(data_dir, collection, ingest={"token_vectors": token_vectors})
        with RAGPipeline.from_settings(chosen) as pipeline:
            if as_json:
                report = pipeline.ingest(paths)
                print_json(report.to_dict())
            else:
                report = run_with_progress(pipeline, paths)
        if report.refused:
            raise typer.Exit(EXIT_REFUSED)


def run_with_progress(pipeline: RAGPipeline, paths: list[Path]) -> IngestReport:
    """Ingest with a progress bar on a terminal, then print the report."""
    from winnow.cli import ingest_rendering

    with ingest_rendering.progress_bar() as progress:
        report = pipeline.ingest(paths, progress=progress)
    ingest_rendering.print_report(report)
    return report
