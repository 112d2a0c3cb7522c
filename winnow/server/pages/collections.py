"""`/collections` and what is below it: collections, their documents, passages; deleting one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from storage.manifest.manifest import DocumentFilter
from winnow.server.api import inventory
from winnow.server.api.collections import DocumentId, taken_out
from winnow.server.api.ingesting import MOST_FILES
from winnow.server.pages.rendering import render
from winnow.server.pages.views import documents, runs
from winnow.server.pages.views.collection_facts import shelf, shelves
from winnow.server.served import Served, State, in_thread

router = APIRouter(include_in_schema=False)

Name = Annotated[str, Path(max_length=100)]
Page = Annotated[int, Query(ge=1, le=1_000_000)]
Shown = Literal["", "ingested", "refused", "duplicate", "warned"]


@dataclass(frozen=True, slots=True)
class Room:
    """What the upload form takes: files at once, bytes at once, suffixes that ingestion knows."""

    files: int
    bytes: int
    suffixes: Sequence[str]


def room(served: Served) -> Room:
    """The limits, to be shown before somebody runs into them."""
    from ingest.loaders import FORMATS

    return Room(MOST_FILES, served.settings.upload_bytes, sorted(FORMATS))


@router.get("/collections")
async def page(request: Request, served: State) -> HTMLResponse:
    found = await in_thread(lambda: shelves(served))
    return render(
        request,
        "collections.html",
        shelves=found,
        room=room(served),
        into=served.pipeline.settings.collection,
        fixed=False,
        jobs=[job for job in served.jobs.all() if not job.ended],
    )


@router.get("/collections/{name}")
async def one(
    request: Request,
    served: State,
    name: Name,
    text: Annotated[str, Query(max_length=1_000)] = "",
    show: Shown = "",
    page: Page = 1,
    deleted: Annotated[str, Query(max_length=10)] = "",
) -> HTMLResponse:
    warned = show == "warned"
    where = DocumentFilter(text, None if warned or not show else show, warned)
    found = await in_thread(lambda: shelf(served, name))
    return render(
        request,
        "collection.html",
        shelf=found,
        listed=await in_thread(lambda: documents.listed(served, found.name, where, page)),
        run=await in_thread(lambda: runs.last_run(served.pipeline.wiring.manifest(found.name).last_run())),
        show=show,
        room=room(served),
        into=found.name,
        fixed=True,
        deleted=bool(deleted),
        jobs=[job for job in served.jobs.all() if job.collection == found.name and not job.ended],
    )


@router.get("/collections/{name}/documents/{document_id}")
async def document(
    request: Request, served: State, name: Name, document_id: DocumentId, page: Page = 1
) -> HTMLResponse:
    found = await in_thread(lambda: documents.read(served, name, document_id, page))
    return render(request, "document.html", name=name, document=found)


@router.get("/collections/{name}/documents/{document_id}/delete")
async def sure(request: Request, served: State, name: Name, document_id: DocumentId) -> HTMLResponse:
    """The question that stands before a deletion."""
    found = await in_thread(lambda: documents.read(served, name, document_id, 1))
    return render(request, "delete.html", name=name, document=found)


@router.post("/collections/{name}/documents/{document_id}/delete")
async def delete(served: State, name: Name, document_id: DocumentId) -> RedirectResponse:
    """Gone for good."""

    def gone() -> str:
        taken_out(served, existing := inventory.existing(served.pipeline.wiring, name), document_id)
        return existing

    existing = await in_thread(gone)
    return RedirectResponse(f"/collections/{quote(existing, safe='')}?deleted=1", status_code=303)
