"""`winnow documents`: what a collection was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from winnow.cli.options import AsJson, Collection, DataDir, settings
from winnow.cli.terminal import note, out, print_json, reported, safe, shortened

if TYPE_CHECKING:
    from storage.manifest.manifest import DocumentRow, Manifest

app = typer.Typer(help="List, show and delete the documents of a collection.", no_args_is_help=True)


Search = Annotated[str, typer.Option("--search", "-s", help="Only those with these words in path or title.")]
Status = Annotated[
    Literal["ingested", "refused", "duplicate"] | None,
    typer.Option("--status", help="Only those of this status."),
]
Limit = Annotated[int | None, typer.Option("--limit", "-n", help="At most so many.", min=1)]
Document = Annotated[str, typer.Argument(help="A document's path, or its id.", show_default=False)]


@app.command("list")
def list_(
    search: Search = "",
    status: Status = None,
    limit: Limit = None,
    collection: Collection = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """All documents by path, the refused ones too."""
    with reported(as_json):
        from rich.table import Table

        from storage.manifest.manifest import DocumentFilter
        from winnow.app import jsonable
        from winnow.app.wiring import Wiring

        with Wiring(settings(data_dir, collection)) as wiring:
            meant = DocumentFilter(search, status)
            rows = wiring.manifest().listed(meant, limit=limit)
        if as_json:
            print_json([jsonable.document(row) for row in rows])
            return
        table = Table(box=None)
        for heading in ("status", "passages", "document", "title"):
            table.add_column(heading, justify="right" if heading == "passages" else "left", overflow="fold")
        for row in rows:
            title = row.reason if row.status == "refused" else row.title
            table.add_row(
                row.status, str(len(row.chunk_ids)), safe(shortened(row.source)), safe(title, "dim")
            )
        if rows:
            out().print(table)
        else:
            where = "like that" if search or status else "in this collection"
            note(f"There is no document {where}.")


@app.command()
def show(
    document: Document, collection: Collection = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """One document: what is known of it, and the ids of its passages."""
    with reported(as_json):
        from rich.table import Table

        from winnow.app import jsonable
        from winnow.app.wiring import Wiring

        with Wiring(settings(data_dir, collection)) as wiring:
            values = jsonable.document(_found(wiring.manifest(), document))
        if as_json:
            print_json(values)
            return
        table = Table(box=None, show_header=False)
        for key, value in values.items():
            table.add_row(key, safe("\n".join(value) if isinstance(value, list) else str(value)))
        out().print(table)


@app.command()
def delete(
    document: Document, collection: Collection = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Take a document out of the collection. Its file stays where it is."""
    with reported(as_json):
        from winnow.pipeline import RAGPipeline

        with RAGPipeline.from_settings(settings(data_dir, collection)) as pipeline:
            row = _found(pipeline.wiring.manifest(), document)
            pipeline.wiring.ingestor().remove(row.id)
        if as_json:
            print_json({"deleted": row.source})
        else:
            note(f"deleted {row.source} ({len(row.chunk_ids)} passages)")


def _found(manifest: Manifest, document: str) -> DocumentRow:
    from pathlib import Path

    from storage.errors import NotFoundError
    from storage.qdrant.contract import document_id

    by_path = manifest.get(document_id(Path(document).absolute().as_posix()))
    row = by_path or manifest.get(document)
    if row is None:
        raise NotFoundError(f"there is no document {document}", way_out="See: winnow documents list")
    return row
