"""`winnow log`: what was asked, what was answered, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from winnow.cli.options import AsJson, DataDir, settings
from winnow.cli.terminal import out, print_json, reported, safe, warn

app = typer.Typer(help="Look at logged answers.", no_args_is_help=True)

Limit = Annotated[int, typer.Option("--limit", "-n", help="How many, newest first.", min=1)]
AnswerId = Annotated[
    str, typer.Argument(metavar="ID", help="An answer's id, or its beginning.", show_default=False)
]


@app.command("list")
def list_(limit: Limit = 20, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """The newest answers."""
    with reported(as_json):
        from rich.table import Table

        from winnow import jsonable
        from winnow.pipeline import RAGPipeline

        with RAGPipeline.from_settings(settings(data_dir)) as pipeline:
            summaries = pipeline.log.list(limit=limit)
        if as_json:
            print_json([jsonable.summary(summary) for summary in summaries])
            return
        table = Table(box=None)
        for heading in ("id", "when", "collection", "rerank", "status", "ms", "question"):
            table.add_column(heading, no_wrap=heading != "question", overflow="ellipsis")
        for summary in summaries:
            table.add_row(
                summary.id,
                summary.created_at.astimezone().strftime("%Y-%m-%d %H:%M"),
                safe(summary.collection),
                safe(summary.rerank),
                summary.status,
                f"{summary.ms:.0f}",
                safe(summary.question),
            )
        out().print(table if summaries else "Nothing has been asked yet.")


@app.command()
def show(answer_id: AnswerId, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """One answer with every candidate's rank at every stage."""
    with reported(as_json):
        from winnow import jsonable
        from winnow.cli import rendering
        from winnow.pipeline import RAGPipeline

        with RAGPipeline.from_settings(settings(data_dir)) as pipeline:
            answer = pipeline.log.get(answer_id)
        if as_json:
            print_json(jsonable.answer(answer))
            return
        out().print(rendering.logged_answer(answer))
        for warning in answer.warnings:
            warn(warning)
