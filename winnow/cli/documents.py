"""`winnow documents`: list, show and delete the documents of a collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from storage.errors import NotFoundError
from winnow.cli.command_options import CommandGroup
from winnow.cli.options import CollectionOptions
from winnow.cli.terminal import note, print_json, print_rows, print_table, safe, shortened

if TYPE_CHECKING:
    from storage.manifest.manifest import DocumentRow, Manifest

app = CommandGroup(help="List, show and delete the documents of a collection.", no_args_is_help=True)

Search = Annotated[str, Option("--search", "-s", help="Only those with these words in path or title.")]
Status = Annotated[
    Literal["ingested", "refused", "duplicate"] | None,
    Option("--status", help="Only those of this status."),
]
Limit = Annotated[int | None, Option("--limit", "-n", help="At most this many.", min=1)]
Document = Annotated[str, Argument(help="A document's path, or its id.", show_default=False)]


@app.command("list")
def list_(
    options: CollectionOptions, search: Search = "", status: Status = None, limit: Limit = None
) -> None:
    """All documents by path, the refused ones too."""
    from storage.manifest.manifest import DocumentFilter

    with options.wiring() as wiring:
        rows = wiring.manifest().listed(DocumentFilter(search, status), limit=limit)
    if options.as_json:
        from winnow.app.json_model.passages import DocumentJson

        print_json([DocumentJson.of(row) for row in rows])
    elif rows:
        print_rows(
            ("status", "passages", "document", "title"),
            (
                (row.status, str(len(row.chunk_ids)), shortened(row.source), safe(_title(row), "dim"))
                for row in rows
            ),
            numbers=("passages",),
        )
    else:
        note(f"There is no document {'like that' if search or status else 'in this collection'}.")


@app.command()
def show(document: Document, options: CollectionOptions) -> None:
    """One document: what is known of it, and the ids of its passages."""
    from winnow.app.json_model.passages import DocumentJson

    with options.wiring() as wiring:
        value = DocumentJson.of(_document(wiring.manifest(), document))
    if options.as_json:
        print_json(value)
        return
    shown = value.model_dump(exclude={"source", "reason_code", "reason_values", "warning_reasons"})
    print_table((name, "\n".join(item) if isinstance(item, list) else item) for name, item in shown.items())


@app.command()
def delete(document: Document, options: CollectionOptions) -> None:
    """Take a document out of the collection. Its file stays where it is, unless it was uploaded."""
    with options.wiring() as wiring:
        row = _document(wiring.manifest(), document)
        wiring.collections.remove(wiring.settings.collection, row)
    options.done({"deleted": row.source}, f"deleted {row.source} ({len(row.chunk_ids)} passages)")


def _title(row: DocumentRow) -> str:
    return row.reason if row.status == "refused" else row.title


def _document(manifest: Manifest, path_or_id: str) -> DocumentRow:
    from storage.qdrant.contract import document_id

    by_path = manifest.get(document_id(Path(path_or_id).absolute().as_posix()))
    row = by_path or manifest.get(path_or_id)
    if row is None:
        raise NotFoundError(f"there is no document {path_or_id}", way_out="See: winnow documents list")
    return row
